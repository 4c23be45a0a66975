/* What tug_inspect says of a Redis handle. */
#include "handle.h"

void tug__redis_show(tug_inspect_writer *w, void *arg)
{
    const tug_redis *r = arg;
    tug_inspect_text(w, "peer", r->where);
    tug_inspect_text(w, "state", tug__redis_state_name(r->state));
    tug_inspect_number(w, "database", (int64_t)r->config.database);
    tug_inspect_number(w, "in_flight", (int64_t)(r->queue.tail - r->queue.head));
    if (r->transport != NULL) {
        tug_inspect_number(w, "unsent_bytes", (int64_t)tug_transport_unsent(r->transport));
        tug_inspect_duration(w, "last_received",
                             tug_turn_time() - tug_transport_last_received(r->transport));
    } else {
        tug_inspect_number(w, "unsent_bytes", (int64_t)r->early_size);
    }
    if (r->why.code != 0) {
        tug_inspect_text(w, "why", r->why.text);
    }
}
