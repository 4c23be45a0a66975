#!/bin/bash
# pg_server.sh: PostgreSQL servers of one test's own, which it may stop, kill and reconfigure. It reads commands
# from standard input and answers each with one line, "ok ..." or "no ..."; at the end of its input all servers
# are stopped and everything is removed, whatever became of the test.
#
#   init NAME             a data directory: user tug, password "sec-ret", SCRAM over TCP
#   standby NAME OF       a copy of OF, which must run, as its hot standby
#   conf NAME LINE        adds a line to postgresql.conf
#   hba NAME LINE         adds a line before those of pg_hba.conf
#   tls NAME HOST         makes authorities and certificates and turns TLS on, for HOST; over TCP nobody gets in
#                         without it
#   start NAME            ok PORT; the port stays the same from one start to the next
#   stop NAME | kill NAME an orderly end that throws clients out | SIGKILL, sessions included
#   promote NAME          makes a standby a primary
#   folder                ok PATH: holds the certificates, and each server's socket in NAME/
#
# Each server also has the abstract socket @tug-test-PORT.
set -euo pipefail

bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
here=$(mktemp -d /tmp/tug-pg.XXXXXX) # short: the path of a socket has 107 bytes at most
declare -A pids ports

# It refuses to run as root: see scripts/services.sh.
as=()
if ((EUID == 0)); then
    as=(unshare --user --map-user="$(id -u postgres)" --map-group="$(id -g postgres)")
    if ! "${as[@]}" true 2>/dev/null; then
        as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
        chmod 711 "$here"
    fi
fi
own() { ((EUID != 0)) || [[ ${as[0]} != setpriv ]] || chown -R postgres:postgres "$@"; }

finish() {
    trap '' TERM INT HUP
    local name
    for name in "${!pids[@]}"; do
        kill -QUIT "${pids[$name]}" 2>/dev/null || true
    done
    for name in "${!pids[@]}"; do
        wait "${pids[$name]}" 2>/dev/null || true
    done
    rm -rf -- "$here"
}
trap finish EXIT
trap 'exit 1' TERM INT HUP

free_port() {
    local port
    while port=$((10000 + SRANDOM % 20000)); do
        [[ -z $(ss -Hltn "sport = :$port") ]] && printf '%s\n' "$port" && return
    done
}

answers() {
    "${as[@]}" "$bin/pg_isready" -q -h "$here/$1" -p "${ports[$1]}"
}

init() {
    mkdir "$here/$1"
    own "$here/$1"
    printf 'sec-ret\n' >"$here/password"
    chmod 644 "$here/password"
    (cd "$here/$1" && "${as[@]}" "$bin/initdb" -D "$here/$1/data" -U tug -A scram-sha-256 --pwfile="$here/password" \
        -E UTF8 --locale=C.UTF-8 -N --no-instructions) >"$here/$1.log" 2>&1 || return
    cat >>"$here/$1/data/postgresql.conf" <<'CONF'
listen_addresses = '127.0.0.1'
max_connections = 60
fsync = off
full_page_writes = off
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
log_min_messages = warning
CONF
    printf 'local all tug trust\nhost replication tug 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n' \
        >"$here/$1/data/pg_hba.conf"
}

standby() {
    mkdir "$here/$1"
    own "$here/$1"
    (cd "$here/$1" && "${as[@]}" "$bin/pg_basebackup" -D "$here/$1/data" -h 127.0.0.1 -p "${ports[$2]}" \
        -U tug -R -c fast -X stream --no-sync) >"$here/$1.log" 2>&1 || return
}

start() {
    : "${ports[$1]:=$(free_port)}"
    (cd "$here/$1" && exec "${as[@]}" "$bin/postgres" -D "$here/$1/data" -p "${ports[$1]}" \
        -k "$here/$1,@tug-test-${ports[$1]}") \
        </dev/null >>"$here/$1.log" 2>&1 &
    pids[$1]=$!
    local i
    for ((i = 0; i < 600; i++)); do
        answers "$1" && printf 'ok %s\n' "${ports[$1]}" && return
        kill -0 "${pids[$1]}" 2>/dev/null || break
        sleep 0.05
    done
    return 1
}

stop() {
    kill -s "$2" "${pids[$1]}"
    wait "${pids[$1]}" 2>/dev/null || true
    unset "pids[$1]"
}

# The sessions notice the end of their server by themselves, but a new one must not find them.
kill_all() {
    local children
    children=$(cat "/proc/${pids[$1]}/task/${pids[$1]}/children")
    kill -KILL "${pids[$1]}"
    # shellcheck disable=SC2086 # a list of numbers
    kill -KILL $children 2>/dev/null || true
    wait "${pids[$1]}" 2>/dev/null || true
    unset "pids[$1]"
    # Its segment of shared memory: the number stands in line 7.
    ipcrm -m "$(sed -n '7s/.* //p' "$here/$1/data/postmaster.pid")" 2>/dev/null || true
    rm -f -- "$here/$1/data/postmaster.pid"
}

# certificate NAME SUBJECT AUTHORITY [EXTENSION]
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$here/$1.key" -out "$here/$1.csr" \
        -subj "/CN=$2"
    openssl x509 -req -in "$here/$1.csr" -CA "$here/$3.crt" -CAkey "$here/$3.key" -CAcreateserial -days 2 \
        -out "$here/$1.crt" -extfile <(printf '%s\n' "${4:-basicConstraints=CA:FALSE}")
}

tls() {
    local authority
    if [[ ! -e $here/ca.crt ]]; then
        for authority in ca stranger; do
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=tug test $authority" \
                -keyout "$here/$authority.key" -out "$here/$authority.crt" \
                -addext 'keyUsage=keyCertSign,cRLSign'
        done
        certificate client badger ca
        certificate strange badger stranger
    fi
    certificate "$1" "$2" ca "subjectAltName=DNS:$2"
    chmod 600 "$here"/*.key
    # The list of what was revoked: the server's certificate.
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s\ndefault_md=sha256\ndefault_crl_days=2\n' "$here/index" >"$here/ca.conf"
    : >"$here/index"
    openssl ca -config "$here/ca.conf" -keyfile "$here/ca.key" -cert "$here/ca.crt" -gencrl -out "$here/empty.crl"
    openssl ca -config "$here/ca.conf" -keyfile "$here/ca.key" -cert "$here/ca.crt" -revoke "$here/$1.crt"
    openssl ca -config "$here/ca.conf" -keyfile "$here/ca.key" -cert "$here/ca.crt" -gencrl -out "$here/revoked.crl"
    cp "$here/$1.crt" "$here/$1/data/server.crt"
    cp "$here/$1.key" "$here/$1/data/server.key"
    cp "$here/ca.crt" "$here/$1/data/root.crt"
    chmod 600 "$here/$1/data/server.key"
    own "$here/$1/data"/server.* "$here/$1/data/root.crt"
    sed -i 's/^host all/hostssl all/' "$here/$1/data/pg_hba.conf"
    printf "ssl = on\nssl_ca_file = 'root.crt'\n" >>"$here/$1/data/postgresql.conf"
}

hba() {
    { printf '%s\n' "$2" && cat "$here/$1/data/pg_hba.conf"; } >"$here/$1/hba"
    cat "$here/$1/hba" >"$here/$1/data/pg_hba.conf"
}

# do_it COMMAND...: its answer goes to standard output.
do_it() {
    case $1 in
        init) init "$2" ;;
        standby) standby "$2" "$3" ;;
        conf) printf '%s\n' "$3" >>"$here/$2/data/postgresql.conf" ;;
        hba) hba "$2" "$3" ;;
        tls) tls "$2" "$3" >>"$here/$2.log" 2>&1 ;;
        start) start "$2" ;;
        stop) stop "$2" INT ;;
        kill) kill_all "$2" ;;
        promote) "${as[@]}" "$bin/pg_ctl" -D "$here/$2/data" -s -w promote >>"$here/$2.log" 2>&1 ;;
        folder) printf 'ok %s\n' "$here" ;;
        *) return 1 ;;
    esac
}

while read -r command name rest; do
    answer=
    # Not in a subshell: it keeps pids and ports.
    if do_it "$command" "$name" "$rest" >"$here/answer"; then
        answer=$(<"$here/answer")
        printf '%s\n' "${answer:-ok}"
    else
        printf 'no %s: %s\n' "$command $name" "$(tail -n 3 "$here/$name.log" 2>/dev/null | tr '\n' ' ')"
    fi
done
