#!/bin/bash
# include_rules.sh [--root DIR] | --self-test
#
# Checks who includes whom, by reading the #include lines. A room includes only what stands left
# of it:
#
#   core: util < loop < future < task < kit  |  pool  |  drivers/common  |  drivers/pg, redis, amqp
#
#   levels     core/src lies in folders by level; a file includes private headers of its own and
#              lower levels, written from core/src ("future/future.h"), and public ones of core
#   rooms      pool knows no driver, drivers never include each other, core none of the later;
#              from another room only public headers (<tug/...>, <tug/sys/...>), except that
#              drivers share drivers/common/src ("common/NAME.h" or by its path)
#   public     core/include, pool/include, drivers/*/include and the umbrella include/tug/tug.h
#              include <tug/...> and the C library only, nothing of the libraries underneath
#   libraries  libevent is included by core/src/loop only, and each driver's library by that
#              driver's src only
#   examples   <tug/NAME.h>, the C library and POSIX, headers of their own folder;
#              embed_libevent.c also libevent, etl_packages/ also <openssl/evp.h>
#   bench      is free to include what it measures
#
# One line for each violation: FILE:LINE: the rule. Exit status 1 if there is any. --self-test
# breaks each rule in a tree of its own and expects that line.
set -euo pipefail

die() {
    printf 'include_rules: error: %s\n' "$*" >&2
    exit 2
}

# Headers that a build makes, as they are written in quotes.
generated=()

levels=(util loop future task kit)

violations=0
complain() { # FILE LINE RULE
    printf '%s:%s: %s\n' "$1" "$2" "$3"
    violations=$((violations + 1))
}

level_number() {
    local i
    for i in "${!levels[@]}"; do
        [[ ${levels[i]} != "$1" ]] || {
            printf '%s' "$i"
            return
        }
    done
    return 1
}

# locate PATH: sets room (core pool common pg redis amqp umbrella examples bench, or nothing),
# rank (what stands left has a lower one) and kind (private or public).
locate() {
    room='' rank=0 kind=private
    case $1 in
        core/src/*/* | core/include/tug/*.h) room=core rank=1 ;;
        pool/src/* | pool/include/tug/*.h) room=pool rank=2 ;;
        drivers/common/src/* | drivers/common/include/tug/*.h) room=common rank=3 ;;
        drivers/*/src/* | drivers/*/include/tug/*.h)
            room=${1#drivers/}
            room=${room%%/*}
            rank=4
            ;;
        include/tug/tug.h) room=umbrella rank=5 kind=public ;;
        examples/*) room=examples rank=6 ;;
        bench/*) room=bench rank=6 ;;
    esac
    [[ $1 != */include/* ]] || kind=public
}

# library HEADER: which library underneath it belongs to, or nothing.
library() {
    case $1 in
        event2/* | event.h | ev[a-z]*.h) echo libevent ;;
        libpq-fe.h | libpq-events.h | libpq/* | postgresql/* | postgres_ext.h | pg_config*.h)
            echo libpq
            ;;
        hiredis/* | hiredis.h) echo hiredis ;;
        amqp.h | amqp_*.h | rabbitmq-c/*) echo librabbitmq ;;
        openssl/*) echo OpenSSL ;;
    esac
}

c_library='^(assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp'
c_library+='|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn'
c_library+='|string|tgmath|threads|time|uchar|wchar|wctype'
c_library+='|aio|dirent|dlfcn|fcntl|fnmatch|getopt|glob|grp|iconv|langinfo|libgen|netdb|nl_types'
c_library+='|poll|pthread|pwd|regex|sched|search|semaphore|spawn|strings|syslog|termios|unistd'
c_library+='|utime|wordexp|arpa/inet|net/if|netinet/in|netinet/tcp'
c_library+='|sys/(mman|resource|select|socket|stat|statvfs|time|times|types|uio|un|utsname|wait)'
c_library+=')\.h$'

# The path of a quoted header seen from FILE, relative to the root; nothing if there is none.
# Also looks where a file must not, so that the message can say which room it reached into.
resolve() { # FILE TARGET
    local file=$1 target=$2 base path
    base=${file%%/src/*}/src
    for path in "$(dirname "$file")/$target" "$base/$target" "drivers/common/src/$target" \
        "drivers/${target%%/*}/src/${target#*/}" "core/src/$target" "pool/src/$target" \
        "${target%%/*}/src/${target#*/}"; do
        if [[ -f $path ]]; then
            realpath -m --relative-to=. "$path"
            return
        fi
    done
}

check_include() { # FILE LINE < or " TARGET
    local file=$1 line=$2 mark=$3 target=$4 lib path own_room own_rank own_kind level

    locate "$file"
    own_room=$room own_rank=$rank own_kind=$kind

    if [[ $target == tug/* ]]; then
        if [[ $mark != '<' ]]; then
            complain "$file" "$line" "public headers are written <$target>"
            return
        fi
        path=${public[$target]:-}
        if [[ -z $path ]]; then
            complain "$file" "$line" "there is no public header <$target>"
            return
        fi
        if [[ $own_room == examples ]]; then
            [[ $target != tug/sys/* ]] ||
                complain "$file" "$line" "examples include <tug/NAME.h>, not <$target>"
            return
        fi
        locate "$path"
        complain_room "$file" "$line" "<$target>" || true
        return
    fi

    if [[ $mark == '<' ]]; then
        lib=$(library "$target")
        if [[ -n $lib ]]; then
            check_library "$file" "$line" "$target" "$lib"
        elif [[ $own_room == examples && ! $target =~ $c_library ]]; then
            complain "$file" "$line" "examples include <tug/NAME.h> and the C library, not <$target>"
        elif [[ $own_room != bench && -f core/src/$target ]]; then
            complain "$file" "$line" "private headers are written in quotes, not <$target>"
        fi
        return
    fi

    [[ $own_room != bench ]] || return 0
    if [[ $own_kind == public ]]; then
        complain "$file" "$line" "a public header includes <tug/...> and the C library, not \"$target\""
        return
    fi
    if [[ $own_room == examples ]]; then
        [[ $target != */* && -f $(dirname "$file")/$target ]] ||
            complain "$file" "$line" "examples include headers of their own folder, not \"$target\""
        return
    fi
    [[ " ${generated[*]} " != *" $target "* ]] || return 0

    if [[ $own_room == core ]]; then
        if ! level=$(level_number "${target%%/*}") || [[ $target == *..* ]]; then
            complain "$file" "$line" "core's private headers are written LEVEL/NAME.h, not \"$target\""
        elif [[ ! -f core/src/$target ]]; then
            complain "$file" "$line" "there is no core/src/$target"
        elif ((level > own_level)); then
            complain "$file" "$line" \
                "${levels[own_level]} stands below ${levels[level]} and does not include \"$target\""
        fi
        return
    fi

    path=$(resolve "$file" "$target")
    if [[ -z $path ]]; then
        complain "$file" "$line" "there is no private header \"$target\""
        return
    fi
    locate "$path"
    if complain_room "$file" "$line" "\"$target\""; then
        return
    fi
    if [[ $room != "$own_room" && $kind == private && "$own_rank:$room" != 4:common ]]; then
        complain "$file" "$line" \
            "$own_room includes public headers of $room only (<tug/...>), not \"$target\""
    fi
}

# Whether the room just located stands right of the includer's, and if so the complaint.
complain_room() { # FILE LINE WRITTEN
    if ((own_rank == 4 && rank == 4)) && [[ $room != "$own_room" ]]; then
        complain "$1" "$2" "drivers never include each other: $own_room includes $3 of $room"
    elif ((rank > own_rank)); then
        complain "$1" "$2" "$own_room stands left of $room and does not include $3"
    else
        return 1
    fi
}

check_library() { # FILE LINE TARGET LIBRARY
    if [[ $own_kind == public ]]; then
        complain "$1" "$2" "no public header includes one of $4: <$3>"
        return
    fi
    case $4:$1 in
        *:bench/*) ;;
        libevent:core/src/loop/* | libevent:examples/embed_libevent.c) ;;
        libpq:drivers/pg/src/*) ;;
        hiredis:drivers/redis/src/*) ;;
        librabbitmq:drivers/amqp/src/*) ;;
        OpenSSL:examples/etl_packages/*)
            [[ $3 == openssl/evp.h ]] ||
                complain "$1" "$2" "etl_packages includes <openssl/evp.h> of OpenSSL, not <$3>"
            ;;
        OpenSSL:core/src/* | OpenSSL:drivers/*) ;;
        libevent:*) complain "$1" "$2" "only core/src/loop includes libevent: <$3>" ;;
        *:examples/* | OpenSSL:*) complain "$1" "$2" "$own_room does not include $4: <$3>" ;;
        *) complain "$1" "$2" "only the driver over $4 includes it: <$3>" ;;
    esac
}

check_tree() {
    local file path entry line mark target count=0
    local -a folders=()
    declare -gA public=()

    for path in core pool drivers include examples bench; do
        [[ ! -d $path ]] || folders+=("$path")
    done
    ((${#folders[@]} > 0)) || die "$PWD has none of the rooms"

    while IFS= read -r path; do
        entry=tug/${path#*include/tug/}
        if [[ -n ${public[$entry]:-} ]]; then
            complain "$path" 1 "a second header <$entry> beside ${public[$entry]}"
        fi
        public[$entry]=$path
    done < <(find "${folders[@]}" -path '*include/tug/*' -name '*.h' | LC_ALL=C sort)

    while IFS= read -r file; do
        count=$((count + 1))
        locate "$file"
        own_level=0
        if [[ -z $room ]]; then
            complain "$file" 1 "lies in no room: src/ (in core with a level below it) or include/tug/"
            continue
        fi
        if [[ $file == core/src/* ]]; then
            path=${file#core/src/}
            own_level=$(level_number "${path%%/*}") || {
                complain "$file" 1 "core/src has the levels ${levels[*]}, not ${path%%/*}"
                continue
            }
        fi
        while IFS=$'\t' read -r line mark target; do
            if [[ $mark == computed ]]; then
                complain "$file" "$line" "an include that is computed cannot be checked: $target"
            else
                check_include "$file" "$line" "$mark" "$target"
            fi
        done < <(awk '
            /^[ \t]*#[ \t]*include/ {
                text = $0
                sub(/^[ \t]*#[ \t]*include(_next)?[ \t]*/, "", text)
                mark = substr(text, 1, 1)
                if (mark != "<" && mark != "\"") {
                    print FNR "\tcomputed\t" text
                    next
                }
                text = substr(text, 2)
                sub(mark == "<" ? ">.*" : "\".*", "", text)
                print FNR "\t" mark "\t" text
            }' "$file")
    done < <(find "${folders[@]}" -type f \( -name '*.[chS]' -o -name '*.inc' \) | LC_ALL=C sort)

    if ((violations > 0)); then
        printf 'include_rules: %d violations in %d files\n' "$violations" "$count" >&2
        return 1
    fi
    printf 'include_rules: %d files keep the rules\n' "$count" >&2
}

# --- Self-test ----------------------------------------------------------------------------

plant() { # FILE [LINE...]
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "${@:2}" >"$1"
}

clean_tree() {
    plant core/include/tug/future.h '#include <stddef.h>'
    plant core/include/tug/task.h '#include <tug/future.h>'
    plant core/include/tug/sys/loop.h '#include <tug/future.h>' '#include <sys/socket.h>'
    plant core/src/util/list.h '#include <stddef.h>'
    plant core/src/loop/loop.h '#include "util/list.h"'
    plant core/src/loop/loop.c '#include "loop/loop.h"' '#include <event2/event.h>'
    plant core/src/future/future.h '#  include "util/list.h"'
    plant core/src/task/task.h '#include <tug/task.h>'
    plant core/src/task/task.c '#include "task/task.h"' '#include "future/future.h"'
    plant core/src/kit/tls.h '#include "task/task.h"'
    plant core/src/kit/tls.c '#include "kit/tls.h"' '#include <openssl/ssl.h>'
    plant pool/include/tug/pool.h '#include <tug/future.h>'
    plant pool/src/pool_impl.h '#include <tug/pool.h>'
    plant pool/src/pool.c '#include "pool_impl.h"'
    plant drivers/common/include/tug/sys/fifo.h '#include <tug/sys/loop.h>'
    plant drivers/common/src/url.h '#include <stdbool.h>'
    plant drivers/pg/include/tug/pg.h '#include <tug/pool.h>'
    plant drivers/pg/src/conn.h '#include <libpq-fe.h>'
    plant drivers/pg/src/conn.c '#include "conn.h"' '#include "common/url.h"' \
        '#include <tug/sys/fifo.h>'
    plant drivers/redis/include/tug/redis.h '#include <tug/future.h>'
    plant drivers/redis/src/conn.c '#include "../../common/src/url.h"' '#include <hiredis/read.h>'
    plant drivers/redis/src/resp.h
    plant drivers/amqp/include/tug/amqp.h '#include <tug/future.h>'
    plant drivers/amqp/src/amqp_frame.h '#include <amqp.h>' '#include <rabbitmq-c/amqp.h>'
    plant drivers/amqp/src/frame.c '#include "amqp_frame.h"'
    plant include/tug/tug.h '#include <tug/task.h>' '#include <tug/pg.h>' '#include <tug/amqp.h>'
    plant examples/query_many.c '#include <tug/pg.h>' '#include <stdio.h>' '#include <unistd.h>'
    plant examples/embed_libevent.c '#include <event2/event.h>' '#include <tug/task.h>'
    plant examples/etl_packages/etl.h '#include <tug/tug.h>'
    plant examples/etl_packages/hash.c '#include "etl.h"' '#include <openssl/evp.h>'
    plant bench/bench_pg.c '#include <libpq-fe.h>' '#include <tug/pg.h>' '#include "bench.h"'
    plant core/CMakeLists.txt '#include <event2/event.h>'
}

self_test() {
    local script=$1 work file text expected output status cases=0 bad=0
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # the directory of now
    trap "rm -rf -- '$work'" EXIT

    mkdir "$work/clean"
    (cd "$work/clean" && clean_tree)
    output=$("$script" --root "$work/clean" 2>&1) || {
        printf 'include_rules: self-test: the clean tree is not accepted:\n%s\n' "$output" >&2
        return 1
    }

    # FILE | what is added as its last line | what the complaint must say
    while IFS='|' read -r file text expected; do
        [[ -n $file ]] || continue
        cases=$((cases + 1))
        rm -rf -- "$work/case"
        cp -r "$work/clean" "$work/case"
        mkdir -p "$(dirname "$work/case/$file")"
        printf '%s\n' "$text" >>"$work/case/$file"
        status=0
        output=$("$script" --root "$work/case" 2>/dev/null) || status=$?
        if ((status != 1)) || (($(wc -l <<<"$output") != 1)) ||
            [[ ! $output =~ ^"$file":[0-9]+:\ .*"$expected" ]]; then
            printf 'include_rules: self-test: %s with %s:\n  expected: ...%s...\n  got (%d): %s\n' \
                "$file" "$text" "$expected" "$status" "$output" >&2
            bad=$((bad + 1))
        fi
    done <<'CASES'
core/src/util/list.h|#include "loop/loop.h"|util stands below loop
core/src/loop/loop.c|#include "future/future.h"|loop stands below future
core/src/future/future.h|#include "task/task.h"|future stands below task
core/src/task/task.c|#include "kit/tls.h"|task stands below kit
core/src/task/task.c|	# include	"kit/tls.h" /* why */|task stands below kit
core/src/task/task.c|#include "task.h"|LEVEL/NAME.h
core/src/task/task.c|#include "../util/list.h"|LEVEL/NAME.h
core/src/task/task.c|#include "util/../kit/tls.h"|LEVEL/NAME.h
core/src/task/task.c|#include "util/none.h"|there is no core/src/util/none.h
core/src/task/task.c|#include <util/list.h>|written in quotes
core/src/task/task.c|#include "tug/task.h"|written <tug/task.h>
core/src/task/task.c|#include <tug/none.h>|there is no public header
core/src/task/task.c|#include HEADER|computed
core/src/stray.c||lies in no room
core/src/extra/stray.c||has the levels
core/stray.h||lies in no room
drivers/pg/stray.c||lies in no room
core/src/kit/tls.c|#include <tug/pool.h>|core stands left of pool
core/src/kit/tls.c|#include <tug/sys/fifo.h>|core stands left of common
core/src/kit/tls.c|#include <tug/redis.h>|core stands left of redis
core/src/kit/tls.c|#include <tug/tug.h>|core stands left of umbrella
core/include/tug/task.h|#include <tug/pg.h>|core stands left of pg
pool/src/pool.c|#include <tug/pg.h>|pool stands left of pg
pool/src/pool.c|#include <tug/sys/fifo.h>|pool stands left of common
pool/src/pool.c|#include "util/list.h"|public headers of core only
pool/src/pool.c|#include "none.h"|there is no private header
pool/include/tug/pool.h|#include <tug/redis.h>|pool stands left of redis
drivers/common/src/url.h|#include <tug/pg.h>|common stands left of pg
drivers/common/src/url.h|#include "../../pg/src/conn.h"|common stands left of pg
drivers/pg/src/conn.c|#include <tug/redis.h>|drivers never include each other
drivers/pg/src/conn.c|#include "redis/resp.h"|drivers never include each other
drivers/pg/src/conn.c|#include "../../redis/src/resp.h"|drivers never include each other
drivers/pg/src/conn.c|#include <tug/tug.h>|pg stands left of umbrella
drivers/pg/src/conn.c|#include "task/task.h"|public headers of core only
drivers/pg/src/conn.c|#include "../../../pool/src/pool_impl.h"|public headers of pool only
drivers/pg/include/tug/pg.h|#include <tug/amqp.h>|drivers never include each other
drivers/pg/include/tug/pg.h|#include "conn.h"|a public header includes
drivers/pg/include/tug/pg.h|#include <libpq-fe.h>|no public header includes one of libpq
drivers/redis/include/tug/redis.h|#include <hiredis/hiredis.h>|no public header includes one of hiredis
drivers/amqp/include/tug/amqp.h|#include <amqp.h>|no public header includes one of librabbitmq
drivers/amqp/include/tug/amqp.h|#include <rabbitmq-c/framing.h>|no public header includes one of librabbitmq
core/include/tug/sys/loop.h|#include <event2/event.h>|no public header includes one of libevent
core/include/tug/task.h|#include <openssl/ssl.h>|no public header includes one of OpenSSL
pool/include/tug/pg.h|#include <stddef.h>|a second header <tug/pg.h> beside drivers/pg
include/tug/tug.h|#include <event2/event.h>|no public header includes one of libevent
include/tug/other.h|#include <tug/pg.h>|lies in no room
core/src/kit/tls.c|#include <event2/event.h>|only core/src/loop includes libevent
drivers/redis/src/conn.c|#include <event2/bufferevent.h>|only core/src/loop includes libevent
drivers/redis/src/conn.c|#include <libpq-fe.h>|only the driver over libpq
core/src/loop/loop.c|#include <hiredis/read.h>|only the driver over hiredis
pool/src/pool.c|#include <amqp.h>|only the driver over librabbitmq
pool/src/pool.c|#include <openssl/ssl.h>|pool does not include OpenSSL
examples/query_many.c|#include <event2/event.h>|only core/src/loop includes libevent
examples/query_many.c|#include <libpq-fe.h>|examples does not include libpq
examples/query_many.c|#include <openssl/evp.h>|examples does not include OpenSSL
examples/query_many.c|#include <linux/io_uring.h>|examples include <tug/NAME.h>
examples/query_many.c|#include <tug/sys/loop.h>|examples include <tug/NAME.h>
examples/query_many.c|#include "etl_packages/etl.h"|headers of their own folder
examples/query_many.c|#include "task/task.h"|headers of their own folder
examples/etl_packages/hash.c|#include "../query_many.c"|headers of their own folder
examples/etl_packages/hash.c|#include <openssl/ssl.h>|includes <openssl/evp.h> of OpenSSL
bench/bench_pg.c|#include <tug/none.h>|there is no public header
CASES
    if ((bad > 0)); then
        printf 'include_rules: self-test: %d of %d violations were not seen as such\n' \
            "$bad" "$cases" >&2
        return 1
    fi
    printf 'include_rules: self-test: the clean tree passes, %d violations are seen\n' "$cases" >&2
}

script=$(realpath "${BASH_SOURCE[0]}")
case ${1:-}:$# in
    :0) cd "$(dirname "$script")/../.." && check_tree ;;
    --root:2) cd "$2" && check_tree ;;
    --self-test:1) self_test "$script" ;;
    *) die "usage: include_rules.sh [--root DIR] | --self-test" ;;
esac
