#!/bin/bash
# gdb.sh PROGRAM SCRIPT live|core: what scripts/gdb/tug-gdb.py shows of gdb_program, stopped in stop_here: in the
# live process, and in a core of it.
set -euo pipefail
program=$1 script=$2 what=$3

command -v gdb >/dev/null || {
    echo "gdb is not installed: scripts/packages.txt names it in the group test"
    exit 1
}
dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT
# What LeakSanitizer wants of a traced process it does not get.
export ASAN_OPTIONS=detect_leaks=0

gdb_batch() { # COMMAND...; of the program, or of the core if there is one
    local command
    local -a arguments=() files=("$program")
    [[ ! -s $dir/core ]] || files+=("$dir/core")
    for command in "$@"; do
        arguments+=(-ex "$command")
    done
    # -nx: nobody's own settings; no debuginfod: nothing is fetched.
    gdb -nx -batch -iex 'set debuginfod enabled off' -x "$script" "${arguments[@]}" "${files[@]}" \
        >"$dir/out" 2>&1 </dev/null || true
}

has() {
    grep -qE -- "$1" "$dir/out" || {
        printf 'no "%s" in:\n' "$1"
        cat "$dir/out"
        exit 1
    }
}

show=(tug-ps 'echo ---all\n' 'tug-bt all' 'echo ---one\n' 'tug-task 2' 'bt' 'tug-task off'
    'echo ---after\n' 'bt 1' 'echo ---wrong\n' 'tug-bt 99')
case $what in
    live)
        gdb_batch 'break stop_here' run "${show[@]}"
        ;;
    core)
        gdb_batch 'break stop_here' run "tug-core $dir/core" kill
        [[ -s $dir/core ]] || {
            echo "gdb wrote no core:"
            cat "$dir/out"
            exit 1
        }
        gdb_batch "${show[@]}"
        ;;
esac

has '^loop 1 of thread [0-9]+: 4 tasks$'
has '^  task 1 "main" running spawned at work'
has '^    task 2 "sleeper" waiting for sleep since 0\.[0-9]+ s spawned at work'
has '^    task 3 "family" held for group since 0\.[0-9]+ s spawned at work'
has '^      task 4 "taker" waiting for queue\.next since 0\.[0-9]+ s spawned at family'

# Each task's own frames, to its end; the running one's are the thread's.
section() { sed -n "/^---$1\$/,/^---/p" "$dir/out"; }
section all >"$dir/all"
frames_of() { awk -v t="task $1 " 'index($0, t) == 1 { on = 1; next } /^task / { on = 0 } on' "$dir/all"; }
expect_frames() { # NUMBER FUNCTION...
    local number=$1 function
    shift
    for function in "$@"; do
        frames_of "$number" | grep -qE "^#[0-9]+ .*\\b$function\\b" || {
            printf 'no frame %s in task %s:\n' "$function" "$number"
            cat "$dir/out"
            exit 1
        }
    done
}
expect_frames 1 stop_here work
expect_frames 2 sleep_in_here sleeper entry
expect_frames 3 tug_group_leave family entry
expect_frames 4 wait_for_an_item taker entry
frames_of 2 | grep -qE 'stop_here|taker' && {
    echo "frames of another task in task 2"
    cat "$dir/out"
    exit 1
}
frames_of 2 | grep -q '^#0 ' || {
    echo "the frames of a task begin at 0"
    exit 1
}

# A task that is selected serves all of gdb's commands; afterwards the thread is back.
section one | grep -q sleep_in_here
section after | grep -qE '^#0 .*stop_here'
has 'there is no task 99'
