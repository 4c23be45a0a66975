#!/bin/bash
# headers.sh DIR...
#
# Compiles each public header below the include directories DIR (DIR/tug/NAME.h and
# DIR/tug/sys/NAME.h) alone, as C99, C11 and C++17 without extensions, with all of them on the
# include path: what a user's first #include must be able to be. Each is included twice, which
# checks its guard as well. $CC and $CXX are the compilers (cc and c++).
#
# One line for each failure: the header, the language, the compiler's first message. Exit status
# 1 if there is any.
set -euo pipefail

(($# > 0)) || {
    echo "headers: error: usage: headers.sh DIR..." >&2
    exit 2
}

# They may hold options ("gcc -m32"), so they are split into words.
read -ra cc <<<"${CC:-cc}"
read -ra cxx <<<"${CXX:-c++}"
warnings=(-Wall -Wextra -pedantic -Werror -fsyntax-only)

include=()
for dir in "$@"; do
    [[ -d $dir ]] || {
        echo "headers: error: $dir is not a directory" >&2
        exit 2
    }
    include+=("-I$dir")
done

count=0
failures=0
compile() { # HEADER LANGUAGE COMPILER...
    local header=$1 language=$2 output
    shift 2
    count=$((count + 1))
    if ! output=$(printf '#include <%s>\n#include <%s>\n' "$header" "$header" |
        "$@" "${warnings[@]}" "${include[@]}" - 2>&1); then
        printf '%s: does not compile alone as %s: %s\n' "$header" "$language" \
            "$(grep -m 1 -E 'error|warning' <<<"$output" || head -n 1 <<<"$output")"
        failures=$((failures + 1))
    fi
}

headers=0
for dir in "$@"; do
    while IFS= read -r header; do
        headers=$((headers + 1))
        compile "$header" C99 "${cc[@]}" -std=c99 -x c
        compile "$header" C11 "${cc[@]}" -std=c11 -x c
        compile "$header" C++17 "${cxx[@]}" -std=c++17 -x c++
    done < <(cd "$dir" && find tug -name '*.h' | LC_ALL=C sort)
done

((headers > 0)) || {
    echo "headers: error: no header below $*" >&2
    exit 2
}
if ((failures > 0)); then
    echo "headers: $failures of $count compilations failed" >&2
    exit 1
fi
echo "headers: $headers headers compile alone as C99, C11 and C++17" >&2
