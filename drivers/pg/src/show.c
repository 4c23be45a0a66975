/* What tug_inspect says of a PostgreSQL handle. Its two pools of connections show themselves; here is what
 * the connections do. */
#include "handle.h"

static void show_connection(tug_inspect_writer *w, const tug__pg_connection *c)
{
    tug_inspect_text(w, "state", tug__pg_state_name(c->state));
    if (c->state == TUG__PG_LOST) {
        tug_inspect_text(w, "why", c->why.text);
        return;
    }
    tug_inspect_number(w, "backend", PQbackendPID(c->pq));
    tug_inspect_number(w, "queued", (int64_t)c->queue.n);
    tug_inspect_number(w, "in_flight", (int64_t)c->n);
    tug_inspect_number(w, "in_flight_bytes", (int64_t)c->bytes);
    if (c->n > 0) {
        tug_inspect_duration(w, "head_since", tug_turn_time() - c->head_since);
    }
    tug_inspect_bool(w, "unsent", c->unsent);
    if (c->cancel.state != TUG__PG_CANCEL_NONE) {
        tug_inspect_text(w, "cancel", tug__pg_cancel_state_name(c->cancel.state));
        tug_inspect_number(w, "cancel_requests", (int64_t)c->cancel.asked);
    }
}

static void show_shared(tug_inspect_writer *w, const tug__pg_pool *pool)
{
    tug_inspect_list(w, "shared");
    for (size_t i = 0; i < pool->slots_n; i++) {
        const tug__pg_slot *slot = &pool->slots[i];
        tug_inspect_item(w);
        if (slot->connection != NULL) {
            show_connection(w, slot->connection);
        } else {
            tug_inspect_text(w, "state", slot->acquiring != NULL ? "opening" : "none");
        }
        tug_inspect_item_end(w);
    }
    tug_inspect_list_end(w);
}

static void show_held(tug_inspect_writer *w, const tug__pg_pool *pool)
{
    tug_inspect_list(w, "held");
    for (const tug_pg *h = pool->handles; h != NULL; h = h->next) {
        tug_inspect_item(w);
        tug_inspect_text(w, "kind", h->kind == TUG__PG_SESSION ? "session" : "transaction");
        tug_inspect_number(w, "task", (int64_t)h->holding->holder);
        if (h->holding->connection != NULL) {
            show_connection(w, h->holding->connection);
        }
        tug_inspect_item_end(w);
    }
    tug_inspect_list_end(w);
}

void tug__pg_pool_show(tug_inspect_writer *w, void *arg)
{
    const tug__pg_pool *pool = arg;
    tug_inspect_text(w, "server", pool->target->info.description);
    tug_inspect_text(w, "state", pool->closed ? "closed" : "open");
    tug_inspect_number(w, "waiting", (int64_t)pool->waiting.n);
    tug_inspect_number(w, "logins", (int64_t)pool->attempts);
    if (pool->attempt.code != 0) {
        tug_inspect_text(w, "login_error", pool->attempt.text);
    }
    show_shared(w, pool);
    show_held(w, pool);
}
