/* What:      the handle: two connections and what stands on them.
 * Ownership: counted: the user's reference until close, one for each service task, consumer and future that may
 *            still look at it.
 * Context:   the loop's thread.
 * Callbacks: none.
 * Errors:    end.code != 0: it has ended, and everything fails with that. */
#ifndef TUG_AMQP_HANDLE_H
#define TUG_AMQP_HANDLE_H

#include <tug/amqp.h>
#include <tug/sys/inspect.h>

#include "config.h"
#include "conn.h"
#include "consume.h"
#include "publish.h"
#include "topology.h"

struct tug_amqp {
    unsigned refs;
    const void *thread; /* whose loop it is on */
    tug__amqp_config *config;
    tug_error end;
    tug__amqp_conn main; /* topology and consumers */
    tug__amqp_conn pub;  /* opened by the first publish */
    tug__amqp_topology topology;
    tug__amqp_publisher publisher;
    tug_amqp_consumer *consumers; /* all that have not ended */
    tug_waiters ready;
    tug_end_hook at_end;
    tug_inspect_source source;
};

void tug__amqp_ref(tug_amqp *mq);
void tug__amqp_unref(tug_amqp *mq);
/* Tells threads apart without a system call. */
const void *tug__amqp_thread(void);
/* 0, or the failure that every call on an ended handle gets. */
int tug__amqp_check(const tug_amqp *mq) TUG_CHECK;
/* A future that has failed with the calling context's latest detail. */
tug_future *tug__amqp_failed(void);

/* What tug_inspect says of it. arg: the handle. */
void tug__amqp_show(tug_inspect_writer *w, void *arg);

/* From the connections. */
const char *tug__amqp_conn_role(const tug__amqp_conn *c);
void tug__amqp_conn_opened(tug__amqp_conn *c);
void tug__amqp_conn_blocked(tug__amqp_conn *c);
void tug__amqp_conn_room(tug__amqp_conn *c);
void tug__amqp_conn_lost(tug__amqp_conn *c, const tug_error *why);

/* Tests: a handle over two connected sockets instead of a dialed broker; fd_pub may be -1 while
 * nothing is published. They are the handle's. */
int tug__amqp_attach(const char *url, const tug_amqp_options *o, int fd_main, int fd_pub,
                     tug_amqp **ret_mq) TUG_CHECK;

#endif
