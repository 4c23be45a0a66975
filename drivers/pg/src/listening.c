/* The service task of a listener: connects, makes what the server knows equal to what the owner
 * wants, looks after the connection while it is silent, and begins anew when it is lost. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "handle.h"
#include "listener.h"

/* LISTENs in flight at a time. */
#define SYNC_BATCH 64
/* A connection that lived shorter than this is followed by a pause. */
#define LIFE_LEAST TUG_SECONDS(1)
/* Only plain statements of the driver's own go over this connection. */
#define RESULT_BYTES 65536

static struct tug_timestamp wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct tug_timestamp){(int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000};
}

/* When something was asked, by both clocks. */
struct asked {
    struct tug_timestamp wall;
    tug_time at;
};

static struct asked ask_now(void)
{
    return (struct asked){wall_clock(), tug_now()};
}

/* The server has answered what was asked then, and before the answer it sends all that was notified until then.
 * A notification says less: those that were sent while it was on its way may be lost behind it. */
static void note_answer(tug_pg_listener *l, struct asked asked)
{
    l->complete_until = asked.wall;
    l->answered_at = asked.at;
}

/* --- the connection's hooks ------------------------------------------------------------------- */

static void on_notified(tug__pg_connection *c, const PGnotify *n, void *arg)
{
    tug_pg_listener *l = arg;
    bool found;
    size_t place = tug__pg_listener_place(l, n->relname, &found);
    l->heard_at = tug_turn_time();
    if (!found || !l->channels[place]->wanted) {
        return; /* removed, and the server does not know it yet */
    }
    l->received++;
    if (tug__pg_mailbox_put(&l->box, n->relname, n->extra, n->be_pid) < 0) {
        tug__pg_connection_lose(c, tug_last_error()); /* the outage counts for what is missing */
        return;
    }
    tug__pg_listener_deliver(l);
}

static void on_lost(tug__pg_connection *c, void *arg)
{
    tug_pg_listener *l = arg;
    (void)c;
    tug_unpark_all(&l->work, 0, NULL);
}

/* --- one connection --------------------------------------------------------------------------- */

struct new_connection {
    tug_pg_listener *listener;
    PGconn *pq;
    int rc;
    tug_error error;
};

static void make_connection(void *arg)
{
    struct new_connection *n = arg;
    tug_pg_listener *l = n->listener;
    tug__pg_limits limits = {.requests = 2 * SYNC_BATCH,
                             .bytes = 1 << 20,
                             .result_bytes = RESULT_BYTES,
                             .statements = 8,
                             .statement_bytes = 4096};
    n->rc = tug__pg_connection_new(n->pq, &l->texts, NULL, &limits, true,
                                   l->target->info.description, &l->connection);
    if (n->rc < 0) {
        n->error = *tug_last_error();
        PQfinish(n->pq);
        return;
    }
    l->connection->hooks = (tug__pg_hooks){.lost = on_lost, .notified = on_notified, .arg = l};
}

static void free_connection(void *arg)
{
    tug__pg_connection_free(arg);
}

static void disconnect(tug_pg_listener *l)
{
    tug__pg_connection *c = l->connection;
    if (c != NULL) {
        c->hooks = (tug__pg_hooks){0};
        l->connection = NULL;
        tug_on_loop_stack(free_connection, c);
    }
    for (size_t i = l->channels_n; i > 0; i--) {
        l->channels[i - 1]->heard = false;
        tug__pg_listener_drop_channel(l, l->channels[i - 1]);
    }
}

static bool is_in_step(const tug__pg_channel *ch)
{
    return ch->wanted == ch->heard;
}

static tug_future *start_step(tug_pg_listener *l, tug__pg_channel *ch)
{
    char quoted[TUG__PG_QUOTED_MAX];
    int rc = tug__pg_quote_name("a channel", ch->name, quoted);
    assert(rc == 0 && "a channel's name was checked when it came in");
    (void)rc;
    snprintf(ch->sql, sizeof ch->sql, "%s %s", ch->wanted ? "LISTEN" : "UNLISTEN", quoted);
    ch->under_way = true;
    return tug__pg_plain_start(l->connection, ch->sql);
}

/* strict: a LISTEN that the server refuses fails the connection, else only who asked for it. */
static int finish_step(tug_pg_listener *l, tug__pg_channel *ch, tug_future *f, bool strict)
{
    const tug_error *e = tug_future_error(f);
    bool settled = tug_future_is_settled(f);
    bool listened = ch->sql[0] == 'L';
    int rc = 0;
    ch->under_way = false;
    if (settled && e->code == 0) {
        ch->heard = listened;
    } else if (settled && e->code == TUG_ESERVER && !strict && listened) {
        ch->error = *e;
        ch->wanted = false;
        ch->confirmed = false;
    } else {
        rc = settled ? tug_fail_with(e) : TUG_ECANCELED;
    }
    tug_future_drop(f);
    tug__pg_listener_drop_channel(l, ch);
    return rc;
}

/* Up to SYNC_BATCH of those that are not as they are wanted. */
static int sync_some(tug_pg_listener *l, bool strict)
{
    tug__pg_channel *channels[SYNC_BATCH];
    tug_future *f[SYNC_BATCH];
    size_t n = 0;
    struct asked asked = ask_now();
    for (size_t i = 0; i < l->channels_n && n < SYNC_BATCH; i++) {
        if (!is_in_step(l->channels[i])) {
            channels[n] = l->channels[i];
            f[n] = start_step(l, channels[n]);
            n++;
        }
    }
    int rc = tug_gather_settled(f, n);
    for (size_t i = 0; i < n; i++) {
        int one = finish_step(l, channels[i], f[i], strict);
        rc = rc == 0 ? one : rc;
    }
    if (rc == 0) {
        note_answer(l, asked);
    }
    tug_unpark_all(&l->changed, 0, NULL);
    return rc;
}

static bool all_in_step(const tug_pg_listener *l)
{
    for (size_t i = 0; i < l->channels_n; i++) {
        if (!is_in_step(l->channels[i])) {
            return false;
        }
    }
    return true;
}

static int sync_all(tug_pg_listener *l, bool strict)
{
    int rc = 0;
    while (rc == 0 && !all_in_step(l)) {
        rc = sync_some(l, strict);
    }
    return rc;
}

static int connect_once(tug_pg_listener *l)
{
    struct new_connection n = {.listener = l};
    struct asked asked = ask_now();
    int rc = tug__pg_mailbox_prepare(&l->box);
    rc = rc < 0 ? rc : tug__pg_login(l->target, l->connect_timeout, &n.pq);
    if (rc < 0) {
        return rc;
    }
    tug_on_loop_stack(make_connection, &n);
    if (n.rc < 0) {
        return tug_fail_with(&n.error);
    }
    note_answer(l, asked);
    rc = TUG_WITHIN(l->connect_timeout, sync_all(l, true));
    if (rc == TUG_ETIMEDOUT) {
        rc = tug_fail(TUG_ECONNECT, "no answer to LISTEN within %lld ms from %.60s",
                      (long long)(l->connect_timeout / 1000000), l->target->info.description);
    }
    if (rc == 0 && l->connection->state == TUG__PG_LOST) {
        rc = tug_fail_with(&l->connection->why);
    }
    return rc;
}

/* --- while it is there ------------------------------------------------------------------------ */

/* A round trip: a server that is gone without a word is found out by nothing else, and nothing else says that
 * nothing is missing. Notifications that come before the answer are a sign of life, too. */
static int check_connection(tug_pg_listener *l)
{
    struct asked asked = ask_now();
    TUG_AUTO(tug_future) f = tug__pg_plain_start(l->connection, "");
    tug_time heard;
    int rc;
    do {
        heard = l->heard_at;
        rc = TUG_WITHIN(l->options.check_timeout, tug_await(f));
    } while (rc == TUG_ETIMEDOUT && l->heard_at != heard);
    if (rc == TUG_ETIMEDOUT) {
        tug_error why;
        tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "connection to %.60s lost: no answer to a check within %lld ms",
                      l->target->info.description, (long long)(l->options.check_timeout / 1000000));
        tug__pg_connection_lose(l->connection, &why);
    }
    if (rc == 0) {
        note_answer(l, asked);
    }
    return rc;
}

/* A check when the last answer is long enough ago, else to wait. */
static int attend_age(tug_pg_listener *l)
{
    tug_time due = tug_time_after(l->answered_at, l->options.check_after);
    tug_time now = tug_now();
    if (due <= now) {
        return check_connection(l);
    }
    tug_duration left = due == TUG_FOREVER ? TUG_FOREVER : due - now;
    int rc = TUG_WITHIN(left, tug_park(&l->work, NULL, "pg.listener"));
    return rc == TUG_ETIMEDOUT ? 0 : rc;
}

/* Returns 0 when the connection is lost, TUG_ECANCELED when the listener is to end. */
static int attend(tug_pg_listener *l)
{
    while (l->connection->state != TUG__PG_LOST) {
        int rc = all_in_step(l) ? attend_age(l) : sync_some(l, false);
        if (rc == TUG_ECANCELED) {
            return rc;
        }
        if (rc < 0) {
            /* Out of memory, or an answer that cannot be: a new connection sets it right. */
            tug__pg_connection_lose(l->connection, tug_last_error());
        }
    }
    return 0;
}

/* The owner may have closed it while this task waited for something else. */
static void go(tug_pg_listener *l, tug__pg_listener_state to)
{
    if (l->state != TUG__PG_LISTENER_CLOSED) {
        tug__pg_listener_set_state(l, to);
    }
}

/* --- over and over ---------------------------------------------------------------------------- */

static void went_live(tug_pg_listener *l)
{
    tug__pg_mailbox_gap_end(&l->box, wall_clock());
    go(l, TUG__PG_LISTENER_LIVE);
    tug_log(TUG_LOG_DEBUG, "pg", "listening at %s pid=%d", l->target->info.description,
            PQbackendPID(l->connection->pq));
    tug__pg_listener_attempted(l, NULL);
    tug__pg_listener_deliver(l);
}

static void went_down(tug_pg_listener *l)
{
    tug_log(TUG_LOG_WARN, "pg", "listener: %s", l->connection->why.text);
    l->outages++;
    l->down_since = tug_now();
    tug__pg_mailbox_gap_begin(&l->box, l->complete_until);
    go(l, TUG__PG_LISTENER_CONNECTING);
}

static int rest(tug_pg_listener *l, unsigned attempt)
{
    go(l, TUG__PG_LISTENER_RESTING);
    int rc = tug_sleep(tug_backoff(attempt, l->options.backoff_first, l->options.backoff_most));
    if (rc == 0) {
        go(l, TUG__PG_LISTENER_CONNECTING);
    }
    return rc;
}

static int serve(tug_pg_listener *l)
{
    unsigned attempt = 0;
    int rc = 0;
    while (rc == 0) {
        rc = connect_once(l);
        if (rc == 0) {
            tug_time since = tug_now();
            went_live(l);
            rc = attend(l);
            if (rc < 0) {
                break;
            }
            went_down(l);
            disconnect(l);
            if (tug_now() - since >= LIFE_LEAST) {
                attempt = 0;
                continue;
            }
        } else if (rc != TUG_ECANCELED) {
            tug_error why = *tug_last_error();
            disconnect(l);
            tug_log(TUG_LOG_INFO, "pg", "listener: %s", why.text);
            tug__pg_listener_attempted(l, &why);
        } else {
            break;
        }
        rc = rest(l, attempt++);
    }
    return rc;
}

int tug__pg_listener_serve(void *arg)
{
    tug_pg_listener *l = arg;
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    l->scope = &s;
    if (l->state == TUG__PG_LISTENER_CLOSED) {
        tug_scope_cancel(&s);
    }
    int rc = serve(l);
    l->scope = NULL;
    TUG_IGNORE(tug_scope_leave(&s, rc));
    disconnect(l);
    tug__pg_listener_unref(l);
    return 0;
}
