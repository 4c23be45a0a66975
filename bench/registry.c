#include "bench.h"

extern const struct bench bench_core_switch, bench_core_echo, bench_core_connections,
    bench_pg_pipeline, bench_redis_get;

const struct bench *const bench_registry[] = {
    &bench_core_switch, &bench_core_echo, &bench_core_connections,
    &bench_pg_pipeline, &bench_redis_get, NULL,
};
