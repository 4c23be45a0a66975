# core: runtime
tug_test(unit task)
tug_test(unit switch CORE)
tug_test(unit scope)
tug_test(unit group)
tug_test(unit future)
tug_test(unit interleave CORE)
tug_test(unit completed)
tug_test(unit ready)
tug_test(unit locals)
tug_test(unit look)
tug_test(unit forgotten)
tug_test(unit task_memory
    LIBS -Wl,--wrap=tug_alloc -Wl,--wrap=tug_calloc -Wl,--wrap=tug_realloc -Wl,--wrap=tug_strdup)
tug_test(unit timer CORE)
tug_test(unit end)
tug_test(unit stack CORE)

# core: what stands beside and above the runtime
tug_test(unit log CORE)
tug_test(unit describe CORE)
tug_test(unit debug)
tug_test(unit slow)
tug_test(unit inspect SOURCES unit/json.c)
tug_test(unit buffer CORE)
tug_test(unit offload CORE)
tug_test(unit offload_pool CORE)
tug_test(unit offload_read CORE)
tug_test(unit resolve)
tug_test(unit remote CORE)
tug_test(unit signal CORE)
tug_test(unit threads LIBS -Wl,--wrap=pthread_join)
tug_test(unit home)
tug_test(unit attach LIBS PkgConfig::LIBEVENT -levent_pthreads)
tug_test(unit sync)
tug_test(unit mutex)
tug_test(unit rwlock)
tug_test(unit condition)
tug_test(unit barrier)
tug_test(unit once)
tug_test(unit queue)
tug_test(unit queue_kinds)
tug_test(unit select)
tug_test(unit broadcast)
tug_test(unit flight)
tug_test(unit limiter)
tug_test(unit transport)
tug_test(unit dial CORE)
tug_test(unit stream)
tug_test(unit process CORE)
tug_test(unit stream_read)
tug_test(unit stream_end)
tug_test(unit stream_pipe LIBS -Wl,--wrap=tug_io_want)
tug_test(unit listener)
tug_test(unit file)
tug_test(unit testing)
tug_test(unit proxy)
set(TUG_TLS_RIG SOURCES unit/tls_rig.c LIBS PkgConfig::OPENSSL Threads::Threads)
tug_test(unit tls ${TUG_TLS_RIG})
tug_test(unit tls_verify ${TUG_TLS_RIG})
tug_test(unit tls_files ${TUG_TLS_RIG})
tug_test(unit tls_peer ${TUG_TLS_RIG})
tug_test(unit tls_stream ${TUG_TLS_RIG})
tug_test(unit tls_memory SOURCES unit/tls_rig.c LIBS PkgConfig::OPENSSL
    -Wl,--wrap=tug_alloc -Wl,--wrap=tug_calloc -Wl,--wrap=tug_strdup)

# pool. Shortages of tasks and memory are made by the linker, here and below: the test stands before the
# real functions.
tug_test(unit pool SOURCES unit/pool_fake.c LIBS tug::pool)
tug_test(unit pool_grow SOURCES unit/pool_fake.c
    LIBS tug::pool -Wl,--wrap=tug_service_spawn -Wl,--wrap=tug_calloc)
tug_test(unit inspect_pool SOURCES unit/pool_fake.c unit/json.c LIBS tug::pool)
tug_test(unit pool_model SOURCES unit/pool_fake.c LIBS tug::pool)
tug_test(unit pool_age SOURCES unit/pool_fake.c LIBS tug::pool -Wl,--wrap=tug_timer_start)
tug_test(unit pool_verbs SOURCES unit/pool_fake.c LIBS tug::pool)
tug_test(unit pool_faults SOURCES unit/pool_fake.c LIBS tug::pool)
tug_test(unit pool_stats SOURCES unit/pool_fake.c LIBS tug::pool)
tug_test(unit pool_load STEADY SOURCES unit/pool_fake.c LIBS tug::pool TIMEOUT 120)

# pg
set(TUG_PG_INSIDE LIBS tug::pg PkgConfig::LIBPQ INCLUDES ${PROJECT_SOURCE_DIR}/drivers/pg/src)
tug_test(unit pg_gate ${TUG_PG_INSIDE})
tug_test(unit pg_value ${TUG_PG_INSIDE})
tug_test(unit pg_result ${TUG_PG_INSIDE})
tug_test(unit pg_numeric ${TUG_PG_INSIDE})
tug_test(unit pg_array ${TUG_PG_INSIDE})
tug_test(unit pg_conninfo ${TUG_PG_INSIDE})
tug_test(unit pg_service ${TUG_PG_INSIDE})
tug_test(unit pg_statement ${TUG_PG_INSIDE})
tug_test(unit pg_failure ${TUG_PG_INSIDE})
tug_test(unit pg_meter ${TUG_PG_INSIDE} LIBS -Wl,--wrap=ioctl -Wl,--wrap=getsockopt)
tug_test(unit pg_mailbox ${TUG_PG_INSIDE})
tug_test(unit pg_pgoutput ${TUG_PG_INSIDE})
tug_test(unit pg_sqlstate ${TUG_PG_INSIDE})
tug_test(unit pg_sanitize LIBS tug::pg)
tug_test(unit pg_memory
    LIBS tug::pg PkgConfig::LIBPQ -Wl,--wrap=tug_alloc -Wl,--wrap=tug_calloc -Wl,--wrap=tug_realloc
        -Wl,--wrap=tug_strdup -Wl,--wrap=tug_strndup
    INCLUDES ${PROJECT_SOURCE_DIR}/drivers/pg/src)

# drivers/common and redis
set(TUG_REDIS_INSIDE LIBS tug::redis tug-driver-common PkgConfig::HIREDIS
    INCLUDES ${PROJECT_SOURCE_DIR}/drivers/redis/src)
tug_test(unit url LIBS tug-driver-common)
tug_test(unit redis_command ${TUG_REDIS_INSIDE})
tug_test(unit redis_reader ${TUG_REDIS_INSIDE})
tug_test(unit redis_scan ${TUG_REDIS_INSIDE})
tug_test(unit redis_call ${TUG_REDIS_INSIDE})
tug_test(unit redis_login ${TUG_REDIS_INSIDE})
tug_test(unit redis_memory
    LIBS tug::redis tug-driver-common PkgConfig::HIREDIS -Wl,--wrap=tug_alloc -Wl,--wrap=tug_calloc
        -Wl,--wrap=tug_realloc
    INCLUDES ${PROJECT_SOURCE_DIR}/drivers/redis/src)

# amqp
set(TUG_AMQP_INSIDE LIBS tug::amqp tug-driver-common PkgConfig::RABBITMQ
    INCLUDES ${PROJECT_SOURCE_DIR}/drivers/amqp/src ${PROJECT_SOURCE_DIR}/drivers/common/src)
tug_test(unit amqp_url ${TUG_AMQP_INSIDE})
tug_test(unit amqp_frame ${TUG_AMQP_INSIDE})
tug_test(unit amqp_peer ${TUG_AMQP_INSIDE})
tug_test(unit amqp_flow ${TUG_AMQP_INSIDE})

# examples/etl_packages: its pure parts
if(TUG_BUILD_EXAMPLES)
    tug_test(unit etl_stanza LIBS PkgConfig::CRYPTO SOURCES
        ${PROJECT_SOURCE_DIR}/examples/etl_packages/splitter.c
        ${PROJECT_SOURCE_DIR}/examples/etl_packages/parse.c)
endif()
