/* Which connection a statement on the pool goes to:
 *   1. the least loaded shared one that has room and whose oldest statement is younger than
 *      head_limit: behind a slow one everybody would wait;
 *   2. if there is none, one leased for this statement alone, as long as the pool of those has one
 *      to give;
 *   3. else the least loaded shared one that has room, slow or not;
 *   4. else it waits, in order, for any of these. */
#include <assert.h>
#include <tug/log.h>

#include "handle.h"

/* After a lease for a statement could not be had, none is asked for during this time. */
#define LENDING_PAUSE TUG_SECONDS(1)

static void pool_end_request(tug__pg_request *r, const tug_error *why, int sent)
{
    tug_error e = *why;
    e.sent = (uint8_t)sent;
    r->done(r, NULL, &e);
}

static void pool_fail_waiting(tug__pg_pool *pool, const tug_error *why)
{
    tug__pg_request *r;
    while ((r = tug__pg_requests_pop(&pool->waiting)) != NULL) {
        pool_end_request(r, why, TUG_NOT_SENT);
    }
}

/* --- shared connections ----------------------------------------------------------------------- */

static tug__pg_connection *pool_choose(const tug__pg_pool *pool, bool slow_too)
{
    tug__pg_connection *best = NULL;
    for (size_t i = 0; i < pool->slots_n; i++) {
        tug__pg_connection *c = pool->slots[i].connection;
        if (c == NULL || !tug__pg_connection_has_room(c) ||
            !tug__pg_role_still_fits(c->limits.role, c->pq)) {
            continue;
        }
        bool slow = c->n > 0 && tug_turn_time() - c->head_since > pool->options.head_limit;
        if (slow && !slow_too) {
            continue;
        }
        if (best == NULL || tug__pg_connection_load(c) < tug__pg_connection_load(best)) {
            best = c;
        }
    }
    return best;
}

static bool pool_has_shared(const tug__pg_pool *pool)
{
    for (size_t i = 0; i < pool->slots_n; i++) {
        if (pool->slots[i].connection != NULL) {
            return true;
        }
    }
    return false;
}

static bool pool_opens_shared(const tug__pg_pool *pool)
{
    for (size_t i = 0; i < pool->slots_n; i++) {
        if (pool->slots[i].acquiring != NULL) {
            return true;
        }
    }
    return false;
}

/* After a failover: what is under way on it may end, then another server is looked for. */
static void slot_retire(tug__pg_connection *c)
{
    tug_error why;
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "connection to %.60s closed: its server is no longer %s", c->where,
                  tug__pg_role_name(c->limits.role));
    tug__pg_connection_lose(c, &why);
}

/* What the connection has not sent waits in the pool again. */
static void slot_give_back(tug__pg_pool *pool, tug__pg_connection *c)
{
    for (tug__pg_request *r = c->queue.first; r != NULL; r = r->next) {
        r->connection = NULL;
    }
    tug__pg_requests_move_first(&pool->waiting, &c->queue);
}

static void slot_room(tug__pg_connection *c, void *arg)
{
    tug__pg_pool *pool = ((tug__pg_slot *)arg)->pool;
    if (tug__pg_connection_is_quiet(c) && !tug__pg_role_still_fits(c->limits.role, c->pq)) {
        slot_retire(c);
        return;
    }
    if (c->queue.first != NULL && c->cancel.state != TUG__PG_CANCEL_NONE) {
        slot_give_back(pool, c); /* came in the same turn; it need not wait for the cancel */
    }
    if (pool->waiting.first != NULL) {
        tug__pg_pool_dispatch(pool);
    }
}

/* What it had not sent yet goes elsewhere: nothing of it has happened. */
static void slot_lost(tug__pg_connection *c, void *arg)
{
    tug__pg_slot *slot = arg;
    tug__pg_pool *pool = slot->pool;
    tug_lease *lease = slot->lease;
    slot->connection = NULL;
    slot->lease = NULL;
    slot_give_back(pool, c);
    tug_lease_close(lease);
    if (!pool->closed) {
        tug_log(TUG_LOG_WARN, "pg", "%s", c->why.text);
        tug__pg_pool_dispatch(pool);
        tug__pg_pool_open_shared(pool);
    }
}

static void slot_acquired(tug_future *f, void *arg)
{
    tug__pg_slot *slot = arg;
    tug__pg_pool *pool = slot->pool;
    tug_lease *lease = NULL;
    slot->acquiring = NULL;
    int rc = tug_pool_acquire_take(f, &lease);
    if (rc == 0 && pool->closed) {
        tug_lease_close(lease);
    } else if (rc == 0) {
        tug__pg_connection *c = tug_lease_resource(lease);
        slot->lease = lease;
        slot->connection = c;
        c->hooks = (tug__pg_hooks){.room = slot_room, .lost = slot_lost, .arg = slot};
        if (c->state == TUG__PG_LOST) { /* between hand-over and here */
            slot_lost(c, slot);
        }
    } else if (!pool->closed && !pool_has_shared(pool)) {
        /* Those that are still being opened fare no better: the pool fails all of them at once, or
         * all have waited equally long. */
        tug_unpark_all(&pool->ready_waiters, rc, tug_last_error());
        pool_fail_waiting(pool, tug_last_error());
    }
    if (!pool->closed) {
        tug__pg_pool_dispatch(pool);
    }
    tug__pg_pool_unref(pool);
}

void tug__pg_pool_open_shared(tug__pg_pool *pool)
{
    for (size_t i = 0; i < pool->slots_n; i++) {
        tug__pg_slot *slot = &pool->slots[i];
        if (slot->connection == NULL && slot->acquiring == NULL) {
            tug__pg_pool_ref(pool);
            slot->acquiring = tug_pool_acquire_start(pool->shared_pool);
            tug_future_on_settled(slot->acquiring, slot_acquired, slot);
        }
    }
}

/* --- connections leased for one statement ----------------------------------------------------- */

static void lend_to(tug__pg_pool *pool, tug__pg_holding *h)
{
    tug__pg_request *r = tug__pg_requests_pop(&pool->waiting);
    if (r == NULL) {
        tug__pg_holding_unref(h); /* a shared one was faster */
        return;
    }
    r->holding = h;
    r->alone_next = pool->alone;
    r->alone_at_prev = &pool->alone;
    if (r->alone_next != NULL) {
        r->alone_next->alone_at_prev = &r->alone_next;
    }
    pool->alone = r;
    if (r->marks) {
        tug_lease_mark_dirty(h->lease);
    }
    tug__pg_connection_add(h->connection, r);
}

void tug__pg_pool_not_alone(tug__pg_request *r)
{
    *r->alone_at_prev = r->alone_next;
    if (r->alone_next != NULL) {
        r->alone_next->alone_at_prev = r->alone_at_prev;
    }
}

static void lend_settled(tug_future *f, void *arg)
{
    tug__pg_pool *pool = arg;
    tug_lease *lease = NULL;
    pool->lending--;
    tug__pg_holding *h = NULL;
    if (tug_pool_acquire_take(f, &lease) == 0) {
        h = tug__pg_holding_new(pool, lease);
    }
    if (h != NULL) {
        lend_to(pool, h);
    } else if (!pool->closed) {
        pool->no_lending_until = tug_time_after(tug_now(), LENDING_PAUSE);
        if (!pool_has_shared(pool)) {
            pool_fail_waiting(pool, tug_last_error());
        }
    }
    if (!pool->closed) {
        tug__pg_pool_dispatch(pool);
    }
    tug__pg_pool_unref(pool);
}

/* How many more statements could get a connection of their own. */
static size_t pool_can_lend(const tug__pg_pool *pool)
{
    if (pool->slots_n == 0) {
        /* There is nothing else to hope for: some wait in the pool of leases, in order. */
        return pool->options.pool_max - pool->lending;
    }
    if (pool_opens_shared(pool) && !pool_has_shared(pool)) {
        return 0; /* the first login decides */
    }
    if (tug_turn_time() < pool->no_lending_until) {
        return 0;
    }
    tug_pool_stats stats = TUG_POOL_STATS_INIT;
    tug_pool_get_stats(pool->leased_pool, &stats);
    size_t used = stats.busy + stats.preparing + stats.closing + stats.waiting;
    return used < pool->options.pool_max ? pool->options.pool_max - used : 0;
}

static void pool_lend(tug__pg_pool *pool, size_t most)
{
    for (size_t i = 0; i < most && pool->lending < pool->waiting.n; i++) {
        pool->lending++;
        tug__pg_pool_ref(pool);
        tug_future_on_settled(tug_pool_acquire_start(pool->leased_pool), lend_settled, pool);
    }
}

/* --- both ------------------------------------------------------------------------------------- */

void tug__pg_pool_dispatch(tug__pg_pool *pool)
{
    if (pool->waiting.first != NULL && !pool_has_shared(pool)) {
        tug__pg_pool_open_shared(pool);
    }
    while (pool->waiting.first != NULL) {
        tug__pg_connection *c = pool_choose(pool, false);
        if (c == NULL && pool->waiting.n > pool->lending) {
            size_t more = pool_can_lend(pool);
            pool_lend(pool, more);
            c = more > 0 ? NULL : pool_choose(pool, true);
        }
        if (c == NULL) {
            break;
        }
        tug__pg_connection_add(c, tug__pg_requests_pop(&pool->waiting));
    }
}

void tug__pg_pool_add(tug__pg_pool *pool, tug__pg_request *r)
{
    tug__pg_connection *c = pool->waiting.first == NULL ? pool_choose(pool, false) : NULL;
    if (c != NULL) {
        tug__pg_connection_add(c, r);
        return;
    }
    if (pool->waiting.n >= pool->options.max_waiters) {
        tug_error why;
        tug_error_set(&why, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "%zu statements wait for a connection to %.60s already (max_waiters)",
                      pool->waiting.n, pool->target->info.description);
        pool_end_request(r, &why, TUG_NOT_SENT);
        return;
    }
    tug__pg_requests_push(&pool->waiting, r);
    tug__pg_pool_dispatch(pool);
}

void tug__pg_pool_shut(tug__pg_pool *pool, const tug_error *why)
{
    assert(pool->closed && "nothing is dispatched after the end");
    pool_fail_waiting(pool, why);
    while (pool->alone != NULL) {
        tug__pg_request *r = pool->alone;
        tug__pg_connection_lose(r->holding->connection, why);
        assert(pool->alone != r && "a request that ended has left the list");
    }
    for (size_t i = 0; i < pool->slots_n; i++) {
        tug__pg_slot *slot = &pool->slots[i];
        if (slot->connection != NULL) {
            tug__pg_connection_lose(slot->connection, why);
        } else if (slot->acquiring != NULL) {
            tug_future_cancel(slot->acquiring);
        }
    }
    /* What a shared connection had not sent yet came back. */
    pool_fail_waiting(pool, why);
}
