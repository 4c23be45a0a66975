#!/bin/bash
# etl_test.sh CASE PROGRAM TOOL: one case of the package loader against the servers in TUG_PG_URL,
# TUG_REDIS_URL and TUG_AMQP_URL. Each case has tables, a queue and Redis keys (they carry the
# database id) of its own, so that cases run in any order and side by side.
set -euo pipefail

case=$1 program=$2 tool=$3
: "${TUG_PG_URL:?is not set: run the tests through scripts/test.sh}"
: "${TUG_REDIS_URL:?is not set}" "${TUG_AMQP_URL:?is not set}"
name=tug_etl_${case}_$$
dir=$(mktemp -d)
helpers=()

# shellcheck disable=SC2317 # called by trap
clean_up()
{
    local pid
    for pid in "${helpers[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    sql "drop schema if exists $name cascade" >/dev/null 2>&1 || true
    "$tool" delete "$name" 2>/dev/null || true
    "$tool" delete "${name}_2" 2>/dev/null || true
    rm -rf "$dir"
}
trap clean_up EXIT

fail()
{
    printf 'FAILED: %s\n' "$*" >&2
    for f in "$dir"/out "$dir"/err; do
        [[ ! -e $f ]] || { echo "--- $f" && tail -n 20 "$f"; } >&2
    done
    exit 1
}

sql()
{
    psql -XqAt -v ON_ERROR_STOP=1 "$TUG_PG_URL" -c "set client_min_messages = warning" -c "$1"
}

# expect WHAT WANTED GOT
expect()
{
    [[ $2 == "$3" ]] || fail "$1: expected '$2', got '$3'"
}

expect_sql()
{
    expect "$1" "$1 -> $2" "$1 -> $(sql "$1")"
}

# etl STATUS ARG...: runs the program, sets the variables of its summary.
etl()
{
    local status=0 wanted=$1
    shift
    "$program" --queue "$name" --schema "$name" "$@" >"$dir/out" 2>"$dir/err" || status=$?
    [[ $wanted == any ]] || expect "exit status" "$wanted" "$status"
    read_summary
}

read_summary()
{
    local form='^etl: read=([0-9]+) published=([0-9]+) loaded=([0-9]+) duplicates=([0-9]+)'
    form+=' rejected=([0-9]+) seconds=[0-9.]+ rows_per_second=[0-9.]+'
    form+=' verified=(yes|no|interrupted)$'
    summary="" read="" published="" loaded="" duplicates="" rejected="" verified=""
    if [[ $(tail -n 1 "$dir/out") =~ $form ]]; then
        read=${BASH_REMATCH[1]} published=${BASH_REMATCH[2]} loaded=${BASH_REMATCH[3]}
        duplicates=${BASH_REMATCH[4]} rejected=${BASH_REMATCH[5]} verified=${BASH_REMATCH[6]}
        summary="$read/$published $loaded+$duplicates+$rejected $verified"
    fi
}

# expect_run "READ/PUBLISHED LOADED+DUPLICATES+REJECTED VERIFIED"
expect_run()
{
    expect "summary" "$1" "$summary"
    expect_sql "select count(*) filter (where outcome = 'loaded') || '+'
                || count(*) filter (where outcome = 'duplicate') || '+'
                || count(*) filter (where outcome = 'rejected')
                from $name.outcomes where run = (select max(run) from $name.runs)" \
        "$loaded+$duplicates+$rejected"
    expect_sql "select count(*) from $name.rejects where run = (select max(run) from $name.runs)" \
        "$rejected"
}

# stanzas FROM TO [TEXT]: generated packages.
stanzas()
{
    awk -v from="$1" -v to="$2" -v text="${3:-}" 'BEGIN {
        for (i = from; i <= to; i++) {
            printf "Package: p%d\nVersion: %d:1.%d-1\n", i, i % 3, i % 7
            printf "Architecture: %s\n", i % 2 ? "all" : "amd64"
            printf "Maintainer: Team %d <team%d@example.org>\nSection: s%d\n", i % 5, i % 5, i % 11
            printf "Installed-Size: %d\nSize: %d\n", i, i * 1000
            printf "Depends: d%d (>= %d), e | f%d:any,\n g [amd64]\n", i % 100, i, i
            printf "Description: number %d%s\n longer\n .\n text\n\n", i, text
        }
    }'
}

# What the tables hold, whoever put it there.
tables()
{
    sql "copy (select name, version, architecture, section, size, installed_size, maintainer_name,
              maintainer_address, raw, sha256 from $name.packages order by 1, 2, 3) to stdout" |
        md5sum
    sql "copy (select * from $name.dependencies order by package, version, architecture,
              alternative_group, position) to stdout" | md5sum
}

# redis-cli takes no URL with an empty user.
redis()
{
    local rest=${TUG_REDIS_URL#*://} password="" at
    [[ $rest != *@* ]] || password=${rest%%@*}
    at=${rest#*@}
    at=${at%%/*}
    REDISCLI_AUTH=${password#*:} redis-cli -h "${at%:*}" -p "${at##*:}" "$@"
}

empty_redis()
{
    local id
    id=$(sql "select database_id from $name.meta")
    redis --scan --pattern "etl_packages:$id:*" >"$dir/keys"
    [[ -s $dir/keys ]] || fail "no key in redis"
    sed 's/.*/DEL "&"/' "$dir/keys" | redis >/dev/null
}

# relay URL: sets relayed to the URL through a relay, relay_pid to the process to kill.
relay()
{
    local target=${1#*@} port
    target=${target%%/*}
    "$tool" relay "$target" >"$dir/port" &
    relay_pid=$!
    helpers+=("$relay_pid")
    until [[ -s $dir/port ]]; do sleep 0.02; done
    port=$(<"$dir/port")
    rm "$dir/port"
    relayed=${1/@$target/@127.0.0.1:$port}
}

# wait_for SECONDS CMD...
wait_for()
{
    local i
    for ((i = 0; i < 50 * $1; i++)); do
        if "${@:2}"; then return 0; fi
        sleep 0.02
    done
    fail "not in time: ${*:2}"
}

has_loaded()
{
    [[ $(sql "select count(*) from $name.packages" 2>/dev/null || echo 0) -ge $1 ]]
}

# --- whole runs -----------------------------------------------------------------------------------

case_first_load()
{
    stanzas 1 3000 >"$dir/in"
    etl 0 --input "$dir/in"
    expect_run "3000/3000 3000+0+0 yes"
    expect "lines on stdout" 1 "$(wc -l <"$dir/out")"
    expect_sql "select count(*), count(distinct (name, version, architecture))
                from $name.packages" "3000|3000"
    expect_sql "select name, version, architecture, section, size, installed_size, maintainer_name,
                maintainer_address from $name.packages where name = 'p8'" \
        "p8|2:1.1-1|amd64|s8|8000|8|Team 3|team3@example.org"
    expect_sql "select string_agg(concat_ws('/', dependency, qualifier, version_constraint,
                restrictions, alternative_group, position), ' '
                order by alternative_group, position)
                from $name.dependencies where package = 'p8'" \
        "d8/>= 8/1/1 e/2/1 f8/any/2/2 g/[amd64]/3/1"
    expect_sql "select count(*) from $name.dependencies" 12000
    expect_sql "select count(*) from $name.packages where sha256(raw) <> sha256" 0
    expect "raw text" "$(sed -n '1,/^$/p' "$dir/in" | sed '$d' | md5sum)" \
        "$(sql "select convert_from(raw, 'UTF8') from $name.packages where name = 'p1'" |
            sed '$d' | md5sum)"
    expect_sql "select count(*), min(number), max(number) from $name.manifest" "3000|1|3000"
    expect "a manifest entry" "$(sed -n '/^Package: p77$/,/^$/p' "$dir/in" | sed '$d')" \
        "$(sql "select m.\"offset\" + 1 || ' ' || m.length
                from $name.manifest m join $name.packages using (sha256) where name = 'p77'" |
            while read -r at n; do tail -c "+$at" "$dir/in" | head -c "$n"; done)"
    expect_sql "select read, published, loaded, duplicates, rejected, verified, ended is not null
                from $name.runs" "3000|3000|3000|0|0|yes|t"
    expect "queue" 0 "$("$tool" count "$name")"
}

case_second_run()
{
    stanzas 1 2000 >"$dir/in"
    etl 0 --input "$dir/in"
    local first
    first=$(tables)
    etl 0 --input "$dir/in"
    expect_run "2000/2000 0+2000+0 yes"
    expect "tables" "$first" "$(tables)"
    # What Redis knew was confirmed all the same: an older message can no longer undo it.
    expect_sql "select count(*) from $name.packages
                where run = (select max(run) from $name.runs)" 2000
    expect_sql "select count(*) from pg_stat_user_tables where schemaname = '$name'
                and relname = 'dependencies' and n_tup_ins > 8000" 0
}

case_redis_emptied()
{
    stanzas 1 2000 >"$dir/in"
    etl 0 --input "$dir/in"
    local first
    first=$(tables)
    empty_redis
    etl 0 --input "$dir/in"
    expect_run "2000/2000 0+2000+0 yes"
    expect "tables" "$first" "$(tables)"
}

case_postgres_emptied()
{
    stanzas 1 2000 >"$dir/in"
    etl 0 --input "$dir/in"
    local first
    first=$(tables)
    sql "drop schema $name cascade"
    etl 0 --input "$dir/in"
    expect_run "2000/2000 2000+0+0 yes"
    expect "tables" "$first" "$(tables)"
}

# The database id is still the old one, so Redis claims to know everything.
case_redis_is_wrong()
{
    stanzas 1 2000 >"$dir/in"
    etl 0 --input "$dir/in"
    local first
    first=$(tables)
    sql "delete from $name.packages where name like 'p7%';
         delete from $name.dependencies where package like 'p7%'"
    etl 0 --input "$dir/in"
    expect_run "2000/2111 111+1889+0 yes"
    expect "tables" "$first" "$(tables)"
    sql "truncate $name.packages, $name.dependencies, $name.manifest, $name.outcomes"
    etl 0 --input "$dir/in"
    expect_run "2000/4000 2000+0+0 yes"
    expect "tables" "$first" "$(tables)"
}

case_changed_content()
{
    stanzas 1 1000 >"$dir/in"
    etl 0 --input "$dir/in"
    {
        stanzas 1 500
        stanzas 501 800 " changed" | sed 's/^Depends: .*/Depends: only,/'
        stanzas 1001 1100
    } >"$dir/in"
    etl 0 --input "$dir/in"
    expect_run "900/900 400+500+0 yes"
    expect_sql "select count(*) from $name.packages" 1100
    expect_sql "select string_agg(dependency, ' ' order by alternative_group)
                from $name.dependencies where package = 'p600'" "only g"
    expect_sql "select count(*) from $name.dependencies" 3800
}

# --- keys that occur several times ----------------------------------------------------------------

stanza_of()
{
    printf 'Package: %s\nVersion: 1\nArchitecture: all\nDescription: %s\n\n' "$1" "$2"
}

case_same_keys()
{
    # k: A A B B; l: A B A; m: A A; n: A B side by side, the others spread over batches and workers.
    {
        stanza_of k A && stanza_of l A && stanza_of m A && stanza_of n A && stanza_of n B
        stanzas 1 300 && stanza_of k A && stanza_of l B
        stanzas 301 600 && stanza_of k B && stanza_of m A
        stanzas 601 900 && stanza_of l A && stanza_of k B
    } >"$dir/in"
    local i rulings="select string_agg(name || ' ' || outcome, ', ' order by number)
                     from $name.outcomes where length(name) = 1
                     and run = (select max(run) from $name.runs)"
    local content="select string_agg(name || ' ' || substr(convert_from(raw, 'UTF8'),
                   length(raw) - 1, 1), ', ' order by name) from $name.packages
                   where length(name) = 1"
    for i in 1 2 3; do # three times: the order in which the workers come differs
        sql "drop schema if exists $name cascade"
        etl 0 --input "$dir/in" --batch 50
        expect "summary" "911 904+3+4 yes" "${summary%%/*} ${summary#* }"
        expect_sql "$rulings" "k rejected, l duplicate, m duplicate, n rejected, n loaded, $(
            )k rejected, l rejected, k duplicate, m loaded, l loaded, k loaded"
        expect_sql "$content" "k B, l A, m A, n B"
    done
    expect_sql "select string_agg(distinct reason, ', ') from $name.rejects" \
        "superseded by stanza 5, superseded by stanza 910, superseded by stanza 911"
    expect_sql "select count(*) from $name.rejects
                where convert_from(raw, 'UTF8') ~ E'^Package: [kln]\n'" 4
    # Now the table holds them: what counts is a duplicate, with and without Redis.
    etl 0 --input "$dir/in" --batch 50
    expect "summary" "911 0+907+4 yes" "${summary%%/*} ${summary#* }"
    expect_sql "$content" "k B, l A, m A, n B"
    empty_redis
    etl 0 --input "$dir/in" --batch 50
    expect "summary" "911 0+907+4 yes" "${summary%%/*} ${summary#* }"
    expect_sql "$content" "k B, l A, m A, n B"
}

# One worker, one batch: nothing is published twice, so the batch itself chose the newest of a key.
case_same_key_in_a_batch()
{
    {
        stanza_of k A && stanza_of k B && stanza_of k C
        stanza_of l A && stanza_of l A
    } >"$dir/in"
    etl 0 --input "$dir/in" --workers 1
    expect_run "5/5 2+1+2 yes"
    expect_sql "select string_agg(name || number, ' ' order by name) from $name.packages" "k3 l5"
}

# --- bad input ------------------------------------------------------------------------------------

case_bad_stanzas()
{
    {
        stanzas 1 100
        printf 'Package: no-version\nArchitecture: all\n\n'
        printf 'Version: 1\nArchitecture: all\n\n'
        printf 'Package: latin1\nVersion: 1\nArchitecture: all\nDescription: \xe9\n\n'
        printf 'Package: zero\nVersion: 1\nArchitecture: all\nDescription: a\0b\n\n'
        printf 'Package: size\nVersion: 1\nArchitecture: all\nSize: many\n\n'
        printf 'Package: depends\nVersion: 1\nArchitecture: all\nDepends: a (>= 1\n\n'
        printf 'no field at all\n\n'
        printf 'Package: %01000d\nVersion: 1\nArchitecture: all\n\n' 1
        stanzas 101 200
    } >"$dir/in"
    etl 0 --input "$dir/in"
    expect_run "208/208 200+0+8 yes"
    expect_sql "select string_agg(reason, '; ' order by number) from $name.rejects" \
        "no Version; no Package; not UTF-8 at byte 58 (0xe9); a 0 byte at byte 57; $(
        )Size is not a whole number from 0 to 2^63 - 1; $(
        )Depends: no ) after the version at byte 7; $(
        )line 1 is neither a field nor the continuation of one; $(
        )Package has 1000 bytes, more than 512"
    expect_sql "select encode(raw, 'escape') from $name.rejects where reason like 'a 0 byte%'" \
        "$(printf 'Package: zero\nVersion: 1\nArchitecture: all\nDescription: a\\000b\n')"
    expect_sql "select count(*) from $name.rejects r join $name.manifest m using (run, number)
                where sha256(raw) = m.sha256" 8
}

# What only the database minds is found by halving the batch.
case_database_refuses()
{
    stanzas 1 10 >"$dir/in"
    etl 0 --input "$dir/in"
    sql "alter table $name.packages add constraint no_thirteen
         check (name not in ('p13', 'p500', 'p501', 'p1000'))"
    stanzas 1 1000 >"$dir/in"
    etl 0 --input "$dir/in"
    expect_run "1000/1000 986+10+4 yes"
    expect_sql "select number, reason ~ 'no_thirteen.*23514',
                convert_from(raw, 'UTF8') ~ '^Package: p1000'
                from $name.rejects order by number desc limit 1" "1000|t|t"
}

case_crlf_counts_as_lf()
{
    stanzas 1 500 >"$dir/in"
    etl 0 --input "$dir/in"
    sed 's/^$/ \t/; s/$/\r/' "$dir/in" >"$dir/crlf"
    printf 'Package: last\nVersion: 1\nArchitecture: all' >>"$dir/crlf"
    etl 0 --input "$dir/crlf"
    expect_run "501/501 1+500+0 yes"
}

# Twice converted files are about.
case_more_crs_than_one()
{
    stanzas 1 50 >"$dir/in"
    etl 0 --input "$dir/in"
    sed 's/$/\r\r/' "$dir/in" >"$dir/crs"
    etl 0 --input "$dir/crs"
    expect_run "50/50 0+50+0 yes"
}

case_file_name_of_any_bytes()
{
    stanzas 1 10 >"$dir/"$'in\xe9'
    etl 0 --input "$dir/"$'in\xe9'
    expect_run "10/10 10+0+0 yes"
    expect_sql "select right(input, 3) from $name.runs" "in?"
}

case_standard_input()
{
    etl 0 --input - < <(stanzas 1 1500)
    expect_run "1500/1500 1500+0+0 yes"
    etl 0 --input - </dev/null
    expect_run "0/0 0+0+0 yes"
    mkfifo "$dir/fifo"
    stanzas 1 1500 >"$dir/fifo" &
    etl 0 --input "$dir/fifo"
    expect_run "1500/1500 0+1500+0 yes"
    (sleep 1 && stanzas 1 1500 >"$dir/fifo") & # later than its reader
    etl 0 --input "$dir/fifo"
    expect_run "1500/1500 0+1500+0 yes"
}

# Nobody ever writes: a signal ends the wait all the same.
case_fifo_without_a_writer()
{
    mkfifo "$dir/fifo"
    start --input "$dir/fifo"
    wait_for 10 has_begun_to_wait
    kill -TERM "$pid"
    local status=0
    wait "$pid" || status=$?
    expect "exit status" 0 "$status"
    read_summary
    expect "summary" "0/0 0+0+0 interrupted" "$summary"
}

has_begun_to_wait()
{
    local fd
    for fd in /proc/"$pid"/fd/*; do
        if [[ $(readlink "$fd") == "$dir/fifo" ]]; then return 0; fi
    done
    return 1
}

case_huge_stanzas()
{
    {
        stanzas 1 10
        printf 'Package: big\nVersion: 1\nArchitecture: all\nDescription:'
        head -c 3000000 /dev/zero | tr '\0' x
        printf '\n\nPackage: too-big\nVersion: 1\nArchitecture: all\nDescription:'
        head -c 30000000 /dev/zero | tr '\0' ' '
        printf 'x\n\n'
        stanzas 11 20
    } >"$dir/in"
    etl 0 --input "$dir/in"
    expect_run "22/21 21+0+1 yes"
    expect_sql "select length(raw), sha256(raw) = sha256 from $name.packages where name = 'big'" \
        "3000055|t"
    expect_sql "select number, length(raw), convert_from(raw, 'UTF8') ~ '^Package: too-big'
                from $name.rejects" "12|65536|t"
    etl 0 --input "$dir/in"
    expect "summary" "22/21 0+21+1 yes" "$summary"
}

# --- ends and interruptions -----------------------------------------------------------------------

start()
{
    "$program" --queue "$name" --schema "$name" "$@" >"$dir/out" 2>"$dir/err" &
    pid=$!
    helpers+=("$pid")
}

case_interrupted_and_completed()
{
    stanzas 1 12000 >"$dir/in"
    local i status before=0
    for i in 1 2 3 4 5; do
        start --input "$dir/in" --batch 100
        wait_for 60 has_loaded $((before + 300))
        kill "-$([[ $i == 3 ]] && echo INT || echo TERM)" "$pid"
        status=0 SECONDS=0
        wait "$pid" || status=$?
        [[ $SECONDS -lt 12 ]] || fail "it ended after $SECONDS s: by force"
        expect "exit status" 0 "$status"
        read_summary
        expect "verdict" interrupted "$verified"
        before=$(sql "select count(*) from $name.packages")
    done
    etl 0 --input "$dir/in"
    expect "summary" "12000/12000 $((12000 - before))+$before+0 yes" "$summary"
    grep -q 'messages of other runs were worked' "$dir/err" ||
        fail "nothing was left by the earlier runs"
    expect_sql "select count(*), count(*) filter (where sha256(raw) = sha256) from $name.packages" \
        "12000|12000"
    expect_sql "select count(*) from $name.dependencies" 48000
}

# Only with the long tests: ends of every kind at moments of every kind, then one run that completes.
long_ends_at_random_moments()
{
    local i how status before
    local -a hows=(TERM INT KILL)
    stanzas 1 60000 >"$dir/in"
    for ((i = 0; i < 15; i++)); do
        how=${hows[RANDOM % 3]} status=0
        start --input "$dir/in" --batch 100
        sleep "$((RANDOM % 2)).$((RANDOM % 7 + 3))" # the moment is what is tested, not waited for
        kill "-$how" "$pid" 2>/dev/null || true
        SECONDS=0
        wait "$pid" || status=$?
        [[ $SECONDS -lt 25 ]] || fail "it ended after $SECONDS s"
        [[ $how == KILL ]] || expect "exit status after SIG$how" 0 "$status"
    done
    before=$(sql "select count(*) from $name.packages")
    etl 0 --input "$dir/in"
    expect "summary" "60000/60000 $((60000 - before))+$before+0 yes" "$summary"
    expect_sql "select count(*), count(*) filter (where sha256(raw) = sha256) from $name.packages" \
        "60000|60000"
    expect_sql "select count(*) from $name.dependencies" 240000
}

case_killed_leaves_messages()
{
    stanzas 1 20000 >"$dir/in"
    start --input "$dir/in" --batch 100
    wait_for 60 has_loaded 300
    kill -KILL "$pid"
    wait "$pid" || true
    # Another input through another queue: the older messages come after the newer ones.
    stanzas 1 4000 " newer" >"$dir/new"
    etl 0 --input "$dir/new" --queue "${name}_2"
    expect_run "4000/4000 4000+0+0 yes"
    [[ $("$tool" count "$name") -gt 0 ]] || fail "the first run has left nothing"
    # Its own counts only, although it works them all.
    stanzas 1 10 " newer" >"$dir/new"
    etl 0 --input "$dir/new"
    expect_run "10/10 0+10+0 yes"
    grep -q 'messages of other runs were worked' "$dir/err" || fail "nothing was worked"
    wait_for 20 is_queue_empty
    expect_sql "select count(*) from $name.packages
                where convert_from(raw, 'UTF8') like '% newer%'" 4000
    expect_sql "select count(*) from $name.packages p
                left join $name.dependencies d on d.package = p.name
                group by p.name having count(d.position) <> 4" ""
}

is_queue_empty()
{
    [[ $("$tool" count "$name") == 0 ]]
}

case_two_at_once()
{
    stanzas 1 4000 >"$dir/in"
    local other
    "$program" --queue "$name" --schema "$name" --input "$dir/in" --batch 100 \
        >"$dir/out2" 2>"$dir/err2" &
    other=$!
    etl 0 --input "$dir/in" --batch 100
    expect "first" "4000/4000 4000 yes" "$read/$published $((loaded + duplicates)) $verified"
    wait "$other" || fail "the second ended with $?: $(tail -n 3 "$dir/err2")"
    mv "$dir/out2" "$dir/out"
    read_summary
    expect "second" "4000/4000 4000 yes" "$read/$published $((loaded + duplicates)) $verified"
    expect_sql "select count(*) from $name.packages" 4000
    expect_sql "select count(*) from $name.dependencies" 16000
}

case_messages_of_nobody()
{
    stanzas 1 100 >"$dir/in"
    etl 0 --input "$dir/in"
    "$tool" junk "$name"
    etl 0 --input "$dir/in"
    expect_run "100/100 0+100+0 yes"
    expect "lines about them" 2 "$(grep -c 'dropped' "$dir/err")"
    wait_for 10 is_queue_empty
}

# What the broker confirmed and lost is found to be missing, and read from the input again.
case_messages_lost()
{
    stanzas 1 12000 >"$dir/in"
    start --input "$dir/in" --workers 1 --batch 50
    wait_for 60 has_loaded 200
    "$tool" purge "$name"
    wait "$pid" || fail "exit status $?"
    read_summary
    expect "verdict" "12000+0+0 yes" "${summary#* }"
    [[ $published -gt 12000 ]] || fail "nothing was published again: $summary"
    expect_sql "select count(*), count(*) filter (where sha256(raw) = sha256) from $name.packages" \
        "12000|12000"
}

# The consumer is told, and so is the user.
case_queue_deleted()
{
    stanzas 1 12000 >"$dir/in"
    start --input "$dir/in" --workers 1 --batch 50
    wait_for 60 has_loaded 200
    "$tool" delete "$name"
    local status=0
    wait "$pid" || status=$?
    expect "exit status" 1 "$status"
    expect "lines besides progress" 1 "$(grep -vc '^etl: ' "$dir/err")"
    etl 0 --input "$dir/in"
    expect "verdict" "12000 yes" "$((loaded + duplicates)) $verified"
}

# hold SECONDS [SQL]: nobody writes to the packages for so long; then runs the statement.
hold()
{
    psql -Xq "$TUG_PG_URL" -c "begin" -c "lock table $name.packages in exclusive mode" \
        -c "select pg_sleep($1)" -c "${2:-}" -c commit >/dev/null &
    helpers+=("$!")
    wait_for 10 is_held
}

is_held()
{
    [[ $(sql "select count(*) from pg_locks where mode = 'ExclusiveLock' and granted
              and relation = '$name.packages'::regclass") == 1 ]]
}

has_outcomes_waiting()
{
    [[ $("$tool" count "$name") == 0 ]] &&
        [[ $(sql "select count(*) from $name.manifest where run = (select max(run) from $name.runs)") == "$1" ]]
}

# What a worker waits to load is not lost, even if it waits longer than lost messages are waited for.
case_database_lets_wait()
{
    stanzas 1 200 >"$dir/in"
    etl 0 --input "$dir/in"
    stanzas 1 200 " newer" >"$dir/in"
    hold 10
    etl 0 --input "$dir/in"
    expect_run "200/200 200+0+0 yes"
    expect "lines about messages that are lost" 0 "$(grep -c 'published again' "$dir/err")"
}

# What another process settled is no backlog, even while the workers here always settle something.
case_settled_elsewhere()
{
    stanzas 1 10 >"$dir/in"
    etl 0 --input "$dir/in"
    stanzas 1 40000 " newer" >"$dir/in"
    hold 5 "insert into $name.outcomes(run, number, outcome) select run, number, 'loaded'
            from $name.manifest where number between 301 and 10000"
    start --input "$dir/in" --workers 1 --batch 100 # takes 200, the rest stays in the queue
    wait_for 10 has_ready 9000
    "$tool" purge "$name" # as if it had been worked elsewhere
    wait_for 60 has_ready 5000
    wait "$pid" || fail "exit status $?"
    read_summary
    expect "verdict" "40000+0+0 yes" "${summary#* }"
}

has_ready()
{
    [[ $("$tool" count "$name") -ge $1 ]]
}

# A file that is cut off while it is read: its last stanza may be half of one.
case_input_cut_off()
{
    stanzas 1 10 >"$dir/in"
    etl 0 --input "$dir/in"
    stanzas 1 20000 " newer" >"$dir/in"
    hold 3
    start --input "$dir/in" # stops reading when it is too far ahead of the workers
    sleep 1
    truncate -s 3000000 "$dir/in"
    local status=0
    wait "$pid" || status=$?
    expect "exit status" 1 "$status"
    read_summary
    expect "verdict" no "$verified"
    grep -q 'reading the input: it ended at byte 3000000' "$dir/err" || fail "it was not said"
    stanzas 1 20000 " newer" >"$dir/in"
    etl 0 --input "$dir/in"
    expect "verdict" "20000/20000 20000 0 yes" \
        "$read/$published $((loaded + duplicates)) $rejected $verified"
}

# The raw text of what was superseded is read again: it must be that of the manifest.
case_input_overwritten()
{
    stanza_of k A >"$dir/in"
    etl 0 --input "$dir/in"
    { stanza_of k B && stanza_of k C; } >"$dir/in"
    hold 3
    start --input "$dir/in"
    wait_for 10 has_outcomes_waiting 2
    { stanza_of k X && stanza_of k Y; } >"$dir/other"
    cat "$dir/other" >"$dir/in"
    local status=0
    wait "$pid" || status=$?
    expect "exit status" 1 "$status"
    grep -q 'the input has changed: stanza 1 is another one now' "$dir/err" || fail "it was not said"
    expect_sql "select count(*) from $name.rejects where convert_from(raw, 'UTF8') ~ 'X'" 0
}

# --- lost servers ---------------------------------------------------------------------------------

case_redis_lost()
{
    stanzas 1 10000 >"$dir/in"
    relay "$TUG_REDIS_URL"
    start --input "$dir/in" --batch 100 --redis "$relayed"
    wait_for 60 has_loaded 500
    kill -KILL "$relay_pid"
    wait "$pid" || fail "exit status $?"
    read_summary
    expect "summary" "10000/10000 10000+0+0 yes" "$summary"
    expect "lines about it" 1 "$(grep -c 'redis is lost' "$dir/err")"
}

# lost URL OPTION: the run ends with one line, and the next one completes.
lost()
{
    stanzas 1 20000 >"$dir/in"
    local status=0 before
    relay "$1"
    start --input "$dir/in" --batch 100 "$2" "$relayed"
    wait_for 60 has_loaded 300
    kill -KILL "$relay_pid"
    wait "$pid" || status=$?
    expect "exit status" 1 "$status"
    read_summary
    expect "verdict" no "$verified"
    expect "lines besides progress" 1 "$(grep -vc '^etl: ' "$dir/err")"
    before=$(sql "select count(*) from $name.packages")
    etl 0 --input "$dir/in"
    expect "summary" "20000/20000 $((20000 - before))+$before+0 yes" "$summary"
}

case_broker_lost()
{
    lost "$TUG_AMQP_URL" --amqp
}

case_postgres_lost()
{
    lost "$TUG_PG_URL" --pg
}

# --- mistakes -------------------------------------------------------------------------------------

# mistake STATUS PATTERN ARG...: one line on stderr that says it, nothing on stdout, no password.
mistake()
{
    local status=$1 pattern=$2
    shift 2
    etl "$status" "$@"
    expect "stdout" "" "$(<"$dir/out")"
    [[ $status == 2 ]] || expect "lines on stderr" 1 "$(wc -l <"$dir/err")"
    grep -Eq -- "$pattern" "$dir/err" || fail "no '$pattern' in what it said"
    ! grep -q 'sesame' "$dir/err" || fail "the password was shown"
}

# with_password URL: the same with another password.
with_password()
{
    local rest=${1#*://}
    local user=${rest%%@*}
    echo "${1%%://*}://${user%%:*}:sesame@${rest#*@}"
}

case_usage()
{
    mistake 2 'usage: '
    mistake 2 '--workers takes' --input x --workers 0
    mistake 2 '--workers takes' --input x --workers 2x
    mistake 2 '--batch takes' --input x --batch 10000
    mistake 2 '--schema takes' --input x --schema 'a"b'
    mistake 2 'an argument too many' --input x y
    mistake 2 'usage: ' --unknown
    "$program" --help >"$dir/out"
    grep -q '^usage: ' "$dir/out" || fail "no help"
    (unset TUG_AMQP_URL && mistake 2 'set TUG_AMQP_URL' --input x)
    mistake 1 "input $dir/none: No such file or directory" --input "$dir/none"
    mistake 1 "input $dir: .*[Dd]irectory" --input "$dir"
}

# Who reads the summary must not take silence for success.
case_summary_not_written()
{
    stanzas 1 10 >"$dir/in"
    local status=0
    "$program" --queue "$name" --schema "$name" --input "$dir/in" >/dev/full 2>"$dir/err" ||
        status=$?
    expect "exit status" 1 "$status"
    grep -q 'summary to standard output: No space left' "$dir/err" || fail "it was not said"
}

case_wrong_urls()
{
    stanzas 1 10 >"$dir/in"
    local in=(--input "$dir/in") host=no-such-host.invalid
    mistake 1 'PostgreSQL: .*password authentication failed' \
        "${in[@]}" --pg "$(with_password "$TUG_PG_URL")"
    mistake 1 'Redis: .*(WRONGPASS|invalid password)' \
        "${in[@]}" --redis "$(with_password "$TUG_REDIS_URL")"
    mistake 1 'RabbitMQ: .*refused' "${in[@]}" --amqp "$(with_password "$TUG_AMQP_URL")"
    mistake 1 'PostgreSQL: .*127.0.0.1.*refused' "${in[@]}" --pg postgresql://u:sesame@127.0.0.1:1/d
    mistake 1 'Redis: .*127.0.0.1.*refused' "${in[@]}" --redis redis://u:sesame@127.0.0.1:1/0
    mistake 1 'RabbitMQ: .*127.0.0.1.*refused' "${in[@]}" --amqp amqp://u:sesame@127.0.0.1:1/
    mistake 1 "PostgreSQL: .*$host" "${in[@]}" --pg "postgresql://u:sesame@$host/d"
    mistake 1 "Redis: .*$host" "${in[@]}" --redis "redis://u:sesame@$host/0"
    mistake 1 "RabbitMQ: .*$host" "${in[@]}" --amqp "amqp://u:sesame@$host/"
    mistake 1 'PostgreSQL: .*postgresq' "${in[@]}" --pg postgresq://u:sesame@127.0.0.1/d
    mistake 1 'Redis: .*reddis' "${in[@]}" --redis reddis://u:sesame@127.0.0.1/0
    mistake 1 'RabbitMQ: .*port' "${in[@]}" --amqp 'amqp://u:sesame@127.0.0.1:port/'
}

case_queue_is_another()
{
    "$tool" declare "$name"
    stanzas 1 10 >"$dir/in"
    mistake 1 "RabbitMQ: .*PRECONDITION_FAILED.*$name" --input "$dir/in"
}

if [[ $case == long_* ]]; then
    "$case"
else
    "case_$case"
fi
