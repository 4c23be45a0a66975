/* What: connecting to the first address of a host that answers (RFC 8305, "happy eyeballs"). The
 * addresses take turns by family. One that refuses is followed by the next at once; one that says
 * nothing keeps going, and after the attempt delay the next is tried beside it. So a dead address
 * costs the delay, not its share of the time.
 *
 * All attempts belong to the one task that dials: their callbacks only wake it, and what it leaves
 * with, it closes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tug/resolve.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "kit/transport.h"

enum {
    BACKLOG_RETRY_MS = 5, /* a Unix listener with a full backlog refuses instead of queueing */
    NAME_BYTES = 72,      /* an address with its zone, in brackets */
    PART_BYTES = NAME_BYTES + 64,
    TEXT_BYTES = sizeof((tug_error *)0)->text,
    MORE_BYTES = 16 /* for " and 63 more" */
};

const struct tug__dial_options tug__dial_defaults = {
    .socket = {.keep_idle = 30, .keep_every = 10, .keep_times = 3},
    .attempt_delay = TUG_MS(250),
    .timeout = TUG_SECONDS(10)};

/* A socket that connects to a free port of the ephemeral range on its own machine may be given that
 * very port, and is then connected to itself. The server that was meant is not there. */
static bool is_itself(int fd)
{
    union tug__any_address here, there;
    socklen_t here_size = sizeof here, there_size = sizeof there;
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    return getsockname(fd, &here.any, &here_size) == 0 &&
           getpeername(fd, &there.any, &there_size) == 0 && here.any.sa_family != AF_UNIX &&
           here_size == there_size && memcmp(&here, &there, here_size) == 0;
}

/* 0 or -errno, of a socket that was waited for. */
static int outcome(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    return error != 0 ? -error : is_itself(fd) ? -ECONNREFUSED : 0;
}

/* --- the race -------------------------------------------------------------------------------- */

struct race;

struct attempt {
    struct race *race;
    size_t address; /* which of the list */
    tug_time until; /* the end of its share */
    tug_io *io;
    int fd; /* -1: not under way */
    int rc; /* why it failed: -errno, TUG_ETIMEDOUT; 0: it has not */
    bool is_ready;
};

struct race {
    const tug_addresses *addresses;
    const struct tug__dial_options *options;
    size_t count, started, running;
    tug_time next_start;
    tug_waiters waiter;
    tug_timer timer;
    struct attempt attempts[];
};

/* Families alternate, beginning with that of the first address; in either the resolver's order. */
static void put_in_order(struct race *r)
{
    size_t next[2] = {0, 0}; /* of the first address' family, of the other */
    const char *first = tug_addresses_text(r->addresses, 0);
    bool first_is_v6 = strchr(first, ':') != NULL;
    for (size_t i = 0, turn = 0; i < r->count; turn = !turn) {
        size_t *at = &next[turn];
        for (; *at < r->count; ++*at) {
            bool is_v6 = strchr(tug_addresses_text(r->addresses, *at), ':') != NULL;
            if ((is_v6 == first_is_v6) == (turn == 0)) {
                r->attempts[i].address = (*at)++;
                r->attempts[i].race = r;
                r->attempts[i].fd = -1;
                i++;
                break;
            }
        }
    }
}

static void stop_attempt(struct attempt *a, int rc)
{
    tug_io_close(a->io);
    a->io = NULL;
    if (a->fd >= 0) {
        close(a->fd);
        a->fd = -1;
        a->race->running--;
    }
    a->rc = rc;
}

static void on_connected(tug_io *io, unsigned ready, void *arg)
{
    struct attempt *a = arg;
    (void)io;
    (void)ready;
    a->is_ready = true;
    tug_unpark_first(&a->race->waiter, 0, NULL);
}

static void on_time(tug_timer *timer, void *arg)
{
    struct race *r = arg;
    (void)timer;
    tug_unpark_first(&r->waiter, 0, NULL);
}

/* 0: it has begun, or is over with its rc; else why no attempt can be made. */
static int begin(struct attempt *a)
{
    struct race *r = a->race;
    unsigned size = 0;
    const struct sockaddr *to = tug_addresses_sockaddr(r->addresses, a->address, &size);
    a->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0) {
        a->rc = -errno;
        return 0;
    }
    r->running++;
    tug__socket_tune(a->fd, &r->options->socket);
    if (connect(a->fd, to, size) == 0) {
        a->is_ready = true;
        return 0;
    }
    if (errno != EINPROGRESS && errno != EINTR) {
        stop_attempt(a, -errno);
        return 0;
    }
    int rc = tug_io_open(a->fd, on_connected, a, &a->io);
    return rc < 0 ? rc : tug_io_want(a->io, TUG_WRITE);
}

static int start_next(struct race *r, tug_time now)
{
    struct attempt *a = &r->attempts[r->started++];
    tug_duration waiting = (tug_duration)(r->count - r->started);
    /* The last one has all that is left: when that is over, the caller's own deadline is the reason. */
    a->until = waiting > 0 ? tug_time_after(now, tug_time_left() / (waiting + 1)) : TUG_FOREVER;
    int rc = begin(a);
    r->next_start = a->rc < 0 ? now : tug_time_after(now, r->options->attempt_delay);
    return rc;
}

/* What has become of those that are under way: the winner, or NULL. */
static struct attempt *look(struct race *r, tug_time now)
{
    for (size_t i = 0; i < r->started; i++) {
        struct attempt *a = &r->attempts[i];
        if (a->fd < 0) {
            continue;
        }
        int rc = a->is_ready ? outcome(a->fd) : now >= a->until ? TUG_ETIMEDOUT : 1;
        if (rc == 0) {
            return a;
        }
        if (rc < 0) {
            stop_attempt(a, rc);
            r->next_start = now;
        }
    }
    return NULL;
}

static int wait_for_news(struct race *r)
{
    tug_time until = r->started < r->count ? r->next_start : TUG_FOREVER;
    for (size_t i = 0; i < r->started; i++) {
        if (r->attempts[i].fd >= 0 && r->attempts[i].until < until) {
            until = r->attempts[i].until;
        }
    }
    if (until != TUG_FOREVER) {
        tug_timer_start(&r->timer, until, on_time, r);
    }
    int rc = tug_park(&r->waiter, NULL, "connect");
    tug_timer_stop(&r->timer);
    return rc;
}

/* 0 and the winner, TUG_ECONNECT when all have failed, or why it was broken off. */
static int run(struct race *r, struct attempt **ret_winner)
{
    for (;;) {
        tug_time now = tug_now();
        struct attempt *winner = look(r, now);
        if (winner != NULL) {
            *ret_winner = winner;
            return 0;
        }
        int rc;
        if (r->started < r->count && (r->running == 0 || now >= r->next_start)) {
            rc = start_next(r, now);
        } else if (r->running == 0) {
            return TUG_ECONNECT;
        } else {
            rc = wait_for_news(r);
        }
        if (rc < 0) {
            return rc;
        }
    }
}

/* --- what it says ---------------------------------------------------------------------------- */

static const char *reason(const struct attempt *a)
{
    return a->rc < 0 && a->rc >= -4095 ? strerrordesc_np(-a->rc) : "no answer";
}

static void address_name(const struct race *r, const struct attempt *a, char *to, size_t room)
{
    const char *text = tug_addresses_text(r->addresses, a->address);
    snprintf(to, room, strchr(text, ':') != NULL ? "[%s]" : "%s", text);
}

static void describe_one(const struct race *r, const char *host, uint16_t port, char *to)
{
    const struct attempt *a = &r->attempts[0];
    char name[NAME_BYTES];
    address_name(r, a, name, sizeof name);
    if (strcmp(host, tug_addresses_text(r->addresses, a->address)) == 0) {
        snprintf(to, TEXT_BYTES, "cannot connect to %s:%u: %s", name, (unsigned)port, reason(a));
    } else {
        snprintf(to, TEXT_BYTES, "cannot connect to %s:%u (%.80s): %s", name, (unsigned)port, host,
                 reason(a));
    }
}

/* "cannot connect to db.example:5432: 192.0.2.1: no answer, [2001:db8::1]: Connection refused" */
static void describe_all(const struct race *r, const char *host, uint16_t port, char *to)
{
    size_t used = (size_t)snprintf(to, TEXT_BYTES, "cannot connect to %.100s:%u:", host,
                                   (unsigned)port);
    for (size_t i = 0; i < r->started; i++) {
        const struct attempt *a = &r->attempts[i];
        char name[NAME_BYTES], part[PART_BYTES];
        address_name(r, a, name, sizeof name);
        int n = snprintf(part, sizeof part, "%s %s: %.50s", i > 0 ? "," : "", name, reason(a));
        if (used + (size_t)n + MORE_BYTES > TEXT_BYTES) {
            snprintf(to + used, TEXT_BYTES - used, " and %zu more", r->started - i);
            return;
        }
        memcpy(to + used, part, (size_t)n + 1);
        used += (size_t)n;
    }
}

static bool is_transient(int rc)
{
    return rc != -EACCES && rc != -EPERM && rc != -EAFNOSUPPORT;
}

/* One detail for all attempts. rc: TUG_ECONNECT, or TUG_ECANCELED while some were under way. */
static int race_failed(const struct race *r, const char *host, uint16_t port, int rc)
{
    tug_error e;
    char text[TEXT_BYTES], native[12] = "";
    int origin = TUG_ORIGIN_TUG;
    bool transient = false;
    for (size_t i = 0; i < r->started; i++) {
        int why = r->attempts[i].rc;
        if (why < 0 && why >= -4095) {
            origin = TUG_ORIGIN_OS;
            snprintf(native, sizeof native, "%d", -why);
        }
        transient = transient || is_transient(why);
    }
    if (r->count == 1) {
        describe_one(r, host, port, text);
    } else {
        describe_all(r, host, port, text);
    }
    tug_error_set(&e, rc, origin, TUG_NOT_SENT, native, "%s", text);
    e.transient = rc == TUG_ECONNECT && transient;
    return tug_fail_with(&e);
}

static int take_winner(struct race *r, struct attempt *winner, uint16_t port,
                       tug_transport **ret_transport)
{
    char name[NAME_BYTES], peer[TUG__PEER_BYTES];
    address_name(r, winner, name, sizeof name);
    snprintf(peer, sizeof peer, "%s:%u", name, (unsigned)port);
    tug_io_close(winner->io);
    winner->io = NULL;
    int rc = tug__transport_new(winner->fd, peer, ret_transport);
    if (rc == 0) {
        winner->fd = -1; /* it is the transport's */
    }
    return rc;
}

int tug__dial_addresses(const char *host, uint16_t port, const tug_addresses *addresses,
                        const struct tug__dial_options *o, tug_transport **ret_transport)
{
    size_t count = tug_addresses_count(addresses);
    struct race *r = tug_calloc(1, sizeof *r + count * sizeof r->attempts[0]);
    if (r == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory to connect to %s", host);
    }
    struct attempt *winner = NULL;
    r->addresses = addresses;
    r->options = o;
    r->count = count;
    put_in_order(r);
    int rc = run(r, &winner);
    if (rc == 0) {
        rc = take_winner(r, winner, port, ret_transport);
    } else if (rc == TUG_ECONNECT || rc == TUG_ECANCELED) {
        rc = race_failed(r, host, port, rc);
    }
    for (size_t i = 0; i < r->started; i++) {
        stop_attempt(&r->attempts[i], 0);
    }
    tug_free(r);
    return rc;
}

/* --- hosts and paths ------------------------------------------------------------------------- */

static int dial_host(const char *host, uint16_t port, const struct tug__dial_options *o,
                     tug_transport **ret_transport)
{
    TUG_AUTO(tug_addresses) addresses = NULL;
    int rc = tug_resolve(host, port, &addresses);
    if (rc == TUG_ECANCELED) {
        return tug_fail(rc, "cannot resolve host \"%s\": no answer", host);
    }
    return rc < 0 ? rc : tug__dial_addresses(host, port, addresses, o, ret_transport);
}

static int connect_path(int fd, const struct sockaddr_un *to)
{
    while (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        int rc = tug_sleep(TUG_MS(BACKLOG_RETRY_MS));
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int path_failed(const char *path, int rc)
{
    tug_error e;
    char native[12];
    if (rc == TUG_ECANCELED) {
        return tug_fail(rc, "cannot connect to %s: no answer", path);
    }
    if (rc < -4095) {
        return rc; /* out of memory and the like: the detail stands */
    }
    snprintf(native, sizeof native, "%d", -rc);
    tug_error_set(&e, TUG_ECONNECT, TUG_ORIGIN_OS, TUG_NOT_SENT, native, "cannot connect to %s: %s",
                  path, strerrordesc_np(-rc));
    e.transient = is_transient(rc);
    return tug_fail_with(&e);
}

static int dial_path(const char *path, tug_transport **ret_transport)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strnlen(path, sizeof to.sun_path);
    if (n == sizeof to.sun_path) {
        return tug_fail(TUG_EINVAL, "the path of a socket has at most %zu bytes",
                        sizeof to.sun_path - 1);
    }
    memcpy(to.sun_path, path, n);
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    rc = fd < 0 ? -errno : connect_path(fd, &to);
    rc = rc < 0 ? rc : tug__transport_new(fd, path, ret_transport);
    if (rc < 0) {
        rc = path_failed(path, rc);
        if (fd >= 0) {
            close(fd);
        }
    }
    return rc;
}

int tug__transport_dial(const char *host, uint16_t port, const struct tug__dial_options *o,
                        tug_transport **ret_transport)
{
    if (host == NULL || *host == 0) {
        return tug_fail(TUG_EINVAL, "no host to connect to");
    }
    if (tug_task_current() == NULL) {
        return tug_fail(TUG_EMISUSE, "connecting to %s waits: call it from a task", host);
    }
    bool has_deadline = tug_time_left() != TUG_FOREVER;
    tug_scope all;
    if (!has_deadline) {
        tug_scope_enter(&all, o->timeout);
    }
    int rc = *host == '/' ? dial_path(host, ret_transport)
                          : dial_host(host, port, o, ret_transport);
    if (!has_deadline) {
        rc = tug_scope_leave(&all, rc);
        if (rc == TUG_ETIMEDOUT) {
            /* The caller has set no deadline, so it gets no TUG_ETIMEDOUT. */
            tug_error e = *tug_last_error();
            e.code = TUG_ECONNECT;
            e.transient = true;
            rc = tug_fail_with(&e);
        }
    }
    return rc;
}

int tug_transport_dial(const char *host, uint16_t port, tug_transport **ret_transport)
{
    return tug__transport_dial(host, port, &tug__dial_defaults, ret_transport);
}
