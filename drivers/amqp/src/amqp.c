/* The handle: opening, readiness, the end. */
#include <tug/amqp.h>

#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "handle.h"

void tug__amqp_ref(tug_amqp *mq)
{
    mq->refs++;
}

void tug__amqp_unref(tug_amqp *mq)
{
    if (--mq->refs == 0) {
        tug_inspect_remove(&mq->source);
        tug__amqp_publisher_free(&mq->publisher);
        tug__amqp_config_free(mq->config);
        tug_free(mq);
    }
}

const void *tug__amqp_thread(void)
{
    static __thread char this_thread;
    return &this_thread;
}

int tug__amqp_check(const tug_amqp *mq)
{
    if (mq == NULL) {
        return tug_fail(TUG_EINVAL, "amqp: the handle is NULL");
    }
    if (mq->thread != tug__amqp_thread()) {
        return tug_fail(TUG_EMISUSE, "amqp: the handle belongs to another thread's loop");
    }
    return mq->end.code != 0 ? tug_fail_with(&mq->end) : 0;
}

tug_future *tug__amqp_failed(void)
{
    return tug_future_failed(tug_last_error());
}

/* --- the end ------------------------------------------------------------------------------------ */

/* Whatever ends it, it ends once and as a whole: consumers, requests and publishes learn why,
 * both connections say goodbye if they still can. */
static void handle_end(tug_amqp *mq, const tug_error *why, bool is_orderly)
{
    if (mq->end.code != 0) {
        return;
    }
    tug__amqp_ref(mq);
    if (is_orderly) {
        tug__amqp_consumers_flush(mq);
    }
    if (mq->end.code == 0) {
        mq->end = *why;
        mq->end.sent = TUG_NOT_SENT; /* as seen by the calls that come from now on */
        tug_on_end_forget(&mq->at_end);
        tug__amqp_consumers_end(mq, is_orderly ? NULL : why);
        tug__amqp_topology_end(&mq->topology, why);
        tug__amqp_publisher_end(&mq->publisher, why);
        tug_unpark_all(&mq->ready, why->code, why);
        tug__amqp_conn_close(&mq->main);
        tug__amqp_conn_close(&mq->pub);
    }
    tug__amqp_unref(mq);
}

static void handle_close(void *arg)
{
    tug_amqp *mq = arg;
    tug_error why;
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "%s: the handle was closed", mq->config->where);
    handle_end(mq, &why, true);
}

void tug_amqp_close(tug_amqp *mq)
{
    if (mq == NULL) {
        return;
    }
    if (mq->thread != tug__amqp_thread()) {
        tug_log(TUG_LOG_ERROR, "amqp",
                "tug_amqp_close refused: the handle belongs to another thread's loop");
        return;
    }
    handle_close(mq);
    tug__amqp_unref(mq);
}

/* --- what the connections tell ------------------------------------------------------------------ */

const char *tug__amqp_conn_role(const tug__amqp_conn *c)
{
    return c == &c->mq->pub ? "publishing connection" : "connection";
}

void tug__amqp_conn_opened(tug__amqp_conn *c)
{
    tug_amqp *mq = c->mq;
    tug_log(TUG_LOG_INFO, "amqp",
            "%s: %s open user=%s vhost=%s frame_max=%u channel_max=%u heartbeat_s=%lld",
            mq->config->place, tug__amqp_conn_role(c), mq->config->user, mq->config->vhost,
            c->frame_max, c->channel_max, (long long)(c->heartbeat / TUG_SECONDS(1)));
    if (c == &mq->pub) {
        tug__amqp_publisher_go(&mq->publisher);
        return;
    }
    tug_unpark_all(&mq->ready, 0, NULL);
    tug__amqp_topology_go(&mq->topology);
    tug__amqp_consumers_go(mq);
}

void tug__amqp_conn_blocked(tug__amqp_conn *c)
{
    if (c == &c->mq->pub) {
        tug__amqp_publisher_go(&c->mq->publisher);
    }
}

void tug__amqp_conn_room(tug__amqp_conn *c)
{
    tug__amqp_conn_blocked(c);
}

void tug__amqp_conn_lost(tug__amqp_conn *c, const tug_error *why)
{
    if (c->mq->end.code == 0) {
        const char *text = strncmp(why->text, "amqp ", 5) == 0 ? why->text + 5 : why->text;
        tug_log(TUG_LOG_WARN, "amqp", "%s (%s)", text, tug__amqp_conn_role(c));
    }
    handle_end(c->mq, why, false);
}

/* --- opening ------------------------------------------------------------------------------------ */

int tug__amqp_attach(const char *url, const tug_amqp_options *o, int fd_main, int fd_pub,
                     tug_amqp **ret_mq)
{
    tug__amqp_config *config = NULL;
    if (!tug_has_loop("tug_amqp_open")) {
        return TUG_EMISUSE;
    }
    int rc = tug__amqp_config_new(url, o, &config);
    if (rc < 0) {
        return rc;
    }
    tug_amqp *mq = tug_calloc(1, sizeof *mq);
    if (mq == NULL) {
        tug__amqp_config_free(config);
        return tug_fail(TUG_ENOMEM, "amqp: no memory for a handle");
    }
    mq->refs = 1;
    mq->thread = tug__amqp_thread();
    mq->config = config;
    tug__amqp_conn_init(&mq->main, mq);
    tug__amqp_conn_init(&mq->pub, mq);
    mq->main.fd = fd_main;
    mq->pub.fd = fd_pub;
    tug__amqp_topology_init(&mq->topology, &mq->main);
    tug__amqp_publisher_init(&mq->publisher, &mq->pub);
    rc = tug__amqp_conn_start(&mq->main);
    if (rc < 0) {
        tug__amqp_unref(mq);
        return rc;
    }
    tug_on_end(&mq->at_end, handle_close, mq);
    tug_inspect_add(&mq->source, "amqp", tug__amqp_show, mq);
    *ret_mq = mq;
    return 0;
}

int tug_amqp_open(const char *url, const tug_amqp_options *o, tug_amqp **ret_mq)
{
    return tug__amqp_attach(url, o, -1, -1, ret_mq);
}

int tug_amqp_ready(tug_amqp *mq)
{
    if (mq == NULL || mq->thread != tug__amqp_thread()) {
        return tug__amqp_check(mq);
    }
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    tug__amqp_ref(mq);
    rc = tug__amqp_check(mq);
    if (rc == 0 && mq->main.state != TUG__AMQP_OPEN) {
        rc = tug_park(&mq->ready, NULL, "amqp.ready");
    }
    tug__amqp_unref(mq);
    return rc;
}

bool tug_amqp_is_blocked(const tug_amqp *mq)
{
    return mq->pub.is_blocked || mq->main.is_blocked;
}

size_t tug_amqp_publishing(const tug_amqp *mq)
{
    return mq->publisher.n_jobs;
}
