/* What: host names to addresses. getaddrinfo blocks and cannot be stopped, so it runs as an
 * abandonable job that owns copies of everything. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <tug/offload.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "kit/resolve.h"

enum {
    ADDRESSES_MAX = 64, /* more would only stretch a connect over its deadline */
    HOST_MAX = 255,     /* a DNS name has at most 253 bytes */
    TEXT_BYTES = INET6_ADDRSTRLEN + 1 + IF_NAMESIZE
};

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } socket;
    unsigned size;
    char text[TEXT_BYTES]; /* with the zone, if it has one: fe80::1%eth0 */
};

struct tug_addresses {
    size_t count;
    struct address items[];
};

tug_addresses *tug_addresses_unref(tug_addresses *a)
{
    tug_free(a);
    return NULL;
}

size_t tug_addresses_count(const tug_addresses *a)
{
    return a->count;
}

const char *tug_addresses_text(const tug_addresses *a, size_t i)
{
    return i < a->count ? a->items[i].text : "";
}

const void *tug_addresses_sockaddr(const tug_addresses *a, size_t i, unsigned *ret_size)
{
    if (i >= a->count) {
        return NULL;
    }
    *ret_size = a->items[i].size;
    return &a->items[i].socket;
}

static int no_memory(void)
{
    return tug_fail(TUG_ENOMEM, "out of memory for addresses");
}

/* False if this is no address that a stream socket connects to. */
static bool set_address(struct address *a, const struct sockaddr *from, unsigned size,
                        uint16_t port)
{
    if (size > sizeof a->socket || (from->sa_family != AF_INET && from->sa_family != AF_INET6)) {
        return false;
    }
    memset(a, 0, sizeof *a);
    memcpy(&a->socket, from, size);
    a->size = size;
    if (from->sa_family == AF_INET) {
        a->socket.in.sin_port = htons(port);
    } else {
        a->socket.in6.sin6_port = htons(port);
    }
    return getnameinfo(&a->socket.any, size, a->text, sizeof a->text, NULL, 0, NI_NUMERICHOST) == 0;
}

/* False if host is a name. */
static bool set_number(struct address *a, const char *host, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
        return set_address(a, (const struct sockaddr *)&in, sizeof in, port);
    }
    return inet_pton(AF_INET6, host, &in6.sin6_addr) == 1 &&
           set_address(a, (const struct sockaddr *)&in6, sizeof in6, port);
}

int tug__addresses_from_numbers(const char *const *hosts, size_t n, uint16_t port,
                                tug_addresses **ret_addresses)
{
    tug_addresses *a = tug_alloc(sizeof *a + n * sizeof a->items[0]);
    if (a == NULL) {
        return no_memory();
    }
    for (a->count = 0; a->count < n; a->count++) {
        if (!set_number(&a->items[a->count], hosts[a->count], port)) {
            tug_free(a);
            return TUG_ENOTFOUND;
        }
    }
    *ret_addresses = a;
    return 0;
}

/* --- look-up on a thread --------------------------------------------------------------------- */

struct lookup {
    tug_addresses *addresses;
    uint16_t port;
    char host[HOST_MAX + 1];
};

static int lookup_failed(const char *host, int reason, int error)
{
    if (reason == EAI_MEMORY || (reason == EAI_SYSTEM && error == ENOMEM)) {
        return no_memory();
    }
    tug_error e;
    tug_error_set(&e, TUG_ECONNECT, TUG_ORIGIN_OS, TUG_NOT_SENT, NULL,
                  "cannot resolve host \"%s\": %s", host,
                  reason == EAI_SYSTEM ? strerrordesc_np(error) : gai_strerror(reason));
    e.transient = reason == EAI_AGAIN || reason == EAI_SYSTEM;
    return tug_fail_with(&e);
}

/* On an offload thread: getaddrinfo blocks for as long as a name server likes. */
static int lookup_run(void *arg)
{
    struct lookup *l = arg;
    /* Without AI_ADDRCONFIG: it hides ::1 and 127.0.0.1 on a machine whose only interface is
     * loopback. */
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int reason = getaddrinfo(l->host, NULL, &hints, &list);
    if (reason != 0) {
        return lookup_failed(l->host, reason, errno);
    }
    size_t count = 0;
    for (const struct addrinfo *i = list; i != NULL && count < ADDRESSES_MAX; i = i->ai_next) {
        count++;
    }
    tug_addresses *a = tug_alloc(sizeof *a + count * sizeof a->items[0]);
    if (a == NULL) {
        freeaddrinfo(list);
        return no_memory();
    }
    a->count = 0;
    for (const struct addrinfo *i = list; i != NULL && count > 0; i = i->ai_next, count--) {
        if (set_address(&a->items[a->count], i->ai_addr, i->ai_addrlen, l->port)) {
            a->count++;
        }
    }
    freeaddrinfo(list);
    l->addresses = a;
    return a->count > 0 ? 0 : lookup_failed(l->host, EAI_NONAME, 0);
}

static void lookup_peek(void *arg, void *to)
{
    struct lookup *l = arg;
    *(tug_addresses **)to = l->addresses;
    l->addresses = NULL;
}

static void lookup_destroy(void *arg)
{
    struct lookup *l = arg;
    tug_addresses_unref(l->addresses);
    tug_free(l);
}

static bool is_speakable(const char *host)
{
    size_t n = strnlen(host, HOST_MAX + 1);
    for (const char *c = host; *c != 0 && n <= HOST_MAX; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f) {
            return false;
        }
    }
    return n > 0 && n <= HOST_MAX;
}

int tug_resolve(const char *host, uint16_t port, tug_addresses **ret_addresses)
{
    if (host == NULL || !is_speakable(host)) {
        return tug_fail(TUG_EINVAL, "a host name has 1 to %d bytes and no blanks", HOST_MAX);
    }
    int rc = tug_checkpoint();
    if (rc == 0) {
        rc = tug__addresses_from_numbers(&host, 1, port, ret_addresses);
    }
    if (rc != TUG_ENOTFOUND) {
        return rc;
    }
    struct lookup *l = tug_calloc(1, sizeof *l);
    if (l == NULL) {
        return no_memory();
    }
    l->port = port;
    memcpy(l->host, host, strlen(host) + 1);
    tug_addresses *a = NULL;
    rc = tug__offload_hanging(lookup_run, lookup_peek, lookup_destroy, l, &a);
    if (rc < 0) {
        tug_addresses_unref(a);
        return rc;
    }
    *ret_addresses = a;
    return 0;
}
