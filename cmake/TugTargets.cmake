# How each target of the project is compiled: flags are set per target, never globally.
add_library(tug-flags INTERFACE)
target_compile_definitions(tug-flags INTERFACE _GNU_SOURCE)
# Asserts stay in Release: a broken state machine must stop, not corrupt somebody's rows.
target_compile_options(tug-flags INTERFACE
    -UNDEBUG -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
    -Wwrite-strings -Wvla -Wformat=2 -Wimplicit-fallthrough -Werror=implicit-function-declaration
    -fvisibility=hidden -fno-strict-aliasing -fstack-protector-strong)
if(PROJECT_IS_TOP_LEVEL)
    target_compile_options(tug-flags INTERFACE -Werror)
endif()
if(TUG_SANITIZE)
    target_compile_options(tug-flags INTERFACE -fsanitize=${TUG_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(tug-flags INTERFACE -fsanitize=${TUG_SANITIZE})
endif()
# With AddressSanitizer the unit tests can be run with one allocation or system call after the other
# failing: tests/harness/torture.h.
if(TUG_SANITIZE MATCHES "address" AND PROJECT_IS_TOP_LEVEL)
    set(TUG_TORTURE ON)
    target_compile_definitions(tug-flags INTERFACE TUG_TORTURE)
endif()

# A frame larger than the guard below a stack would jump over it (a 300 KiB frame did): users get the
# same flag through the target.
set(TUG_STACK_CLASH -fstack-clash-protection)

# tug_component(NAME DIR sources...): the library tug-NAME with the alias tug::NAME.
function(tug_component name)
    cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
    if(name STREQUAL core)
        set(target tug)
    else()
        set(target tug-${name})
    endif()
    add_library(${target} STATIC ${ARG_SOURCES})
    add_library(tug::${name} ALIAS ${target})
    target_include_directories(${target}
        PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include
        PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src)
    target_compile_options(${target} INTERFACE ${TUG_STACK_CLASH} PRIVATE ${TUG_STACK_CLASH})
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:tug-flags> ${ARG_PRIVATE} PUBLIC ${ARG_PUBLIC})
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON C_EXTENSIONS ON)
endfunction()

# tug_program(NAME sources...): an executable with the project's flags.
function(tug_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE tug-flags ${ARG_LIBS})
endfunction()
