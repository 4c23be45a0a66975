# pg
tug_test(integration pg LIBS tug::pg)
tug_test(integration pg_open LIBS tug::pg)
tug_test(integration pg_tx LIBS tug::pg)
tug_test(integration pg_copy LIBS tug::pg)
tug_test(integration pg_starved TIMEOUT 120 LIBS tug::pg
    -Wl,--wrap=tug_alloc -Wl,--wrap=tug_calloc -Wl,--wrap=tug_realloc -Wl,--wrap=tug_strdup)

# redis
tug_test(integration redis LIBS tug::redis)

# amqp
tug_test(integration amqp LIBS tug::amqp TIMEOUT 90)
tug_test(integration amqp_end LIBS tug::amqp TIMEOUT 90)
tug_test(integration amqp_memory TIMEOUT 90 LIBS tug::amqp
    -Wl,--wrap=tug_alloc -Wl,--wrap=tug_calloc -Wl,--wrap=tug_realloc)
