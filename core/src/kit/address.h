/* What:      addresses of streams and listeners as they are written.
 * Ownership: the host is copied. Context: any. Callbacks: none.
 * Errors:    TUG_EINVAL with the address and what was expected. */
#ifndef TUG_KIT_ADDRESS_H
#define TUG_KIT_ADDRESS_H

#include <tug/base.h>

enum {
    TUG__ADDRESS_BYTES = 256 /* a host has at most 255 bytes, a path 107 */
};

struct tug__address {
    bool is_path; /* unix: host is the path */
    bool is_tls;
    uint16_t port;
    char host[TUG__ADDRESS_BYTES];
};

/* "tcp://host:port", "tls://host:port", "unix:/path"; hosts with colons in brackets. Port 0 is refused, unless
 * any_port. */
int tug__address_parse(const char *text, bool any_port, struct tug__address *ret_address);

#endif
