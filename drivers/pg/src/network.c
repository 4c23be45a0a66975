#include "network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

/* The server's own numbers, not those of its machine. */
enum {
    INET_FAMILY_4 = 2,
    INET_FAMILY_6 = 3,
    INET_HEADER = 4 /* family, bits, is it cidr, bytes of address */
};

static size_t inet_size(const struct tug_inet *x)
{
    return x->family == 4 ? 4 : 16;
}

struct tug_inet tug__pg_value_inet(const tug_value *v)
{
    struct tug_inet x = {.family = (uint8_t)(v->more >> 8), .bits = (uint8_t)(v->more & 0xff)};
    memcpy(x.address, v->u.uuid.bytes, sizeof x.address);
    return x;
}

bool tug__pg_inet_is_sound(const struct tug_inet *x)
{
    return (x->family == 4 && x->bits <= 32) || (x->family == 6 && x->bits <= 128);
}

bool tug__pg_inet_is_network(const struct tug_inet *x)
{
    for (size_t i = 0; i < inet_size(x); i++) {
        unsigned left = x->bits > 8 * i ? x->bits - 8 * (unsigned)i : 0;
        unsigned host = left >= 8 ? 0 : 0xffU >> left;
        if ((x->address[i] & host) != 0) {
            return false;
        }
    }
    return true;
}

/* The longest run of words that are 0, at least two: it is written "::". */
static int inet_zeros(const unsigned *words, int *ret_first)
{
    int best = 1;
    *ret_first = -1;
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && words[i + n] == 0) {
            n++;
        }
        if (n > best) {
            best = n;
            *ret_first = i;
        }
    }
    return best;
}

/* The server writes the last 32 bits as IPv4 where an old convention put one: ::1.2.3.4 and
 * ::ffff:1.2.3.4. */
static bool inet_is_embedded(const unsigned *words, int first, int zeros)
{
    return first == 0 && (zeros == 6 || (zeros == 5 && words[5] == 0xffff));
}

static char *inet_put_6(char *p, const uint8_t *a)
{
    unsigned words[8];
    int first;
    for (int i = 0; i < 8; i++) {
        words[i] = (unsigned)a[2 * i] << 8 | a[2 * i + 1];
    }
    int zeros = inet_zeros(words, &first);
    for (int i = 0; i < 8; i++) {
        if (i == first) {
            *p++ = ':';
            i += zeros - 1;
            if (i == 7) {
                *p++ = ':';
            }
            continue;
        }
        if (i > 0) {
            *p++ = ':';
        }
        if (i == 6 && inet_is_embedded(words, first, zeros)) {
            return p + sprintf(p, "%d.%d.%d.%d", a[12], a[13], a[14], a[15]);
        }
        p += sprintf(p, "%x", words[i]);
    }
    return p;
}

size_t tug__pg_inet_text(const struct tug_inet *x, bool cidr, char *to)
{
    const uint8_t *a = x->address;
    char *p = to;
    p = x->family == 4 ? p + sprintf(p, "%d.%d.%d.%d", a[0], a[1], a[2], a[3]) : inet_put_6(p, a);
    if (cidr || x->bits != 8 * inet_size(x)) {
        p += sprintf(p, "/%d", x->bits);
    }
    *p = 0;
    return (size_t)(p - to);
}

bool tug__pg_inet_parse(const char *text, size_t size, struct tug_inet *ret_x)
{
    char address[TUG__PG_NETWORK_TEXT];
    struct tug_inet x = {0};
    uint64_t bits;
    const char *slash = memchr(text, '/', size);
    size_t n = slash != NULL ? (size_t)(slash - text) : size;
    if (n >= sizeof address) {
        return false;
    }
    memcpy(address, text, n);
    address[n] = 0;
    x.family = strchr(address, ':') != NULL ? 6 : 4;
    if (inet_pton(x.family == 4 ? AF_INET : AF_INET6, address, x.address) != 1) {
        return false;
    }
    bits = 8 * inet_size(&x);
    if (slash != NULL && (!tug__pg_uint_parse(slash + 1, size - n - 1, &bits) || bits > 128)) {
        return false;
    }
    x.bits = (uint8_t)bits;
    if (!tug__pg_inet_is_sound(&x)) {
        return false;
    }
    *ret_x = x;
    return true;
}

size_t tug__pg_inet_write(const struct tug_inet *x, bool cidr, char *to)
{
    size_t n = inet_size(x);
    to[0] = x->family == 4 ? INET_FAMILY_4 : INET_FAMILY_6;
    to[1] = (char)x->bits;
    to[2] = cidr;
    to[3] = (char)n;
    memcpy(to + INET_HEADER, x->address, n);
    return INET_HEADER + n;
}

bool tug__pg_inet_read(const char *data, size_t size, struct tug_inet *ret_x)
{
    struct tug_inet x = {0};
    if (size < INET_HEADER || (data[0] != INET_FAMILY_4 && data[0] != INET_FAMILY_6)) {
        return false;
    }
    x.family = data[0] == INET_FAMILY_4 ? 4 : 6;
    x.bits = (uint8_t)data[1];
    size_t n = inet_size(&x);
    if ((size_t)(uint8_t)data[3] != n || size != INET_HEADER + n || !tug__pg_inet_is_sound(&x)) {
        return false;
    }
    memcpy(x.address, data + INET_HEADER, n);
    *ret_x = x;
    return true;
}

/* --- digits in pairs ------------------------------------------------------------------------------- */

static const char hex[] = "0123456789abcdef";

static char *hex_put(char *p, uint8_t byte)
{
    *p++ = hex[byte >> 4];
    *p++ = hex[byte & 15];
    return p;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool hex_pair(const char *text, uint8_t *to)
{
    int high = hex_digit(text[0]), low = hex_digit(text[1]);
    *to = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    return high >= 0 && low >= 0;
}

size_t tug__pg_macaddr_text(const struct tug_macaddr *x, char *to)
{
    char *p = to;
    for (int i = 0; i < x->size; i++) {
        if (i > 0) {
            *p++ = ':';
        }
        p = hex_put(p, x->bytes[i]);
    }
    *p = 0;
    return (size_t)(p - to);
}

bool tug__pg_macaddr_parse(const char *text, size_t size, struct tug_macaddr *ret_x)
{
    struct tug_macaddr x = {.size = (uint8_t)((size + 1) / 3)};
    if (size != 17 && size != 23) {
        return false;
    }
    for (size_t i = 0; i < x.size; i++) {
        if (!hex_pair(text + 3 * i, &x.bytes[i]) || (i > 0 && text[3 * i - 1] != ':')) {
            return false;
        }
    }
    *ret_x = x;
    return true;
}

static bool uuid_has_dash(int byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

size_t tug__pg_uuid_text(const uint8_t *bytes, char *to)
{
    char *p = to;
    for (int i = 0; i < 16; i++) {
        if (uuid_has_dash(i)) {
            *p++ = '-';
        }
        p = hex_put(p, bytes[i]);
    }
    *p = 0;
    return (size_t)(p - to);
}

bool tug__pg_uuid_parse(const char *text, size_t size, uint8_t *to)
{
    if (size != TUG__PG_UUID_TEXT) {
        return false;
    }
    for (int i = 0; i < 16; i++) {
        if ((uuid_has_dash(i) && *text++ != '-') || !hex_pair(text, &to[i])) {
            return false;
        }
        text += 2;
    }
    return true;
}
