#include "kit/address.h"

#include <stdlib.h>
#include <string.h>
#include <tug/error.h>

static int refuse(const char *text)
{
    return tug_fail(
        TUG_EINVAL,
        "stream address \"%s\": expected tcp://host:port, tls://host:port or unix:/path", text);
}

/* "host:port" or "[address]:port". host has room for what strlen(from) says. */
static bool split(const char *from, char *host, uint16_t *ret_port)
{
    const char *colon = strrchr(from, ':');
    if (colon == NULL || colon == from || colon[1] < '0' || colon[1] > '9') {
        return false;
    }
    char *rest;
    unsigned long port = strtoul(colon + 1, &rest, 10);
    size_t n = (size_t)(colon - from);
    bool has_brackets = n > 2 && from[0] == '[' && from[n - 1] == ']';
    if (*rest != 0 || port > UINT16_MAX ||
        (!has_brackets && (from[0] == '[' || memchr(from, ':', n) != NULL))) {
        return false;
    }
    n -= has_brackets ? 2 : 0;
    memcpy(host, from + (has_brackets ? 1 : 0), n);
    host[n] = 0;
    *ret_port = (uint16_t)port;
    return true;
}

int tug__address_parse(const char *text, bool any_port, struct tug__address *ret_address)
{
    struct tug__address a = {.is_path = false};
    if (text == NULL || strlen(text) >= sizeof a.host) {
        return tug_fail(TUG_EINVAL, "a stream address has at most %zu bytes", sizeof a.host - 1);
    }
    if (strncmp(text, "unix:/", 6) == 0) {
        a.is_path = true;
        memcpy(a.host, text + 5, strlen(text + 5) + 1);
    } else {
        a.is_tls = strncmp(text, "tls://", 6) == 0;
        if ((!a.is_tls && strncmp(text, "tcp://", 6) != 0) || !split(text + 6, a.host, &a.port) ||
            (a.port == 0 && !any_port)) {
            return refuse(text);
        }
    }
    *ret_address = a;
    return 0;
}
