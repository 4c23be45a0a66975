#!/bin/bash
# self_test.sh: extract.sh refuses what it must, and run.sh sees what is wrong.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# refused WORDS: the page on standard input is refused with these words.
refused()
{
    cat >"$work/page.md"
    if "$here/extract.sh" "$work/page.md" "$work/out" >"$work/told" 2>&1 || ! grep -qF -- "$1" "$work/told"; then
        echo "not refused with \"$1\":" >&2
        cat "$work/page.md" "$work/told" >&2
        failed=1
    fi
}

refused 'docs/page.md:1: nothing says' <<<$'```c\nint x;\n```'
refused 'no example "tsak"' <<<$'<!-- example: tsak -->\n```c\n```'
refused 'nothing says' <<<$'<!-- example: task -->\nwords\n```c\n```'
refused 'used by no block' <<<$'<!-- example: decls -->\n```c\n```\n## Next\n'
refused 'does not end' <<<$'<!-- example: task -->\n```c\n'
refused 'an output without' <<<$'```text\nx\n```'

"$here/extract.sh" /dev/stdin "$work/out" >"$work/told" <<'PAGE'
<!-- example: decls -->
```c
int two;
```
<!-- example: task exit=3 -->
```c
two++;
```
```text
a
```
<!-- example: program -->
```c
int main;
```
PAGE
if [[ $(cat "$work/told") != $'stdin_1 task exit=3 output\nstdin_2 program' ]] ||
    ! grep -qx 'int two;' "$work/out/stdin_1.c" || [[ $(cat "$work/out/stdin_1.txt") != a ]]; then
    echo "a page is not taken apart as it should be:" >&2
    cat "$work/told" >&2
    failed=1
fi

# ends STATUS OUTPUT WORD...: run.sh ends so for a program that writes "a 1 [b]" and ends with 3.
ends()
{
    local want=$1 status=0
    printf '%s\n' "$2" >"$work/expected"
    shift 2
    "$here/run.sh" "$work/program" "$work/expected" "$@" 2>/dev/null || status=$?
    if ((status != want)); then
        echo "run.sh ended with $status for \"$(cat "$work/expected")\" $*" >&2
        failed=1
    fi
}
# shellcheck disable=SC2016 # the $X is the program's
printf '#!/bin/bash\necho "a 1 [b]"\necho "$X" >&2\nexit 3\n' >"$work/program"
chmod +x "$work/program"
ends 0 'a 1 [b]' exit=3
ends 0 'a ... [b]' exit=3
ends 0 'y' exit=3 stderr env=X=y
ends 1 'a 1 [b]' exit=0
ends 1 'a 1 b' exit=3
ends 1 $'a 1 [b]\nmore' exit=3
ends 1 'a' exit=3
ends 1 'a 1 [b]' abort
exit "$failed"
