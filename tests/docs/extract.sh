#!/bin/bash
# extract.sh PAGE FOLDER: the examples of a page of docs/ as programs.
#
# A line before each ```c block says what it is:
#
#   <!-- example: program -->   a whole program: built and run as it is
#   <!-- example: task -->      the body of a task, run by tug_test_run under the test clock; it may return
#   <!-- example: decls -->     what the task blocks behind it, up to the next heading, need at file level
#   <!-- example: compile -->   code at file level that is built, not run: it needs a server
#
# Words may follow the kind, see run.sh. The ```text block behind it, if there is one before the next ```c or
# heading, is its output.
#
# Writes FOLDER/PAGE_N.c and, with an output, PAGE_N.txt; prints "PAGE_N KIND WORD..." for each. A block of which
# nothing is said ends it with status 1 and the line.
set -euo pipefail
mkdir -p "$2"
awk -v page="docs/$(basename "$1")" -v base="$(basename "$1" .md)" -v folder="$2" '
    function fail(text) {
        printf "%s:%d: %s\n", page, NR, text > "/dev/stderr"
        failed = 1
        exit 1
    }
    function store(ending, text) {
        printf "%s", text > (folder "/" base "_" n ending)
        close(folder "/" base "_" n ending)
    }
    function tell() { # the block whose output might have followed
        if (about != "") {
            print base "_" n about
        }
        about = ""
    }
    function forget_decls() {
        if (unused) {
            fail("the declarations in line " unused " are used by no block of their section")
        }
        decls = ""
    }
    function block() {
        text = "#line " start " \"" page "\"\n" text
        if (kind == "decls") {
            decls = decls text
            unused = start
            return
        }
        tell()
        n++
        about = words
        if (kind == "program") {
            store(".c", text)
        } else if (kind == "compile") {
            store(".c", "#include \"frame.h\"\n" text "int main(void)\n{\n    return 0;\n}\n")
        } else {
            store(".c", "#include \"frame.h\"\n" decls "static int example(void *arg)\n{\n    (void)arg;\n" \
                text "    return 0;\n}\nint main(void)\n{\n    return frame_run(example);\n}\n")
            unused = 0
        }
    }
    BEGIN { marked = -1 }
    inside && /^```$/ {
        if (inside == "c") {
            block()
        } else if (inside == "text") {
            store(".txt", text)
            about = about " output"
            tell()
        }
        inside = ""
        next
    }
    inside { text = text $0 "\n"; next }
    /^<!-- example: / {
        kind = $3
        if (kind !~ /^(program|task|decls|compile)$/) {
            fail("there is no example \"" kind "\"")
        }
        words = ""
        for (i = 3; i < NF; i++) {
            words = words " " $i
        }
        marked = NR
        next
    }
    /^```/ {
        inside = $0 == "```c" ? "c" : $0 == "```text" ? "text" : "other"
        if (inside == "c" && marked != NR - 1) {
            fail("nothing says what this block is: <!-- example: ... --> in the line before it")
        }
        if (inside == "text" && about == "") {
            fail("an output without a program")
        }
        start = NR + 1
        text = ""
        next
    }
    /^#/ { tell(); forget_decls() }
    END {
        if (!failed) {
            if (inside) {
                fail("a block that does not end")
            }
            tell()
            forget_decls()
        }
    }' "$1"
