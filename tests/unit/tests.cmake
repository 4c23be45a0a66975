# core: runtime
tug_test(unit task)
tug_test(unit scope)
tug_test(unit group)
tug_test(unit future)
tug_test(unit timer CORE)
tug_test(unit end)
