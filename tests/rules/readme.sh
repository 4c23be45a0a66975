#!/bin/bash
# readme.sh: the program on the README's first screen is examples/hello.c, word for word, and the files
# that the README links to are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

program=$(awk '/^```c$/ { if (++n == 1) { inside = 1; next } } /^```$/ { inside = 0 } inside' README.md)
if [[ $program != "$(cat examples/hello.c)" ]]; then
    echo "README.md: its first program is not examples/hello.c" >&2
    exit 1
fi
failed=0
while read -r link; do
    if [[ ! -e $link ]]; then
        echo "README.md: links to $link, which is not there" >&2
        failed=1
    fi
done < <(grep -oE '\]\([^):#]+\)' README.md | tr -d '](' | tr -d ')')
exit "$failed"
