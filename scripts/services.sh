#!/bin/bash
# services.sh: throw-away PostgreSQL, PgBouncer, Redis and RabbitMQ servers of the user's own.
#
#   services.sh up              starts them (a second "up" answers at once, and restarts only
#                               what has died); they outlive the script
#   services.sh down [--keep]   stops them and removes their data; --keep keeps the data, and
#                               with it the passwords, for the next "up"
#   services.sh status          one line a server; exit status 0: all answer to a real login,
#                               1: some do, 3: none does
#   services.sh env             export lines for TUG_PG_URL, TUG_REDIS_URL, TUG_AMQP_URL and what
#                               the tests need of PgBouncer
#   services.sh logs [LINES]    the end of the logs (40 lines each)
#   services.sh run -- CMD...   starts a private set in a temporary directory, runs CMD with the
#                               variables, ends with CMD's exit status; nothing of it is
#                               left afterwards, even if this script is killed with SIGKILL.
#                               125: the servers could not be started
#
# The servers are the distribution's, but neither its configuration nor its clusters are used:
# loopback ports that are free (10000 to 29999, below the range of outgoing connections),
# random passwords, all state below TUG_SERVICES_DIR (default: build/services in the checkout),
# readable by the owner only. Works as root and as an ordinary user.
#
# What the state directory holds:
#   tug-services           marks the directory as ours: nothing else is ever removed
#   lock                   held while servers are started or stopped
#   NAME.pid               pid, start time and boot of each server: who we may send a signal to
#   postgres/ pgbouncer/ redis/ rabbitmq/   port, password, configuration and data of each
#   log/NAME.log
set -euo pipefail
self=${BASH_SOURCE[0]}
# shellcheck source=scripts/lib.sh
. "$(dirname "$self")/lib.sh"
self=$root/scripts/services.sh

umask_of_caller=$(umask)
umask 077

servers=(rabbitmq postgres pgbouncer redis) # the slowest to start comes first
state=${TUG_SERVICES_DIR:-$root/build/services}
[[ $state == /* ]] || state=$PWD/$state

# File descriptors with a meaning: 8 holds the lock of the state directory, 9 the leash of
# "run" (see run_command). No server and no command may inherit either.

# --- Which processes are ours -------------------------------------------------------------

# identity PID: what tells a process from a later one with the same pid; fails if it is gone.
identity() {
    local stat boot
    local -a field
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    # The command's name, in parentheses, may hold spaces: what follows the last one counts.
    read -ra field <<<"${stat##*) }"
    [[ ${field[0]} != [ZX] ]] || return 1
    boot=$(</proc/sys/kernel/random/boot_id)
    printf '%s %s %s\n' "$1" "${field[19]}" "$boot"
}

record() { identity "$1" >"$2.new" && mv "$2.new" "$2"; }

# recorded FILE: the pid in it, if it is still the process that was recorded.
recorded() {
    local line
    read -r line 2>/dev/null <"$1" || return 1
    [[ -n $line && $(identity "${line%% *}") == "$line" ]] || return 1
    printf '%s\n' "${line%% *}"
}

alive() { identity "$1" >/dev/null; }

# spawn NAME DIRECTORY COMMAND...: starts a server in a session of its own; sets spawned.
# It records itself before it becomes the server and gives up the leash only then, so that
# there is no moment at which it runs and nobody knows it.
spawn() {
    local name=$1 dir=$2
    shift 2
    (
        cd "$dir" || exit
        record "$BASHPID" "$state/$name.pid"
        exec </dev/null >>"$state/log/$name.log" 2>&1
        # A descriptor of the caller's (a pipe, a lock) must not live as long as a server.
        for fd in "/proc/$BASHPID/fd"/*; do
            fd=${fd##*/}
            ((fd < 3 || fd == 9 || fd == 255)) || exec {fd}>&-
        done
        # In a background job of a script setsid need not fork: the pid stays.
        exec setsid "$@" 9>&-
    ) &
    spawned=$!
    disown "$spawned" # no notice on standard error when it is killed
}

# --- Ports, passwords, waiting ------------------------------------------------------------

taken=" "
listening() { [[ -n $(ss -Hltn "sport = :$1") ]]; }

# choose_port FILE: keeps the port in FILE if it is free, so that the URLs stay what they were
# when one server is restarted; else writes another one.
choose_port() {
    local port
    if [[ -s $1 ]]; then
        port=$(<"$1")
        if [[ $taken != *" $port "* ]] && ! listening "$port"; then
            taken+="$port "
            return
        fi
    fi
    for _ in {1..100}; do
        port=$((10000 + SRANDOM % 20000))
        if [[ $taken != *" $port "* ]] && ! listening "$port"; then
            taken+="$port "
            printf '%s\n' "$port" >"$1"
            return
        fi
    done
    die "no free port between 10000 and 29999 was found on 127.0.0.1 in 100 trials"
}

# make_password FILE: 32 letters and digits, which need no quoting in a URL or a configuration.
make_password() {
    local text=
    [[ ! -s $1 ]] || return 0
    while ((${#text} < 32)); do
        text+=$(head -c 48 /dev/urandom | base64 -w0 | tr -dc 'A-Za-z0-9')
    done
    printf '%s\n' "${text:0:32}" >"$1"
}

# await NAME SECONDS: until login_NAME succeeds. 1: it died before, 2: time is up, 3: nobody
# waits for it any more; what runs then is stopped by the one who gave up or by the watcher.
await() {
    local end=$((SECONDS + $2)) pid=$spawned
    until "login_$1"; do
        alive "$pid" || return 1
        ((SECONDS < end)) || return 2
        given_up && return 3
        sleep 0.1
    done
}

given_up() { [[ -e $state/stop ]] || ! alive "$$"; }

port_of() { cat "$state/$1/port"; }

# start NAME SECONDS: start_NAME spawns it (its status is as await's, or 4). Between the choice of a port and its use another
# process may have taken it; that alone is worth another trial.
start() {
    local name=$1 limit=$2 rc trial log=$state/log/$1.log
    for trial in 1 2 3; do
        rc=0
        "start_$name" && await "$name" "$limit" || rc=$?
        ((rc != 0)) || return 0
        ((rc != 4)) || return 1 # said already
        ! given_up || return 1
        if ((rc != 1)) || ! tail -n 50 "$log" | grep -qiE 'in use|eaddrinuse'; then
            break
        fi
        stop_server throw "$name"
        ((trial < 3)) || break
        choose_ports "$name"
    done
    if ((rc == 1)); then
        say "error: $name ended before a login worked on 127.0.0.1:$(port_of "$name");" \
            "the end of its log:"
    else
        say "error: no login to $name on 127.0.0.1:$(port_of "$name") worked within $limit s;" \
            "the end of its log:"
    fi
    tail -n 15 "$log" >&2 || true
    return 1
}

choose_ports() {
    local name
    for name in "$@"; do
        choose_port "$state/$name/port"
        [[ $name != rabbitmq ]] || {
            choose_port "$state/rabbitmq/epmd_port"
            choose_port "$state/rabbitmq/dist_port"
        }
    done
}

# --- PostgreSQL ---------------------------------------------------------------------------

find_postgres() {
    local dir
    # The newest of those that are installed; sort -V knows that 9 is older than 17.
    dir=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    [[ -x $dir/postgres && -x $dir/initdb ]] ||
        die "PostgreSQL's server is not installed: apt-get install postgresql"
    pg_bin=$dir
}

# PostgreSQL refuses to run as root. In a user namespace that shows root as "postgres" it runs,
# and its files stay root's, so that they may lie below a directory that is only root's. Where
# that is not allowed (a chroot, a container) it becomes "postgres" indeed, and its data lies
# in a directory of its own that this user can reach.
as_postgres=()
prepare_postgres() {
    find_postgres
    pg_home=$state/postgres
    ((EUID == 0)) || return 0
    local uid gid
    if ! uid=$(id -u postgres) || ! gid=$(id -g postgres); then
        die "there is no user \"postgres\", which PostgreSQL needs when root starts it"
    fi
    as_postgres=(unshare --user --map-user="$uid" --map-group="$gid")
    [[ ! -s $state/postgres/home ]] && "${as_postgres[@]}" true 2>/dev/null && return 0
    as_postgres=(setpriv --reuid="$uid" --regid="$gid" --clear-groups)
    if [[ ! -s $state/postgres/home || ! -d $(<"$state/postgres/home") ]]; then
        mktemp -d /tmp/tug-pg.XXXXXX >"$state/postgres/home"
    fi
    pg_home=$(<"$state/postgres/home")
    chown "$uid:$gid" "$pg_home"
}

init_postgres() {
    local log=$state/log/postgres.log password=$pg_home/password.init
    [[ ! -s $pg_home/data/PG_VERSION ]] || return 0
    rm -rf -- "$pg_home/data"
    # initdb reads the file as the user that it runs as.
    cp "$state/postgres/password" "$password"
    ((EUID != 0)) || chown --reference="$pg_home" "$password"
    # -N: no fsync of files that nobody will need after a crash of this machine.
    (cd "$pg_home" && exec "${as_postgres[@]}" "$pg_bin/initdb" -D "$pg_home/data" -U tug \
        -A scram-sha-256 --pwfile="$password" -E UTF8 --locale=C.UTF-8 -N) \
        </dev/null >>"$log" 2>&1 || {
        say "error: initdb failed; the end of its output:"
        tail -n 15 "$log" >&2
        rm -rf -- "$pg_home/data"
        return 1
    }
    rm -f -- "$password"
    cat >>"$pg_home/data/postgresql.conf" <<'CONF'
listen_addresses = '127.0.0.1'
max_connections = 200
# Data that is thrown away need not survive a crash of the machine. A commit still reaches the
# kernel before it is answered, so that a killed server loses nothing that it confirmed.
fsync = off
full_page_writes = off
# Parallel queries would leave segments in /dev/shm when a server is killed.
dynamic_shared_memory_type = mmap
# Logical replication: each test of it has a slot of its own.
wal_level = logical
max_wal_senders = 30
max_replication_slots = 60
CONF
}

start_postgres() {
    init_postgres || return 4
    # After a SIGKILL of the server its sessions take a moment to notice, and until then a new
    # one refuses the shared memory of the old one.
    for _ in {1..50}; do
        [[ -n $(sessions_of_postgres) ]] || break
        sleep 0.1
    done
    # A socket file as well, unless the state lies deeper than the 107 bytes that its path may have.
    local sockets=$pg_home
    ((${#sockets} <= 90)) || sockets=
    spawn postgres "$pg_home" "${as_postgres[@]}" "$pg_bin/postgres" -D "$pg_home/data" \
        -p "$(port_of postgres)" -k "$sockets"
    await_database postgres || return
    psql_tug postgres "select 1 from pg_database where datname = 'tug'" | grep -q 1 ||
        psql_tug postgres 'create database tug' >/dev/null
}

await_database() {
    local pid=$spawned end=$((SECONDS + 60))
    until psql_tug "$1" 'select 1' &>/dev/null; do
        alive "$pid" || return 1
        ((SECONDS < end)) || return 2
        ! given_up || return 3
        sleep 0.05
    done
}

# psql_tug DATABASE SQL [SERVER], over TCP and SCRAM. The password goes through the environment, which
# only the owner can read; the user's own PG* variables would change what is connected to.
psql_tug() (
    unset "${!PG@}"
    PGPASSWORD=$(<"$state/postgres/password")
    PGCONNECT_TIMEOUT=3
    export PGPASSWORD PGCONNECT_TIMEOUT
    exec timeout 5 "$pg_bin/psql" -XAtqw -h 127.0.0.1 -p "$(port_of "${3:-postgres}")" -U tug \
        -d "$1" -c "$2" </dev/null
)

login_postgres() { [[ $(psql_tug tug 'select 1' 2>/dev/null) == 1 ]]; }

# --- PgBouncer, before that PostgreSQL ----------------------------------------------------

find_pgbouncer() {
    # It lies where an ordinary user's shell may not look.
    pgbouncer=$(PATH=$PATH:/usr/sbin command -v pgbouncer) ||
        die "PgBouncer is not installed: apt-get install pgbouncer"
}

# 1.21 was the first that keeps track of prepared statements in transaction mode.
pgbouncer_prepares() {
    local version
    version=$("$pgbouncer" --version 2>/dev/null) || return 1
    [[ $version =~ ([0-9]+)\.([0-9]+) ]] &&
        ((BASH_REMATCH[1] > 1 || (BASH_REMATCH[1] == 1 && BASH_REMATCH[2] >= 21)))
}

# Two databases of the same server: "tug" in transaction mode, "tug_session" in session mode. It
# refuses root as PostgreSQL does, and is shown another user in the same way.
start_pgbouncer() {
    local dir=$pg_home/pgbouncer
    [[ $pg_home != "$state/postgres" ]] || dir=$state/pgbouncer
    mkdir -p "$dir"
    printf '"tug" "%s"\n' "$(<"$state/postgres/password")" >"$dir/users"
    cat >"$dir/pgbouncer.ini" <<CONF
[databases]
tug = host=127.0.0.1 port=$(port_of postgres) dbname=tug pool_mode=transaction
tug_session = host=127.0.0.1 port=$(port_of postgres) dbname=tug pool_mode=session
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $(port_of pgbouncer)
unix_socket_dir =
auth_type = scram-sha-256
auth_file = users
default_pool_size = 4
max_client_conn = 100
CONF
    ! pgbouncer_prepares || echo 'max_prepared_statements = 100' >>"$dir/pgbouncer.ini"
    ((EUID != 0)) || chown -R --reference="$pg_home" "$dir"
    spawn pgbouncer "$dir" "${as_postgres[@]}" "$pgbouncer" pgbouncer.ini
}

login_pgbouncer() { [[ $(psql_tug tug 'select 1' pgbouncer 2>/dev/null) == 1 ]]; }

# The sessions of a server that was killed; each works in the data directory. The name keeps a
# shell that somebody left there out of it.
sessions_of_postgres() {
    local entry home=$state/postgres
    [[ ! -s $home/home ]] || home=$(<"$home/home")
    for entry in /proc/[0-9]*; do
        [[ $(readlink "$entry/cwd" 2>/dev/null) == "$home/data" ]] || continue
        [[ $(cat "$entry/comm" 2>/dev/null) == postgres ]] || continue
        printf '%s\n' "${entry#/proc/}"
    done
}

# A server that was killed leaves its sessions and one small System V segment, whose key and
# number stand in line 7 of postmaster.pid.
sweep_postgres() {
    local home=$state/postgres pid key id
    [[ ! -s $home/home ]] || home=$(<"$home/home")
    for pid in $(sessions_of_postgres); do
        kill -KILL "$pid" 2>/dev/null || true
    done
    [[ -s $home/data/postmaster.pid ]] || return 0
    read -r key id < <(sed -n 7p "$home/data/postmaster.pid") || true
    # It also names the old pid, which may still be a zombie and would count as running.
    rm -f -- "$home/data/postmaster.pid"
    [[ $key =~ ^[0-9]+$ && $id =~ ^[0-9]+$ ]] || return 0
    # The number may have been given to somebody else since; the key tells.
    if awk -v key="$key" -v id="$id" '$1 == key && $2 == id { found = 1 } END { exit !found }' \
        /proc/sysvipc/shm; then
        ipcrm -m "$id" 2>/dev/null || true
    fi
}

# --- Redis --------------------------------------------------------------------------------

start_redis() {
    local dir=$state/redis
    cat >"$dir/redis.conf" <<CONF
bind 127.0.0.1
port $(<"$dir/port")
requirepass $(<"$dir/password")
# Nothing is persistent; "down --keep" saves once, and "up" reads that.
save ""
appendonly no
dir ./
CONF
    spawn redis "$dir" redis-server redis.conf
}

redis_tug() (
    REDISCLI_AUTH=$(<"$state/redis/password")
    export REDISCLI_AUTH
    exec timeout 5 redis-cli --no-auth-warning -h 127.0.0.1 -p "$(port_of redis)" "$@" </dev/null
)

login_redis() { [[ $(redis_tug PING 2>/dev/null) == PONG ]]; }

# --- RabbitMQ -----------------------------------------------------------------------------

find_rabbitmq() {
    # The wrapper in /usr/sbin refuses ordinary users; the script behind it does not.
    rabbitmq_server=$(printf '%s\n' /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server |
        sort -V | tail -n 1)
    [[ -x $rabbitmq_server ]] ||
        die "RabbitMQ's server is not installed: apt-get install rabbitmq-server"
}

start_rabbitmq() {
    local dir=$state/rabbitmq end=$((SECONDS + 10))
    local epmd_port=$dir/epmd_port
    epmd_port=$(<"$epmd_port")
    mkdir -p "$dir/home" "$dir/data" "$dir/schema" "$dir/log"
    if [[ ! -s $dir/home/.erlang.cookie ]]; then
        make_password "$dir/home/.erlang.cookie"
        chmod 0400 "$dir/home/.erlang.cookie"
    fi
    cat >"$dir/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$(<"$dir/port")
default_user = tug
default_pass = $(<"$dir/password")
# The default would close all publishers on a machine whose disk is nearly full.
disk_free_limit.absolute = 1MB
CONF
    : >"$dir/environment.conf"
    printf '[].\n' >"$dir/enabled_plugins"
    printf '[].\n' >"$dir/advanced.config"

    unset "${!RABBITMQ_@}" "${!ERL_@}"
    export LC_ALL=C.UTF-8 HOME=$dir/home
    # An epmd of our own: the system's would stay, and would know our node's name.
    export ERL_EPMD_PORT=$epmd_port ERL_EPMD_ADDRESS=127.0.0.1
    spawn epmd "$dir" epmd -port "$epmd_port" -address 127.0.0.1
    until listening "$epmd_port"; do
        if ! alive "$spawned" || ((SECONDS >= end)); then
            say "error: epmd did not listen on 127.0.0.1:$epmd_port"
            return 4
        fi
        sleep 0.05
    done

    # The pid stays the script's, from here to the Erlang VM.
    export RUNNING_UNDER_SYSTEMD=true
    export RABBITMQ_NODENAME=tug@localhost
    export RABBITMQ_CONF_ENV_FILE=$dir/environment.conf
    export RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf
    export RABBITMQ_ADVANCED_CONFIG_FILE=$dir/advanced.config
    export RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins
    export RABBITMQ_MNESIA_BASE=$dir/data
    export RABBITMQ_SCHEMA_DIR=$dir/schema
    export RABBITMQ_GENERATED_CONFIG_DIR=$dir/schema
    export RABBITMQ_LOG_BASE=$dir/log
    export RABBITMQ_LOGS=-
    export RABBITMQ_PID_FILE=$dir/rabbitmq.pid
    RABBITMQ_DIST_PORT=$(<"$dir/dist_port")
    export RABBITMQ_DIST_PORT
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} \
-start_epmd false"
    spawn rabbitmq "$dir" "$rabbitmq_server"
}

login_rabbitmq() {
    timeout 5 "$root/scripts/amqp_login.sh" "$(port_of rabbitmq)" tug \
        <"$state/rabbitmq/password" &>/dev/null
}

# --- Starting and stopping ----------------------------------------------------------------

check_programs() {
    local name
    for name in ss:iproute2 setsid:util-linux unshare:util-linux flock:util-linux \
        redis-server:redis-server redis-cli:redis-server epmd:rabbitmq-server; do
        command -v "${name%:*}" >/dev/null ||
            die "${name%:*} is not installed: apt-get install ${name#*:}"
    done
    find_postgres
    find_pgbouncer
    find_rabbitmq
}

have_state() { [[ -f $state/tug-services && -O $state ]]; }

# make_state: creates the directory. One that somebody else made is refused, because "down"
# removes it with all that is in it.
make_state() {
    have_state && return 0
    (umask "$umask_of_caller" && mkdir -p "$(dirname "$state")") ||
        die "$(dirname "$state") cannot be created"
    mkdir -m 0700 "$state" 2>/dev/null || [[ -d $state ]] ||
        die "the state directory $state cannot be created"
    [[ -O $state ]] || die "the state directory $state belongs to another user"
    if [[ -n $(ls -A "$state") ]] && ! have_state; then
        # Another "up" may be making it in this moment.
        sleep 0.2
        have_state || die "$state is not empty and was not made by services.sh: choose another" \
            "directory by TUG_SERVICES_DIR"
        return 0
    fi
    chmod 0700 "$state"
    : >"$state/tug-services"
}

# lock: until the script ends. "down" removes the file under those who wait for it, so the one
# that was locked must still be the one in the directory.
lock() {
    while :; do
        { exec 8>>"$state/lock"; } 2>/dev/null || return 1
        flock -w 300 8 || die "another services.sh holds $state/lock for more than 300 s"
        [[ ! "$state/lock" -ef /proc/$$/fd/8 ]] || return 0
    done
}

stop_signal() {
    case $1:$2 in
        keep:postgres) echo INT ;;      # ends the sessions and writes a checkpoint
        throw:postgres) echo QUIT ;;    # ends at once, but removes its shared memory
        *:pgbouncer) echo KILL ;;       # it has nothing to lose
        keep:*) echo TERM ;;
        throw:epmd) echo TERM ;;
        throw:*) echo KILL ;;           # an orderly end takes RabbitMQ 2 s, for no one's good
    esac
}

# stop_server keep|throw NAME...: all at once, then waits for each.
stop_server() {
    local mode=$1 name pid end
    local -a pids=()
    shift
    for name in "$@"; do
        pid=$(recorded "$state/$name.pid") || continue
        if [[ $mode:$name == keep:redis ]]; then
            redis_tug SHUTDOWN SAVE &>/dev/null || true
        fi
        # A stopped process (SIGSTOP) would never see the signal.
        kill -s "$(stop_signal "$mode" "$name")" "$pid" 2>/dev/null || true
        kill -CONT "$pid" 2>/dev/null || true
        pids+=("$pid")
    done
    for name in "$@"; do
        end=$((SECONDS + 20))
        while pid=$(recorded "$state/$name.pid"); do
            if ((SECONDS >= end)); then
                say "$name (pid $pid) did not end within 20 s and is killed"
                kill -KILL "$pid" 2>/dev/null || true
                end=$((SECONDS + 5))
            fi
            sleep 0.05
        done
        [[ $name != postgres ]] || sweep_postgres
        rm -f -- "$state/$name.pid"
        # Its epmd has no other node, and would refuse a port that another server took.
        [[ $name != rabbitmq ]] || stop_server "$mode" epmd
    done
    # Ended is not yet reaped: a moment for init, so that "ps" afterwards shows none of them.
    for pid in "${pids[@]}"; do
        for _ in {1..20}; do
            [[ -e /proc/$pid ]] || break
            sleep 0.05
        done
    done
}

remove_state() {
    local home
    if [[ -s $state/postgres/home ]]; then
        home=$(<"$state/postgres/home")
        [[ $home != /tmp/tug-pg.?????? ]] || rm -rf -- "$home"
    fi
    # The marker goes last: what an interrupted removal left is still known as ours.
    find "$state" -mindepth 1 -maxdepth 1 ! -name tug-services -exec rm -rf -- {} +
    rm -f -- "$state/tug-services"
    rmdir -- "$state"
}

answers() { recorded "$state/$1.pid" >/dev/null && "login_$1"; }

# start_servers: those that do not answer, all at the same time. Needs the lock.
start_servers() {
    local name failed=0 pid
    local -a wanted=() jobs=()
    for name in "${servers[@]}"; do
        answers "$name" || wanted+=("$name")
    done
    ((${#wanted[@]} > 0)) || return 0
    stop_server throw "${wanted[@]}"

    say "starting ${wanted[*]}"
    mkdir -p "$state/log"
    for name in "${wanted[@]}"; do
        mkdir -p "$state/$name"
        make_password "$state/$name/password"
    done
    choose_ports "${wanted[@]}"
    [[ " ${wanted[*]} " != *postgres* && " ${wanted[*]} " != *pgbouncer* ]] || prepare_postgres
    for name in "${wanted[@]}"; do
        case $name in
            rabbitmq) start rabbitmq 120 & ;;
            *) start "$name" 60 & ;;
        esac
        jobs+=($!)
    done
    for pid in "${jobs[@]}"; do
        wait "$pid" || failed=1
    done
    # What "down --keep" saved has been read; a later crash must not bring it back.
    rm -f -- "$state/redis/dump.rdb"
    if ((failed)); then
        stop_server throw "${wanted[@]}"
        return 1
    fi
}

urls() {
    printf "export TUG_PG_URL='postgresql://tug:%s@127.0.0.1:%s/tug'\n" \
        "$(<"$state/postgres/password")" "$(port_of postgres)"
    printf "export TUG_TEST_PGBOUNCER_URL='postgresql://tug:%s@127.0.0.1:%s/tug'\n" \
        "$(<"$state/postgres/password")" "$(port_of pgbouncer)"
    printf "export TUG_TEST_PGBOUNCER_PREPARES=%s\n" "$(pgbouncer_prepares && echo 1 || echo 0)"
    printf "export TUG_REDIS_URL='redis://:%s@127.0.0.1:%s/0'\n" \
        "$(<"$state/redis/password")" "$(port_of redis)"
    printf "export TUG_AMQP_URL='amqp://tug:%s@127.0.0.1:%s/%%2f'\n" \
        "$(<"$state/rabbitmq/password")" "$(port_of rabbitmq)"
}

# --- Commands -----------------------------------------------------------------------------

up_command() {
    check_programs
    # "down" may remove the directory between the two.
    until make_state && lock; do :; done
    start_servers || die "the servers could not all be started; all logs: $program.sh logs"
    status_command
    say "for the URLs: eval \"\$(scripts/services.sh env)\""
}

down_command() {
    local mode=throw
    [[ ${1:-} != --keep ]] || mode=keep
    if ! have_state || ! lock; then
        say "nothing is running in $state"
        return 0
    fi
    stop_server "$mode" "${servers[@]}"
    [[ $mode == keep ]] || remove_state
}

status_command() {
    local name pid good=0
    find_postgres
    for name in "${servers[@]}"; do
        if ! pid=$(recorded "$state/$name.pid"); then
            printf '%-9s not running\n' "$name"
        elif ! "login_$name"; then
            printf '%-9s pid %s does not answer on 127.0.0.1:%s\n' "$name" "$pid" \
                "$(port_of "$name")"
        else
            printf '%-9s pid %s answers on 127.0.0.1:%s\n' "$name" "$pid" "$(port_of "$name")"
            good=$((good + 1))
        fi
    done
    ((good == 0)) && return 3
    ((good == ${#servers[@]}))
}

env_command() {
    local name
    find_pgbouncer
    for name in "${servers[@]}"; do
        recorded "$state/$name.pid" >/dev/null ||
            die "$name is not running in $state: scripts/services.sh up"
    done
    urls
}

logs_command() {
    local name lines=${1:-40}
    [[ $lines =~ ^[0-9]+$ ]] || die "logs: \"$lines\" is not a number of lines"
    [[ -d $state/log ]] || die "there are no logs in $state: nothing was started there"
    for name in "${servers[@]}"; do
        printf '==> %s\n' "$name"
        tail -n "$lines" "$state/log/$name.log" 2>/dev/null || true
    done
}

# run_command CMD...: the leash is a FIFO whose write end only this script (and what it starts
# servers with, until each is recorded) holds. A watcher in a session of its own reads it: at
# its end, however that came, the watcher stops the servers and removes everything.
run_command() {
    local rc=0 dir watcher command_pid='' signalled=''
    (($# > 0)) || die "run: no command: services.sh run -- CMD..."
    check_programs
    dir=$(mktemp -d "${TMPDIR:-/tmp}/tug-run.XXXXXX")
    state=$dir/services
    mkfifo "$dir/leash"
    mkdir "$dir/tmp"
    # For reading as well, so that neither end has to wait for the other in open().
    exec 9<>"$dir/leash"
    setsid bash "$self" watch "$dir" <"$dir/leash" >/dev/null 2>&1 9>&- &
    watcher=$!

    # A signal before CMD runs ends the start; afterwards it is CMD's, to which it goes as a
    # group, once. CMD has a session of its own: else Ctrl-C would reach it twice.
    trap 'signalled=INT; pass_signal INT' INT
    trap 'signalled=TERM; pass_signal TERM' TERM
    trap 'signalled=HUP; pass_signal HUP' HUP
    pass_signal() {
        if [[ -z $command_pid ]]; then
            mkdir -p "$state" && : >"$state/stop"
        else
            kill -s "$1" -- "-$command_pid" 2>/dev/null ||
                kill -s "$1" "$command_pid" 2>/dev/null || true
        fi
    }

    make_state && lock
    if start_servers && [[ -z $signalled ]]; then
        (
            eval "$(urls)"
            # What CMD leaves there goes with the rest.
            export TMPDIR=$dir/tmp
            record "$BASHPID" "$dir/command.pid"
            umask "$umask_of_caller"
            # Background jobs of a script ignore SIGINT and SIGQUIT, unlike this one.
            exec setsid env --default-signal=INT,QUIT "$@" 8>&- 9>&-
        ) <&0 &
        command_pid=$!
        [[ -z $signalled ]] || pass_signal "$signalled"
        while :; do
            signalled=
            rc=0
            wait "$command_pid" || rc=$?
            # A trap ends the wait, not the command.
            [[ -n $signalled ]] || break
        done
        rm -f -- "$dir/command.pid"
    elif [[ -n $signalled ]]; then
        rc=$((128 + $(kill -l "$signalled")))
    else
        say "error: the servers could not be started, \"$1\" was not run"
        rc=125
    fi

    trap '' INT TERM HUP
    exec 8>&- 9>&-
    wait "$watcher" || true
    # Only if somebody killed the watcher.
    [[ ! -d $dir ]] || clean_run "$dir"
    exit "$rc"
}

clean_run() {
    local dir=$1 pid end=$((SECONDS + 25))
    state=$dir/services
    # 25 s: what a program of ours may take to drain after SIGTERM.
    if pid=$(recorded "$dir/command.pid"); then
        kill -TERM -- "-$pid" 2>/dev/null || true
        while recorded "$dir/command.pid" >/dev/null && ((SECONDS < end)); do
            sleep 0.1
        done
        kill -KILL -- "-$pid" 2>/dev/null || true
    fi
    if have_state; then
        lock && stop_server throw "${servers[@]}"
        remove_state
    fi
    rm -rf -- "$dir"
}

watch_command() {
    trap '' INT TERM HUP
    cat >/dev/null
    clean_run "$1"
}

usage() {
    say "usage: services.sh up | down [--keep] | status | env | logs [LINES] | run -- CMD..."
    exit 2
}

main() {
    local command=${1:-}
    shift || usage
    case $command:${1:-}:$# in
        up::0 | status::0 | env::0 | down::0 | down:--keep:1 | logs::0 | logs:*:1 | watch:*:1) ;;
        run:--:*) shift ;;
        *) usage ;;
    esac
    "${command}_command" "$@"
}

main "$@"
