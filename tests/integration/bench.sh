#!/bin/bash
# bench.sh TUG-BENCH CASE: tug-bench as a program. Its figures are nobody's pass or fail here: other
# tests run beside it, and the Debug build is no measure of anything.
set -euo pipefail

bench=$1
out=$(mktemp)
err=$(mktemp)
trap 'rm -f -- "$out" "$err"' EXIT

fail() {
    printf 'bench.sh: %s\n--- stdout\n%s\n--- stderr\n%s\n' "$1" "$(<"$out")" "$(<"$err")" >&2
    exit 1
}

# run STATUS ARGUMENT...
run() {
    local expected=$1 status=0
    shift
    "$bench" "$@" >"$out" 2>"$err" || status=$?
    ((status == expected)) || fail "exit status $status of tug-bench $*, expected $expected"
}

# One line on stderr, with these words; nothing on stdout.
refused() {
    [[ $(wc -l <"$err") == 1 && $(<"$err") == *"$1"* ]] || fail "no line with \"$1\""
    [[ ! -s $out ]] || fail "something on stdout"
}

case $2 in
    list)
        run 0 --list
        for name in core.switch core.switch.mixed core.await core.spawn core.gather core.queue core.many \
            core.timer core.timer.rearm core.sleepers core.post core.echo core.connections pg.pipeline \
            pg.single pg.shared \
            pg.batch redis.get pg.rows pg.stream pg.copy_in \
            pool.acquire pg.acquire; do
            grep -qxF "$name" "$out" || fail "no $name"
        done
        if grep -qvxE '[a-z0-9_.]+' "$out"; then
            fail "something else than names"
        fi
        ;;
    usage)
        run 2
        refused "which bench"
        run 2 core.switch no.such.bench
        refused "no such bench: no.such.bench"
        run 2 --fast core.switch
        refused "no such option: --fast"
        ;;
    servers)
        unset TUG_PG_URL TUG_REDIS_URL
        run 1 --quick pg.pipeline
        refused "pg.pipeline: TUG_PG_URL is not set"
        TUG_REDIS_URL=redis://127.0.0.1:1 run 1 --quick redis.get
        refused "redis.get: "
        ;;
    bars)
        # What this version promises, on a Release build and with the machine to itself.
        # A million sleepers take 5 GiB, and a kernel whose guards take no mappings (6.13).
        available=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
        ((available >= 7)) || export TUG_BENCH_SLEEPERS=$((available * 100000 + 10000))
        [[ $(printf '%s\n' 6.13 "$(uname -r)" | sort -V | head -n 1) == 6.13 ]] ||
            export TUG_BENCH_SLEEPERS=30000
        # A machine has other things to do now and then: the median of five runs counts, of three where
        # each takes a minute because it goes through a million rows.
        short=(core.switch core.switch.mixed core.await core.spawn core.gather core.queue core.many
            core.timer core.timer.rearm core.post core.echo pg.pipeline pg.single pg.shared pg.batch
            redis.get pool.acquire pg.acquire)
        long=(pg.rows pg.stream pg.copy_in)
        lines=$(for n in 1 2 3 4 5; do
            if ((n <= 3)); then
                run 0 "${short[@]}" "${long[@]}"
            else
                run 0 "${short[@]}"
            fi
            cat "$out"
        done)
        run 0 core.sleepers core.connections
        lines+=$'\n'$(<"$out")
        printf '%s\n' "$lines" >"$out"
        while read -r name least; do
            median=$(awk -v name="$name" '$1 == name { print ($7 == "-" ? $2 : $7) + 0 }' "$out" |
                sort -g | awk '{ v[NR] = $1 } END { print NR > 0 ? v[int((NR + 1) / 2)] : -1 }')
            printf '%s %s, bar %s\n' "$name" "$median" "$least"
            awk -v median="$median" -v least="$least" 'BEGIN { exit median < least }' ||
                fail "$name is below $least"
        done <<<"core.switch 0.556
core.switch.mixed 0.625
core.await 0.222
core.spawn 0.111
core.spawn.100 0.182
core.gather 1.00
core.queue 0.556
core.many.16k 0.25
core.many.100k 0.05
core.post 0.50
core.post.wakeups 1.00
core.timer 0.40
core.timer.at 0.40
core.timer.rearm 0.111
core.timer.rearm.worst 1.00
core.sleepers 1.00
core.sleepers.late 1.00
core.echo 0.97
core.echo.cpu 0.952
core.echo.bufferevents 1.2
core.connections.count 15000
pg.pipeline 0.98
pg.pipeline.cpu 0.952
pg.single 0.94
pg.shared 0.95
pg.batch 0.90
pg.rows 0.95
pg.stream 0.85
pg.stream.2cores 0.85
pg.copy_in 0.85
pg.copy_in.2cores 0.85
pool.acquire 0.0125
pool.acquire.waiters 0.0025
pg.acquire 0.0125
pg.acquire.waiters 0.0025
redis.get 0.60"
        cat "$out"
        ;;
    *.*)
        run 0 --quick "$2"
        number='[0-9]+\.?[0-9]*'
        line="^$2(\\.[a-z0-9]+)* $number [A-Za-z/]+ limit ($number ratio [0-9]+\\.[0-9]+|- ratio -)\$"
        [[ -s $out ]] || fail "no line"
        if grep -qvE "$line" "$out"; then
            fail "a line of another form"
        fi
        grep -q "^$2[ .]" "$out" || fail "no line of its own"
        ;;
    *)
        fail "no such case"
        ;;
esac
