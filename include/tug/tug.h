/* What:      all of tug in one include: the runtime, the pool, PostgreSQL, Redis and RabbitMQ.
 * Ownership, Context, Callbacks, Errors: as the headers below say, each for itself. */
#ifndef TUG_TUG_H
#define TUG_TUG_H

#include <stdio.h> /* what nearly every program wants beside it */

#include <tug/base.h>
#include <tug/broadcast.h>
#include <tug/debug.h>
#include <tug/error.h>
#include <tug/file.h>
#include <tug/flight.h>
#include <tug/future.h>
#include <tug/group.h>
#include <tug/inspect.h>
#include <tug/limiter.h>
#include <tug/listener.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/offload.h>
#include <tug/process.h>
#include <tug/queue.h>
#include <tug/remote.h>
#include <tug/resolve.h>
#include <tug/scope.h>
#include <tug/select.h>
#include <tug/signal.h>
#include <tug/stream.h>
#include <tug/sync.h>
#include <tug/task.h>
#include <tug/tls.h>
#include <tug/value.h>

#include <tug/pool.h>
#include <tug/pool_stats.h>

#include <tug/amqp.h>
#include <tug/pg.h>
#include <tug/pg_array.h>
#include <tug/pg_batch.h>
#include <tug/pg_copy.h>
#include <tug/pg_cursor.h>
#include <tug/pg_error.h>
#include <tug/pg_hooks.h>
#include <tug/pg_listen.h>
#include <tug/pg_lock.h>
#include <tug/pg_pool.h>
#include <tug/pg_replication.h>
#include <tug/pg_rows.h>
#include <tug/pg_script.h>
#include <tug/pg_sqlstate.h>
#include <tug/redis.h>

#endif
