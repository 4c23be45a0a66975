# The switch in the ways that compilers and flags offer.
set(switch_options)
if(TUG_TEST_FULL)
    set(switch_options --full)
endif()
# Once is enough: it has compilers and flags of its own.
if(CMAKE_BUILD_TYPE STREQUAL Release AND NOT TUG_SANITIZE)
    add_test(NAME variants/switch
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/variants/switch.sh ${switch_options})
    set_tests_properties(variants/switch PROPERTIES TIMEOUT 900)
endif()

# The runtime on ucontext, which is what CPUs get that have no switch of their own here.
get_target_property(tug_sources tug SOURCES)
list(TRANSFORM tug_sources PREPEND ${PROJECT_SOURCE_DIR}/core/)
add_library(tug-on-ucontext STATIC EXCLUDE_FROM_ALL ${tug_sources} ${CMAKE_CURRENT_SOURCE_DIR}/harness/test.c)
target_compile_definitions(tug-on-ucontext PUBLIC TUG_SWITCH_UCONTEXT)
target_compile_options(tug-on-ucontext PRIVATE ${TUG_STACK_CLASH} -UTUG_TORTURE) # that one is enough
target_include_directories(tug-on-ucontext
    PUBLIC ${PROJECT_SOURCE_DIR}/core/include ${CMAKE_CURRENT_SOURCE_DIR}/harness
    PRIVATE ${TUG_CORE_SRC})
get_target_property(tug_libraries tug LINK_LIBRARIES)
target_link_libraries(tug-on-ucontext PUBLIC ${tug_libraries} tug-flags PkgConfig::CMOCKA)
foreach(name task switch scope group future)
    set(source ${CMAKE_CURRENT_SOURCE_DIR}/unit/${name}_test.c)
    add_executable(ucontext-${name} ${source})
    target_include_directories(ucontext-${name} PRIVATE ${TUG_CORE_SRC})
    target_link_libraries(ucontext-${name} PRIVATE tug-on-ucontext)
    file(STRINGS ${source} lines REGEX "^(TEST|TASK_TEST|LIVE_TEST)\\([a-z0-9_]+\\)")
    foreach(line IN LISTS lines)
        string(REGEX REPLACE "^[A-Z_]+\\(([a-z0-9_]+)\\).*" "\\1" case "${line}")
        add_test(NAME ucontext/${name}.${case} COMMAND ${TUG_TEST_LAUNCHER} $<TARGET_FILE:ucontext-${name}> ${case})
    endforeach()
endforeach()
