# pg
tug_test(integration pg LIBS tug::pg)
tug_test(integration pg_open LIBS tug::pg)
tug_test(integration pg_tx LIBS tug::pg)
tug_test(integration pg_savepoint LIBS tug::pg)
tug_test(integration pg_transact LIBS tug::pg)
tug_test(integration pg_reset LIBS tug::pg)
tug_test(integration pg_error LIBS tug::pg)
tug_test(integration pg_batch LIBS tug::pg)
tug_test(integration pg_script LIBS tug::pg)
tug_test(integration pg_lock LIBS tug::pg)
tug_test(integration pg_copy LIBS tug::pg)
tug_test(integration pg_copy_flow LIBS tug::pg)
tug_test(integration pg_cursor LIBS tug::pg)
tug_test(integration pg_rows LIBS tug::pg TIMEOUT 120)
tug_test(integration pg_types LIBS tug::pg)
tug_test(integration pg_roundtrip SOURCES integration/pg_sample.c LIBS tug::pg TIMEOUT 120)
tug_test(integration pg_listen LIBS tug::pg)
tug_test(integration pg_replication LIBS tug::pg)
tug_test(integration pg_replication_safe TIMEOUT 120 LIBS tug::pg)
tug_test(integration pg_replication_end LIBS tug::pg)
tug_test(integration pg_follow_starved TIMEOUT 120 LIBS tug::pg
    -Wl,--wrap=tug_alloc -Wl,--wrap=tug_calloc -Wl,--wrap=tug_realloc -Wl,--wrap=tug_strdup)
tug_test(integration pg_hooks LIBS tug::pg)
tug_test(integration pg_pool LIBS tug::pg)
tug_test(integration pg_starved TIMEOUT 120 LIBS tug::pg
    -Wl,--wrap=tug_alloc -Wl,--wrap=tug_calloc -Wl,--wrap=tug_realloc -Wl,--wrap=tug_strdup)
# on servers of their own
set(TUG_PG_SERVERS LIBS tug::pg ${CMAKE_DL_LIBS} Threads::Threads)
tug_test(integration pg_tls ${TUG_PG_SERVERS} PkgConfig::LIBPQ)
tug_test(integration pg_hosts ${TUG_PG_SERVERS})
tug_test(integration pg_login ${TUG_PG_SERVERS})
tug_test(integration pg_failover ${TUG_PG_SERVERS})
tug_test(integration pg_blackhole ${TUG_PG_SERVERS})
tug_test(integration pg_outage TIMEOUT 120 ${TUG_PG_SERVERS})
foreach(name IN ITEMS pg_tls pg_hosts pg_login pg_failover pg_blackhole pg_outage)
    target_compile_definitions(integration-${name}
        PRIVATE TUG_PG_SERVER_SH="${CMAKE_CURRENT_SOURCE_DIR}/integration/pg_server.sh")
endforeach()

# redis
tug_test(integration redis LIBS tug::redis)

# amqp
tug_test(integration amqp LIBS tug::amqp TIMEOUT 90)
tug_test(integration amqp_end LIBS tug::amqp TIMEOUT 90)
tug_test(integration amqp_memory TIMEOUT 90 LIBS tug::amqp
    -Wl,--wrap=tug_alloc -Wl,--wrap=tug_calloc -Wl,--wrap=tug_realloc)
# tug_inspect over all connectors
tug_test(integration inspect SOURCES unit/json.c LIBS tug::tug INCLUDES ${CMAKE_CURRENT_SOURCE_DIR}/unit)

# examples: the programs as they are built
if(TUG_BUILD_EXAMPLES)
    add_test(NAME integration/examples.hello COMMAND hello)
    set_tests_properties(integration/examples.hello PROPERTIES PASS_REGULAR_EXPRESSION "^42\n$" LABELS integration)
    tug_test(integration examples LIBS tug::tug)
    target_compile_definitions(integration-examples
        PRIVATE TUG_EXAMPLES_DIR="$<TARGET_FILE_DIR:query_many>")
    add_dependencies(integration-examples query_many process_batch consume_queue)
    add_dependencies(integration-examples cache_aside)
    # They share a key in the cache.
    foreach(case IN ITEMS loads_once_and_then_reads_the_cache says_what_is_not_there
            reads_on_without_a_cache)
        set_tests_properties(integration/examples.cache_aside_${case}
            PROPERTIES RESOURCE_LOCK redis_product_7)
    endforeach()
    tug_test(integration echo_server)
    target_compile_definitions(integration-echo_server
        PRIVATE TUG_EXAMPLES_DIR="$<TARGET_FILE_DIR:echo_server>")
    add_dependencies(integration-echo_server echo_server)
    # They share a queue, whose name is the program's.
    foreach(case IN ITEMS works_and_acks_all leaves_the_rest_when_asked_to_stop requeues_what_failed)
        set_tests_properties(integration/examples.consume_queue_${case}
            PROPERTIES RESOURCE_LOCK amqp_queue_events)
    endforeach()
endif()

# The one on an event base of its own: its cases share a key, whose name is the program's.
if(TUG_BUILD_EXAMPLES)
    add_dependencies(integration-examples embed_libevent)
    foreach(case IN ITEMS asks_the_database asks_the_cache_first)
        set_tests_properties(integration/examples.embed_libevent_${case}
            PROPERTIES RESOURCE_LOCK redis_key_order_42)
    endforeach()
endif()

# tug-bench: that it runs, and what it says
if(TUG_BUILD_BENCH)
    # Not core.many: 100,000 stacks under AddressSanitizer are gigabytes of its shadow.
    foreach(case IN ITEMS list usage servers core.switch core.switch.mixed core.await core.spawn core.gather
            core.queue core.timer core.timer.rearm core.sleepers core.post core.echo core.connections
            pg.pipeline pg.single pg.shared pg.batch pg.rows pg.stream pg.copy_in redis.get
            pool.acquire pg.acquire)
        add_test(NAME integration/bench.${case}
            COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/bench.sh $<TARGET_FILE:tug-bench> ${case})
        set_tests_properties(integration/bench.${case} PROPERTIES LABELS integration)
    endforeach()
    if(TUG_TEST_FULL AND CMAKE_BUILD_TYPE STREQUAL Release)
        add_test(NAME integration/bench.bars
            COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/bench.sh $<TARGET_FILE:tug-bench> bars)
        set_tests_properties(integration/bench.bars PROPERTIES
            LABELS integration RUN_SERIAL TRUE TIMEOUT 2400)
    endif()
endif()

# examples/etl_packages as a program: each case_* function of the script is an entry of its own.
if(TUG_BUILD_EXAMPLES)
    tug_program(etl_tool SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/integration/etl_tool.c LIBS tug::amqp)
    set(etl_script ${CMAKE_CURRENT_SOURCE_DIR}/integration/etl_test.sh)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${etl_script})
    set(etl_cases "case_")
    if(TUG_TEST_FULL)
        set(etl_cases "(case|long)_")
    endif()
    file(STRINGS ${etl_script} lines REGEX "^${etl_cases}[a-z_]+\\(\\)")
    foreach(line IN LISTS lines)
        string(REGEX REPLACE "^case_" "" case "${line}")
        string(REGEX REPLACE "\\(.*" "" case "${case}")
        add_test(NAME integration/etl.${case}
            COMMAND ${etl_script} ${case} $<TARGET_FILE:etl_packages> $<TARGET_FILE:etl_tool>)
        set_tests_properties(integration/etl.${case} PROPERTIES LABELS integration TIMEOUT 300)
    endforeach()
endif()

# gdb: the commands of scripts/gdb, on a live process and on a core. A core of a program with a sanitizer has
# terabytes of shadow memory.
tug_program(gdb_program SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/integration/gdb_program.c LIBS tug::core)
target_compile_options(gdb_program PRIVATE -O0 -g)
set(gdb_cases live)
if(NOT TUG_SANITIZE)
    list(APPEND gdb_cases core)
endif()
foreach(what IN LISTS gdb_cases)
    add_test(NAME integration/gdb.${what}
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/gdb.sh $<TARGET_FILE:gdb_program>
            ${PROJECT_SOURCE_DIR}/scripts/gdb/tug-gdb.py ${what})
    set_tests_properties(integration/gdb.${what} PROPERTIES LABELS integration TIMEOUT 120)
endforeach()

# Cancels look into the pool for the number of requests.
tug_test(integration pg_cancel TIMEOUT 180 LIBS tug::pg PkgConfig::LIBPQ
    INCLUDES ${PROJECT_SOURCE_DIR}/drivers/pg/src)
tug_test(integration pg_plans LIBS tug::pg)
tug_test(integration pg_share LIBS tug::pg PkgConfig::LIBPQ
    INCLUDES ${PROJECT_SOURCE_DIR}/drivers/pg/src)
tug_test(integration pg_late LIBS tug::pg PkgConfig::LIBPQ
    INCLUDES ${PROJECT_SOURCE_DIR}/drivers/pg/src)
