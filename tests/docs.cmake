# The programs in the pages of docs/ are built and run as they stand there.
foreach(page IN ITEMS debugging)
    set(page_file ${PROJECT_SOURCE_DIR}/docs/${page}.md)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page_file})
    execute_process(
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/docs.sh ${page_file} ${CMAKE_CURRENT_BINARY_DIR}/docs
        OUTPUT_VARIABLE programs OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    string(REPLACE "\n" ";" programs "${programs}")
    if(NOT programs)
        message(FATAL_ERROR "docs/${page}.md has no program")
    endif()
    foreach(program IN LISTS programs)
        get_filename_component(name ${program} NAME_WE)
        tug_program(docs-${name} SOURCES ${program} LIBS tug::tug)
        add_test(NAME docs/${name} COMMAND docs-${name})
        set_tests_properties(docs/${name} PROPERTIES ENVIRONMENT TUG_DEBUG=1)
    endforeach()
endforeach()
