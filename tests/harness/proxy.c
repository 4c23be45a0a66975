/* Two tasks for each link, one a direction, and one that accepts. A link's tasks wait for bytes, for the end of
 * a turn (so that each piece is a read of its own at the other end) or for a rule that lets them go on. */
#include "proxy.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

enum {
    CHUNK = 16384
};

/* One direction. */
struct lane {
    proxy_link *link;
    tug_stream **from, **to;
    proxy_rule rule;
    uint64_t bytes;
};

struct proxy_link {
    proxy *proxy;
    proxy_link *older;
    size_t number;
    tug_stream *client, *server; /* NULL once closed */
    struct lane lanes[2];
    tug_waiters stalled; /* lanes that wait for another rule */
    bool cut;
};

struct proxy {
    char target[128];
    char address[64];
    tug_listener *listener; /* NULL while it refuses */
    proxy_rules rules;
    bool hang_up, stopping;
    size_t accepted, links, open;
    size_t tasks;
    proxy_link *youngest;
    tug_waiters ended; /* stop, which waits for the tasks */
    tug_waiters turns; /* lanes that wait for the end of the turn */
    tug_flush flush;
};

static const proxy_rules no_rules = PROXY_RULES_INIT;

static void task_ended(proxy *p)
{
    if (--p->tasks == 0) {
        tug_unpark_all(&p->ended, 0, NULL);
    }
}

static void spawn(proxy *p, tug_task_fn fn, void *arg)
{
    p->tasks++;
    assert_ok(tug_group_spawn(tug_background(), fn, arg));
}

/* --- lanes ------------------------------------------------------------------------------------ */

static void link_close(proxy_link *l)
{
    if (l->client != NULL || l->server != NULL) {
        tug_stream_close(l->client);
        tug_stream_close(l->server);
        l->client = l->server = NULL;
        l->proxy->open--;
    }
    l->cut = true;
    tug_unpark_all(&l->stalled, 0, NULL);
}

static void turn_ended(tug_flush *f)
{
    proxy *p = (proxy *)((char *)f - offsetof(proxy, flush));
    tug_unpark_all(&p->turns, 0, NULL);
}

/* What was written is with the other end before this returns. */
static int wait_turn(proxy *p)
{
    tug_flush_later(&p->flush);
    return tug_park(&p->turns, NULL, "proxy.turn");
}

/* How many of size bytes may pass now; 0: the link was or is to be cut. */
static size_t lane_may_pass(struct lane *lane, size_t size)
{
    proxy_link *l = lane->link;
    while (lane->rule.stall && !l->cut && tug_park(&l->stalled, NULL, "proxy.stall") == 0) {
    }
    if (lane->rule.latency > 0 && !l->cut && tug_sleep(lane->rule.latency) < 0) {
        return 0;
    }
    /* While it slept the rule may have become another one. */
    const proxy_rule *r = &lane->rule;
    uint64_t left = r->cut_after > lane->bytes ? r->cut_after - lane->bytes : 0;
    size = r->piece > 0 && r->piece < size ? r->piece : size;
    return l->cut ? 0 : left < size ? (size_t)left : size;
}

static int lane_pass(struct lane *lane, const char *data, size_t size)
{
    proxy_link *l = lane->link;
    int rc = 0;
    for (size_t at = 0, n = 0; at < size && rc == 0; at += n) {
        n = lane_may_pass(lane, size - at);
        if (n == 0) {
            return TUG_ECLOSED;
        }
        rc = tug_stream_write(*lane->to, (struct tug_bytes){data + at, n});
        rc = rc == 0 && !l->cut ? tug_stream_flush(*lane->to) : rc;
        lane->bytes += rc == 0 ? n : 0;
        if (rc == 0 && lane->rule.piece > 0) {
            rc = wait_turn(l->proxy);
        }
    }
    return rc;
}

static void lane_run(struct lane *lane)
{
    proxy_link *l = lane->link;
    char *data = tug_alloc(CHUNK);
    int rc = data != NULL ? 1 : TUG_ENOMEM;
    while (rc > 0 && !l->cut) {
        rc = tug_stream_read(*lane->from, data, CHUNK);
        if (rc > 0) {
            int passed = lane_pass(lane, data, (size_t)rc);
            rc = passed < 0 ? passed : 1;
        }
    }
    tug_free(data);
    /* An end goes on as an end, behind what was said; all else is one for both. */
    if (rc < 0 || l->cut || tug_stream_shutdown(*lane->to) < 0) {
        link_close(l);
    }
}

static int run_down(void *arg)
{
    proxy_link *l = arg;
    lane_run(&l->lanes[PROXY_DOWN]);
    /* The server has ended: its clients would see the whole connection go. */
    link_close(l);
    task_ended(l->proxy);
    return 0;
}

static int run_up(void *arg)
{
    proxy_link *l = arg;
    proxy *p = l->proxy;
    if (tug_stream_connect(p->target, &l->server) < 0 || l->cut) {
        link_close(l);
        task_ended(p);
        return 0;
    }
    spawn(p, run_down, l);
    lane_run(&l->lanes[PROXY_UP]);
    task_ended(p);
    return 0;
}

/* --- accepting -------------------------------------------------------------------------------- */

static void link_new(proxy *p, tug_stream *client)
{
    proxy_link *l = tug_calloc(1, sizeof *l);
    assert_non_null(l);
    *l = (proxy_link){.proxy = p, .older = p->youngest, .number = p->links++, .client = client};
    for (int way = PROXY_UP; way <= PROXY_DOWN; way++) {
        l->lanes[way] = (struct lane){.link = l, .rule = p->rules.way[way]};
        l->lanes[way].from = way == PROXY_UP ? &l->client : &l->server;
        l->lanes[way].to = way == PROXY_UP ? &l->server : &l->client;
    }
    p->youngest = l;
    p->open++;
    spawn(p, run_up, l);
}

/* The proxy may have forgotten its listener, and have another one, before this runs. */
struct accepting {
    proxy *proxy;
    tug_listener *listener;
};

static int accept_all(void *arg)
{
    proxy *p = ((struct accepting *)arg)->proxy;
    tug_listener *listener = ((struct accepting *)arg)->listener;
    tug_stream *client = NULL;
    tug_free(arg);
    while (tug_listener_next(listener, &client) > 0) {
        p->accepted++;
        if (p->hang_up || p->stopping) {
            tug_stream_close(client);
        } else {
            link_new(p, client);
        }
    }
    if (p->listener == listener) {
        p->listener = NULL; /* it was cancelled, not stopped */
    }
    tug_listener_close(listener);
    task_ended(p);
    return 0;
}

static void proxy_listen(proxy *p)
{
    struct accepting *a = tug_alloc(sizeof *a);
    assert_non_null(a);
    assert_ok(tug_listener_open(p->address, NULL, &p->listener));
    snprintf(p->address, sizeof p->address, "%s", tug_listener_address(p->listener));
    *a = (struct accepting){.proxy = p, .listener = p->listener};
    spawn(p, accept_all, a);
}

proxy *proxy_start(const char *server)
{
    proxy *p = tug_calloc(1, sizeof *p);
    assert_non_null(p);
    p->flush.fn = turn_ended;
    p->rules = no_rules;
    snprintf(p->target, sizeof p->target, "%s", server);
    snprintf(p->address, sizeof p->address, "tcp://127.0.0.1:0");
    proxy_listen(p);
    return p;
}

void proxy_refuse(proxy *p, bool refuse)
{
    if (refuse && p->listener != NULL) {
        /* The accepting task closes it, since it still waits in it. */
        tug_listener_stop(p->listener);
        p->listener = NULL;
    } else if (!refuse && p->listener == NULL) {
        proxy_listen(p);
    }
}

void proxy_stop(proxy *p)
{
    if (p == NULL) {
        return;
    }
    p->stopping = true;
    proxy_refuse(p, true);
    proxy_cut_all(p);
    tug_unpark_all(&p->turns, 0, NULL);
    if (p->tasks > 0) {
        TUG_IGNORE(tug_park_uncancellable(&p->ended, NULL, "proxy.stop"));
    }
    tug_flush_forget(&p->flush);
    while (p->youngest != NULL) {
        proxy_link *l = p->youngest;
        p->youngest = l->older;
        tug_free(l);
    }
    tug_free(p);
}

/* --- rules and figures ------------------------------------------------------------------------ */

void proxy_link_set(proxy_link *l, const proxy_rules *rules)
{
    rules = rules != NULL ? rules : &no_rules;
    for (int way = PROXY_UP; way <= PROXY_DOWN; way++) {
        l->lanes[way].rule = rules->way[way];
    }
    tug_unpark_all(&l->stalled, 0, NULL);
}

void proxy_set(proxy *p, const proxy_rules *rules)
{
    p->rules = rules != NULL ? *rules : no_rules;
}

void proxy_set_all(proxy *p, const proxy_rules *rules)
{
    proxy_set(p, rules);
    for (proxy_link *l = p->youngest; l != NULL; l = l->older) {
        proxy_link_set(l, rules);
    }
}

void proxy_hang_up(proxy *p, bool hang_up)
{
    p->hang_up = hang_up;
}

void proxy_cut_all(proxy *p)
{
    for (proxy_link *l = p->youngest; l != NULL; l = l->older) {
        link_close(l);
    }
}

void proxy_link_cut(proxy_link *l)
{
    link_close(l);
}

int proxy_port(const proxy *p)
{
    return atoi(strrchr(p->address, ':') + 1);
}

size_t proxy_accepted(const proxy *p)
{
    return p->accepted;
}

size_t proxy_open(const proxy *p)
{
    return p->open;
}

proxy_link *proxy_link_at(const proxy *p, size_t i)
{
    proxy_link *l = p->youngest;
    while (l != NULL && l->number != i) {
        l = l->older;
    }
    return l;
}

proxy_link *proxy_link_last(const proxy *p)
{
    proxy_link *l = p->youngest;
    while (l != NULL && !proxy_link_is_open(l)) {
        l = l->older;
    }
    return l;
}

uint64_t proxy_link_bytes(const proxy_link *l, int way)
{
    return l->lanes[way].bytes;
}

bool proxy_link_is_open(const proxy_link *l)
{
    return l->client != NULL && !l->cut;
}
