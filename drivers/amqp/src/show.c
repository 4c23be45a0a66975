/* What tug_inspect says of a RabbitMQ handle: its two connections, publishes and consumers. */
#include "handle.h"

static void show_connection(tug_inspect_writer *w, const tug__amqp_conn *c)
{
    size_t channels = 0;
    for (size_t i = 0; i < c->n_channels; i++) {
        channels += c->channels[i] != NULL;
    }
    tug_inspect_item(w);
    tug_inspect_text(w, "role", tug__amqp_conn_role(c));
    tug_inspect_text(w, "state", tug__amqp_conn_state_name(c->state));
    if (c->transport != NULL) {
        tug_inspect_text(w, "peer", tug_transport_peer(c->transport));
        tug_inspect_number(w, "unsent_bytes", (int64_t)tug_transport_unsent(c->transport));
        tug_inspect_duration(w, "last_received",
                             tug_turn_time() - tug_transport_last_received(c->transport));
    }
    tug_inspect_number(w, "channels", (int64_t)channels);
    tug_inspect_bool(w, "blocked", c->is_blocked);
    tug_inspect_bool(w, "reading_paused", c->pauses > 0);
    tug_inspect_item_end(w);
}

void tug__amqp_show(tug_inspect_writer *w, void *arg)
{
    const tug_amqp *mq = arg;
    tug_inspect_text(w, "broker", mq->config->place);
    tug_inspect_text(w, "vhost", mq->config->vhost);
    tug_inspect_text(w, "user", mq->config->user);
    tug_inspect_number(w, "publishing", (int64_t)mq->publisher.n_jobs);
    tug_inspect_number(w, "unconfirmed", (int64_t)(mq->publisher.next - mq->publisher.oldest));
    if (mq->end.code != 0) {
        tug_inspect_text(w, "why", mq->end.text);
    }
    tug_inspect_list(w, "connection");
    show_connection(w, &mq->main);
    show_connection(w, &mq->pub);
    tug_inspect_list_end(w);
    tug__amqp_consumers_show(w, mq);
}
