#!/bin/bash
# run.sh PROGRAM EXPECTED [WORD...]: runs an example of docs/. It is to end with status 0 and to write what stands in
# EXPECTED to its standard output, if that is given ("-": not); "..." stands for anything within a line. With
# TUG_DEBUG=1, unless standard error counts; and there without slow steps, which are the machine's, not the page's.
#
#   exit=N            it is to end with status N
#   abort             it is to abort
#   stderr            it is standard error that counts
#   env=NAME=VALUE    in its environment
set -uo pipefail
program=$1
expected=$2
shift 2
status=0
stream=stdout
for word in "$@"; do
    case $word in
        exit=*) status=${word#exit=} ;;
        abort) status=134 ;;
        stderr) stream=stderr ;;
        env=*) export "${word#env=}" ;;
        *)
            echo "run.sh: there is no word \"$word\"" >&2
            exit 2
            ;;
    esac
done
ulimit -c 0

if [[ $stream == stdout ]]; then
    got=$(TUG_DEBUG=1 "$program")
else
    got=$("$program" 2>&1 >/dev/null)
fi
ended=$?
[[ $stream == stdout ]] || got=$(grep -vE ' (is holding|held) the loop' <<<"$got")
if ((ended != status)); then
    echo "$program ended with status $ended, not with $status:" >&2
    echo "$got" >&2
    exit 1
fi
[[ $expected != - ]] || exit 0

mapfile -t want <"$expected"
mapfile -t have <<<"$got"
same=yes
((${#want[@]} == ${#have[@]})) || same=no
for i in "${!want[@]}"; do
    pattern=${want[i]}
    for special in \\ '*' '?' '['; do
        pattern=${pattern//"$special"/"\\$special"}
    done
    # shellcheck disable=SC2053 # a pattern on purpose
    [[ ${have[i]-} == ${pattern//.../*} ]] || same=no
done
[[ $same == yes ]] || diff -u --label "the page" --label "the program" "$expected" - <<<"$got" >&2
