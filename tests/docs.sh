#!/bin/bash
# docs.sh DOC DIRECTORY: writes each C program of a page (a ```c block with a main) to a file in the directory,
# and prints their names, one a line.
set -euo pipefail
name=$(basename "$1" .md)
mkdir -p "$2"
awk -v prefix="$2/${name}_" '
    /^```c$/ { inside = 1; text = ""; next }
    /^```$/ && inside {
        inside = 0
        if (text ~ /\nint main\(/) {
            n++
            file = prefix n ".c"
            printf "%s", text > file
            close(file)
            print file
        }
        next
    }
    inside { text = text $0 "\n" }' "$1"
