# core: runtime
tug_test(unit task)
tug_test(unit scope)
tug_test(unit group)
tug_test(unit future)
tug_test(unit timer CORE)
tug_test(unit end)
tug_test(unit stack CORE)

# core: what stands beside and above the runtime
tug_test(unit log CORE)
tug_test(unit buffer CORE)
tug_test(unit offload CORE)
tug_test(unit resolve)
tug_test(unit sync)
tug_test(unit queue)
tug_test(unit transport)
tug_test(unit dial CORE)
tug_test(unit stream)

# pool
tug_test(unit pool SOURCES unit/pool_fake.c LIBS tug::pool)
# Shortages of tasks and memory are made by the linker: the test stands before the real functions.
tug_test(unit pool_grow SOURCES unit/pool_fake.c
    LIBS tug::pool -Wl,--wrap=tug_service_spawn -Wl,--wrap=tug_calloc)
tug_test(unit pool_model SOURCES unit/pool_fake.c LIBS tug::pool)
