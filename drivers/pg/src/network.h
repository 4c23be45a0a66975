/* What:      addresses of networks and UUIDs: text and binary forms, both ways.
 * Ownership: the caller's arrays. Context: any. Callbacks: none.
 * Errors:    read and parse answer false: no such value. */
#ifndef TUG_PG_NETWORK_H
#define TUG_PG_NETWORK_H

#include <stdbool.h>
#include <tug/value.h>

/* Room for any of the texts: "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128" and its 0. */
#define TUG__PG_NETWORK_TEXT 52
#define TUG__PG_INET_BINARY 20
#define TUG__PG_UUID_TEXT 36

/* The address of a TUG_VALUE_INET. */
struct tug_inet tug__pg_value_inet(const tug_value *v);
/* A family, and bits that it can have. */
bool tug__pg_inet_is_sound(const struct tug_inet *x);
/* No bit is set right of the mask, as cidr demands. */
bool tug__pg_inet_is_network(const struct tug_inet *x);
/* Returns the length; cidr: with its bits also if it is one host. */
size_t tug__pg_inet_text(const struct tug_inet *x, bool cidr, char *to);
bool tug__pg_inet_parse(const char *text, size_t size, struct tug_inet *ret_x);
size_t tug__pg_inet_write(const struct tug_inet *x, bool cidr, char *to);
bool tug__pg_inet_read(const char *data, size_t size, struct tug_inet *ret_x);

size_t tug__pg_macaddr_text(const struct tug_macaddr *x, char *to);
/* Six or eight pairs of digits between colons. */
bool tug__pg_macaddr_parse(const char *text, size_t size, struct tug_macaddr *ret_x);

size_t tug__pg_uuid_text(const uint8_t *bytes, char *to);
/* The usual form, 8-4-4-4-12. */
bool tug__pg_uuid_parse(const char *text, size_t size, uint8_t *to);

#endif
