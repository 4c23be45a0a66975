/* What streamed rows and COPYs have in common: one connection, for them alone. */
#include "flow.h"

#include <assert.h>

int tug__pg_flow_take(tug_pg *db, const char *what, const void *place, tug_pg **ret_session)
{
    *ret_session = NULL;
    int rc = tug__pg_check(db, what);
    if (rc < 0) {
        return rc;
    }
    if (db->kind != TUG__PG_POOL) {
        rc = tug__pg_check_held(db, what);
        return rc < 0 ? rc : tug_checkpoint();
    }
    rc = tug__pg_check_holder(db, what);
    rc = rc < 0 ? rc : tug__pg_acquire_from(db, place, ret_session);
    if (rc == 0) {
        tug__pg_holding_clear_holder((*ret_session)->holding);
    }
    return rc;
}

void tug__pg_flow_begin(tug__pg_flow *flow, tug_pg *on, tug_pg *session)
{
    tug__pg_holding *h = tug__pg_holding_ref(on->holding);
    tug__pg_pool *pool = h->pool;
    assert(h->flow == NULL && "one at a time on a connection");
    flow->holding = h;
    flow->session = session;
    h->flow = flow;
    flow->next = pool->flows;
    flow->at_prev = &pool->flows;
    if (flow->next != NULL) {
        flow->next->at_prev = &flow->next;
    }
    pool->flows = flow;
}

static void flow_unlink(tug__pg_flow *flow)
{
    if (flow->at_prev != NULL) {
        *flow->at_prev = flow->next;
        if (flow->next != NULL) {
            flow->next->at_prev = flow->at_prev;
        }
        flow->at_prev = NULL;
    }
}

void tug__pg_flow_end(tug__pg_flow *flow)
{
    tug__pg_holding *h = flow->holding;
    tug_pg *session = flow->session;
    if (h == NULL) {
        return;
    }
    flow->holding = NULL;
    flow->session = NULL;
    h->flow = NULL;
    /* The session first, while the holding keeps the pool alive. */
    tug_pg_close(session);
    tug__pg_holding_unref(h);
}

void tug__pg_flow_forget(tug__pg_flow *flow)
{
    flow_unlink(flow);
    tug__pg_flow_end(flow);
}

void tug__pg_flow_cut(tug__pg_flow *flow)
{
    if (flow != NULL) {
        flow->cut(flow);
    }
}

void tug__pg_flows_close(tug__pg_pool *pool)
{
    while (pool->flows != NULL) {
        pool->flows->close(pool->flows);
    }
}
