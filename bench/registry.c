#include "bench.h"

extern const struct bench bench_core_post;
extern const struct bench bench_core_switch, bench_core_switch_mixed, bench_core_await,
    bench_core_spawn, bench_core_gather, bench_core_queue, bench_core_many;
extern const struct bench bench_core_echo, bench_core_connections;
extern const struct bench bench_pg_pipeline, bench_pg_single, bench_pg_shared, bench_redis_get;
extern const struct bench bench_pg_batch;
extern const struct bench bench_pg_rows, bench_pg_stream, bench_pg_copy_in;
extern const struct bench bench_pool_acquire, bench_pg_acquire;
extern const struct bench bench_core_timer, bench_core_timer_rearm, bench_core_sleepers;

/* clang-format off */
const struct bench *const bench_registry[] = {
    &bench_core_switch,
    &bench_core_post,
    &bench_core_switch_mixed,
    &bench_core_await,
    &bench_core_spawn,
    &bench_core_gather,
    &bench_core_queue,
    &bench_core_many,
    &bench_core_timer,
    &bench_core_timer_rearm,
    &bench_core_sleepers,
    &bench_core_echo,
    &bench_core_connections,
    &bench_pool_acquire,
    &bench_pg_pipeline,
    &bench_pg_single,
    &bench_pg_shared,
    &bench_pg_batch,
    &bench_pg_acquire,
    &bench_redis_get,
    &bench_pg_rows,
    &bench_pg_stream,
    &bench_pg_copy_in,
    NULL,
};
/* clang-format on */
