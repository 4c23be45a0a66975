# What every driver must do, stamped on each: the cases of cases.c for the table that NAME.c fills in.
function(tug_conformance name)
    cmake_parse_arguments(ARG "" "TIMEOUT" "LIBS" ${ARGN})
    set(cases ${CMAKE_CURRENT_SOURCE_DIR}/conformance/cases.c)
    tug_program(conformance-${name} SOURCES ${cases} ${CMAKE_CURRENT_SOURCE_DIR}/conformance/${name}.c
        LIBS tug-test-harness ${ARG_LIBS})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${cases})
    file(STRINGS ${cases} lines REGEX "^LIVE_TEST\\([a-z0-9_]+\\)")
    foreach(line IN LISTS lines)
        string(REGEX REPLACE "^LIVE_TEST\\(([a-z0-9_]+)\\).*" "\\1" case "${line}")
        add_test(NAME conformance/${name}.${case}
            COMMAND ${TUG_TEST_LAUNCHER} $<TARGET_FILE:conformance-${name}> ${case})
        set_tests_properties(conformance/${name}.${case} PROPERTIES
            LABELS "integration;conformance;conformance_${name}" TIMEOUT ${ARG_TIMEOUT})
    endforeach()
endfunction()

tug_conformance(pg TIMEOUT 120 LIBS tug::pg)
