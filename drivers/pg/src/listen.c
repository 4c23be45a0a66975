/* The public face of LISTEN and NOTIFY. The channels are what the owner wants; the service task
 * (listening.c) makes the server's state equal to it, on this connection and on each that follows.
 *
 *     CONNECTING ---- all channels are heard ----> LIVE
 *        |    ^                                     |
 *     failed  +---------- lost --------------------+
 *        v    |
 *      RESTING         any of them ---- close ----> CLOSED
 */
#include <assert.h>
#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "handle.h"
#include "listener.h"
#include "vain.h"

/* Each is a LISTEN of its own after each reconnect, and a comparison in the server for each
 * notification. */
#define CHANNELS_MAX 10000

static const char *const state_names[TUG__PG_LISTENER_STATE_MAX] = {"CONNECTING", "LIVE", "RESTING",
                                                                    "CLOSED"};

/* One bit for each state that may follow. */
static const unsigned state_edges[TUG__PG_LISTENER_STATE_MAX] = {
    [TUG__PG_LISTENER_CONNECTING] = 1u << TUG__PG_LISTENER_LIVE | 1u << TUG__PG_LISTENER_RESTING |
                                    1u << TUG__PG_LISTENER_CLOSED,
    [TUG__PG_LISTENER_LIVE] = 1u << TUG__PG_LISTENER_CONNECTING | 1u << TUG__PG_LISTENER_CLOSED,
    [TUG__PG_LISTENER_RESTING] = 1u << TUG__PG_LISTENER_CONNECTING | 1u << TUG__PG_LISTENER_CLOSED,
    [TUG__PG_LISTENER_CLOSED] = 0,
};

void tug__pg_listener_set_state(tug_pg_listener *l, tug__pg_listener_state to)
{
    assert((state_edges[l->state] & 1u << to) != 0 &&
           "a listener took an edge that does not exist");
    tug_log(TUG_LOG_TRACE, "pg", "listener %s -> %s", state_names[l->state], state_names[to]);
    l->state = to;
}

void tug__pg_listener_unref(tug_pg_listener *l)
{
    if (l == NULL || --l->references > 0) {
        return;
    }
    assert(l->connection == NULL && "the service task has closed the connection");
    for (size_t i = 0; i < l->channels_n; i++) {
        tug_free(l->channels[i]);
    }
    tug_free(l->channels);
    tug_free(l->current);
    tug__pg_mailbox_free(&l->box);
    tug__pg_texts_free(&l->texts);
    tug__pg_target_unref(l->target);
    tug_free(l);
}

/* --- channels --------------------------------------------------------------------------------- */

size_t tug__pg_listener_place(const tug_pg_listener *l, const char *name, bool *ret_found)
{
    size_t low = 0, high = l->channels_n;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(l->channels[middle]->name, name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static tug__pg_channel *find_channel(const tug_pg_listener *l, const char *name)
{
    bool found;
    size_t place = tug__pg_listener_place(l, name, &found);
    return found ? l->channels[place] : NULL;
}

static int reserve_channel(tug_pg_listener *l)
{
    if (l->channels_n == CHANNELS_MAX) {
        return tug_fail(TUG_ELIMIT, "a listener hears at most %d channels", CHANNELS_MAX);
    }
    if (l->channels_n < l->channels_room) {
        return 0;
    }
    size_t room = l->channels_room > 0 ? l->channels_room * 2 : 8;
    tug__pg_channel **channels = (tug__pg_channel **)tug_realloc((void *)l->channels,
                                                                 room * sizeof *channels);
    if (channels == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a listener");
    }
    l->channels = channels;
    l->channels_room = room;
    return 0;
}

/* The channel of this name, wanted from now on. */
static int want_channel(tug_pg_listener *l, const char *what, const char *name,
                        tug__pg_channel **ret_channel)
{
    bool found = false;
    int rc = tug__pg_check_name(what, name);
    if (rc < 0) {
        return rc;
    }
    size_t place = tug__pg_listener_place(l, name, &found);
    if (!found) {
        rc = reserve_channel(l);
        tug__pg_channel *ch = rc == 0 ? tug_calloc(1, sizeof *ch) : NULL;
        if (ch == NULL) {
            return rc < 0 ? rc : tug_fail(TUG_ENOMEM, "out of memory for a listener");
        }
        memcpy(ch->name, name, strlen(name) + 1);
        memmove((void *)(l->channels + place + 1), (void *)(l->channels + place),
                (l->channels_n - place) * sizeof *l->channels);
        l->channels[place] = ch;
        l->channels_n++;
    }
    l->channels[place]->wanted = true;
    *ret_channel = l->channels[place];
    return 0;
}

void tug__pg_listener_drop_channel(tug_pg_listener *l, tug__pg_channel *ch)
{
    bool found;
    size_t place = tug__pg_listener_place(l, ch->name, &found);
    if (ch->wanted || ch->heard || ch->under_way || ch->adders > 0) {
        return;
    }
    assert(found && l->channels[place] == ch && "a channel is in its listener's list");
    l->channels_n--;
    memmove((void *)(l->channels + place), (void *)(l->channels + place + 1),
            (l->channels_n - place) * sizeof *l->channels);
    tug_free(ch);
}

/* --- what the service task has to say --------------------------------------------------------- */

void tug__pg_listener_deliver(tug_pg_listener *l)
{
    if (!tug_waiters_any(&l->next) || l->stopped) {
        return;
    }
    l->current = tug__pg_mailbox_take(&l->box);
    if (l->current != NULL) {
        tug_unpark_first(&l->next, 1, NULL);
    }
}

static void fail_adders(tug_pg_listener *l, const tug_error *why)
{
    for (size_t i = 0; i < l->channels_n; i++) {
        tug__pg_channel *ch = l->channels[i];
        if (ch->adders > 0 && !ch->confirmed) {
            ch->error = *why;
        }
    }
}

void tug__pg_listener_attempted(tug_pg_listener *l, const tug_error *why)
{
    l->attempts++;
    l->attempt = why != NULL ? *why : (tug_error){0};
    l->untold = false;
    tug_duration down = tug_now() - l->down_since;
    if (why != NULL && (tug__pg_waiting_is_vain(why) ||
                        (l->options.patience != TUG_FOREVER && down >= l->options.patience))) {
        fail_adders(l, why);
        l->untold = !tug_unpark_first(&l->next, why->code, why);
    }
    tug_unpark_all(&l->changed, 0, NULL);
}

static void listener_on_stop(void *arg)
{
    tug_pg_listener *l = arg;
    l->stopped = true;
    tug_unpark_first(&l->next, 0, NULL);
}

static void listener_on_end(void *arg)
{
    tug_pg_listener_close(arg);
}

static void listener_show(tug_inspect_writer *w, void *arg)
{
    const tug_pg_listener *l = arg;
    tug_inspect_text(w, "server", l->target->info.description);
    tug_inspect_text(w, "state", state_names[l->state]);
    if (l->connection != NULL && l->connection->state != TUG__PG_LOST) {
        tug_inspect_number(w, "backend", PQbackendPID(l->connection->pq));
    }
    tug_inspect_number(w, "channels", (int64_t)l->channels_n);
    tug_inspect_number(w, "queued", (int64_t)l->box.n);
    tug_inspect_number(w, "queued_bytes", (int64_t)l->box.bytes);
    tug_inspect_number(w, "received", (int64_t)l->received);
    tug_inspect_number(w, "dropped", (int64_t)l->box.dropped);
    tug_inspect_number(w, "outages", (int64_t)l->outages);
    if (l->attempt.code != 0) {
        tug_inspect_text(w, "connect_error", l->attempt.text);
    }
}

/* --- listen ----------------------------------------------------------------------------------- */

static int check_range(const char *name, uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least || value > most) {
        return tug_fail(TUG_EINVAL, "tug_pg_listen: %s is %llu, not between %llu and %llu", name,
                        (unsigned long long)value, (unsigned long long)least,
                        (unsigned long long)most);
    }
    return 0;
}

static int check_options(const tug_pg_listen_options *o)
{
    const uint64_t ever = TUG_FOREVER;
    int rc = check_range("max_queued", o->max_queued, 1, 1000000);
    rc = rc < 0 ? rc : check_range("max_queued_bytes", o->max_queued_bytes, 65536, 1u << 30);
    rc = rc < 0
             ? rc
             : check_range("check_after (ns)", (uint64_t)o->check_after, (uint64_t)TUG_MS(1), ever);
    rc = rc < 0 ? rc
                : check_range("check_timeout (ns)", (uint64_t)o->check_timeout, (uint64_t)TUG_MS(1),
                              ever);
    rc = rc < 0 ? rc : check_range("backoff_first (ns)", (uint64_t)o->backoff_first, 1, ever);
    rc = rc < 0 ? rc
                : check_range("backoff_most (ns)", (uint64_t)o->backoff_most,
                              (uint64_t)o->backoff_first, ever);
    return rc < 0 ? rc : check_range("patience (ns)", (uint64_t)o->patience, 0, ever);
}

static int listener_new(tug__pg_pool *pool, const tug_pg_listen_options *o,
                        tug_pg_listener **ret_listener)
{
    tug_pg_listener *l = tug_calloc(1, sizeof *l);
    if (l == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a listener");
    }
    l->references = 1;
    l->loop = tug_loop_current();
    l->target = pool->target;
    atomic_fetch_add(&l->target->references, 1);
    l->options = *o;
    l->connect_timeout = pool->options.connect_timeout;
    l->box.max_n = o->max_queued;
    l->box.max_bytes = o->max_queued_bytes;
    l->down_since = tug_now();
    tug_on_stop(&l->stop, listener_on_stop, l);
    tug_on_end(&l->end, listener_on_end, l);
    tug_inspect_add(&l->source, "pg.listener", listener_show, l);
    *ret_listener = l;
    return 0;
}

static int listener_start(tug_pg_listener *l, const char *const *channels, size_t n)
{
    tug__pg_channel *ch;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = want_channel(l, "tug_pg_listen: a channel", channels[i], &ch);
        if (rc == 0) {
            ch->confirmed = true;
        }
    }
    if (rc == 0) {
        l->references++;
        rc = tug_service_spawn("pg.listener", tug__pg_listener_serve, l);
        if (rc < 0) {
            l->references--;
        }
    }
    while (rc == 0 && l->attempts == 0) {
        rc = tug_park(&l->changed, NULL, "pg.listen");
    }
    return rc == 0 && l->attempt.code != 0 ? tug_fail_with(&l->attempt) : rc;
}

int tug_pg_listen(tug_pg *pool, const char *const *channels, size_t n,
                  const tug_pg_listen_options *o, tug_pg_listener **ret_listener)
{
    tug_pg_listen_options all = TUG_PG_LISTEN_OPTIONS_INIT;
    tug_pg_listener *l = NULL;
    int rc = tug__pg_check(pool, "tug_pg_listen");
    if (rc == 0 && pool->kind != TUG__PG_POOL) {
        rc = tug_fail(TUG_EMISUSE,
                      "tug_pg_listen: a listener has a connection of its own: give it the pool");
    }
    if (rc == 0 && o != NULL) {
        memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
    }
    rc = rc < 0 ? rc : check_options(&all);
    rc = rc < 0 ? rc : tug_checkpoint();
    rc = rc < 0 ? rc : listener_new(tug__pg_pool_of(pool), &all, &l);
    rc = rc < 0 ? rc : listener_start(l, channels, n);
    if (rc < 0) {
        tug_pg_listener_close(l);
        return rc;
    }
    *ret_listener = l;
    return 0;
}

/* --- the handle ------------------------------------------------------------------------------- */

static int listener_check(const tug_pg_listener *l, const char *what)
{
    if (l == NULL) {
        return tug_fail(TUG_EMISUSE, "%s: the listener is NULL", what);
    }
    return tug_is_here(l->loop, what) ? 0 : TUG_EMISUSE;
}

static int listener_closed(void)
{
    return tug_fail(TUG_ECLOSED, "the listener was closed");
}

/* ch is heard, or not wanted any more. */
static int add_wait(tug_pg_listener *l, tug__pg_channel *ch)
{
    int rc = 0;
    while (rc == 0 && l->state != TUG__PG_LISTENER_CLOSED && ch->error.code == 0 &&
           (ch->under_way || !ch->heard || l->state != TUG__PG_LISTENER_LIVE)) {
        if (!ch->wanted) {
            return tug_fail(TUG_EDROPPED, "tug_pg_listener_add: the channel was removed meanwhile");
        }
        rc = tug_park(&l->changed, NULL, "pg.listener_add");
    }
    if (rc == 0 && l->state == TUG__PG_LISTENER_CLOSED) {
        return listener_closed();
    }
    return rc == 0 && ch->error.code != 0 ? tug_fail_with(&ch->error) : rc;
}

static int add_channel(tug_pg_listener *l, const char *name)
{
    tug__pg_channel *ch = NULL;
    if (l->state == TUG__PG_LISTENER_CLOSED) {
        return listener_closed();
    }
    int rc = want_channel(l, "tug_pg_listener_add: the channel", name, &ch);
    if (rc < 0) {
        return rc;
    }
    ch->adders++;
    tug_unpark_all(&l->work, 0, NULL);
    rc = add_wait(l, ch);
    ch->adders--;
    ch->confirmed = ch->confirmed || rc == 0;
    if (ch->adders == 0) {
        ch->error = (tug_error){0};
        if (!ch->confirmed) {
            ch->wanted = false;
            tug_unpark_all(&l->work, 0, NULL);
        }
    }
    if (l->state != TUG__PG_LISTENER_CLOSED) {
        tug__pg_listener_drop_channel(l, ch);
    }
    return rc;
}

int tug_pg_listener_add(tug_pg_listener *l, const char *channel)
{
    int rc = listener_check(l, "tug_pg_listener_add");
    if (rc < 0) {
        return rc;
    }
    l->references++;
    rc = tug_checkpoint();
    rc = rc < 0 ? rc : add_channel(l, channel);
    tug__pg_listener_unref(l);
    return rc;
}

int tug_pg_listener_remove(tug_pg_listener *l, const char *channel)
{
    int rc = listener_check(l, "tug_pg_listener_remove");
    if (rc < 0) {
        return rc;
    }
    tug__pg_channel *ch = channel != NULL ? find_channel(l, channel) : NULL;
    if (ch == NULL || !ch->wanted) {
        return tug_fail(TUG_ENOTFOUND, "tug_pg_listener_remove: \"%.63s\" is not listened to",
                        channel != NULL ? channel : "");
    }
    ch->wanted = false;
    ch->confirmed = false;
    tug__pg_mailbox_forget(&l->box, channel);
    tug_unpark_all(&l->changed, 0, NULL);
    tug_unpark_all(&l->work, 0, NULL);
    tug__pg_listener_drop_channel(l, ch);
    return 0;
}

static int next_take(tug_pg_listener *l)
{
    if (l->state == TUG__PG_LISTENER_CLOSED) {
        return listener_closed();
    }
    if (l->read) {
        return tug_fail(TUG_EMISUSE, "tug_pg_listener_next: another task waits in it");
    }
    tug_free(l->current);
    l->current = NULL;
    if (l->stopped) {
        return 0;
    }
    l->current = tug__pg_mailbox_take(&l->box);
    if (l->current != NULL) {
        return 1;
    }
    if (l->untold) {
        l->untold = false;
        return tug_fail_with(&l->attempt);
    }
    l->read = true;
    int rc = tug_park(&l->next, NULL, "pg.listener_next");
    l->read = false;
    return rc == 1 && l->state == TUG__PG_LISTENER_CLOSED ? listener_closed() : rc;
}

int tug_pg_listener_next(tug_pg_listener *l, const tug_pg_notification **ret_notification)
{
    int rc = listener_check(l, "tug_pg_listener_next");
    if (rc < 0) {
        return rc;
    }
    l->references++;
    rc = tug_checkpoint();
    rc = rc < 0 ? rc : next_take(l);
    if (rc == 1) {
        *ret_notification = &l->current->item;
    }
    tug__pg_listener_unref(l);
    return rc;
}

void tug_pg_listener_close(tug_pg_listener *l)
{
    tug_error why;
    if (l == NULL || !tug_is_here_void(l->loop, "tug_pg_listener_close")) {
        return;
    }
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "the listener was closed");
    tug__pg_listener_set_state(l, TUG__PG_LISTENER_CLOSED);
    tug_on_stop_forget(&l->stop);
    tug_on_end_forget(&l->end);
    tug_inspect_remove(&l->source);
    tug_unpark_all(&l->next, TUG_ECLOSED, &why);
    tug_unpark_all(&l->changed, TUG_ECLOSED, &why);
    if (l->scope != NULL) {
        tug_scope_cancel(l->scope);
    }
    tug__pg_listener_unref(l);
}

/* --- notify ----------------------------------------------------------------------------------- */

tug_future *tug_pg_notify_start(tug_pg *db, const char *channel, const char *payload)
{
    if (tug__pg_check_name("tug_pg_notify: the channel", channel) < 0) {
        return tug_future_failed(tug_last_error());
    }
    return tug_pg_exec_start(db, "select pg_notify($1, $2)",
                             TUG_ARGS(channel, payload != NULL ? payload : ""));
}

int tug_pg_notify(tug_pg *db, const char *channel, const char *payload)
{
    tug_future *f = tug_pg_notify_start(db, channel, payload);
    int rc = tug_await_own(f);
    tug_future_unref(f);
    return rc;
}
