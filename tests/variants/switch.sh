#!/bin/bash
# switch.sh [--full] [--list] [NAME...]: the context switch, built in the ways that compilers and flags offer,
# each running switch_check: x86-64 by gcc and clang, aarch64 by both under qemu-user, ucontext.
#
# Without --full a part of the variants, those that differ most. NAME: only the variants whose name contains
# it. What is needed is in group test of scripts/packages.txt; what is missing fails, in one line.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
full=no
list=no
names=()
for word in "$@"; do
    case $word in
        --full) full=yes ;;
        --list) list=yes ;;
        *) names+=("$word") ;;
    esac
done

die() {
    printf 'switch.sh: error: %s\n' "$*" >&2
    exit 1
}
need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null || die "$1 is not installed: apt-get install $2"
}

# --- the variants: TARGET | COMPILER | FLAGS; "*" in front: in the short list too -------------------

variants=()
add() { variants+=("$1"); }

for compiler in gcc clang; do
    for level in -O0 -O1 -O2 -O3 -Os; do
        mark=
        [[ $level != -O[02] ]] || mark="*"
        add "$mark|x86_64|$compiler|$level -fomit-frame-pointer"
        [[ $level != -O2 ]] && mark=
        add "$mark|x86_64|$compiler|$level -fno-omit-frame-pointer"
    done
    add "*|x86_64|$compiler|-O3 -flto"
    add "|x86_64|$compiler|-O2 -flto"
    for level in -O0 -O2; do
        mark=
        [[ $level != -O2 ]] || mark="*"
        add "$mark|x86_64|$compiler|$level -fsanitize=address -fno-omit-frame-pointer"
        add "$mark|x86_64|$compiler|$level -fsanitize=thread"
        add "|x86_64|$compiler|$level -fsanitize=undefined -fno-sanitize-recover=all"
        add "|x86_64|$compiler|$level -fstack-clash-protection -fstack-protector-all"
        add "|x86_64|$compiler|$level -fcf-protection=full"
        add "|x86_64|$compiler|$level -fno-pic -no-pie"
    done
    add "*|x86_64|$compiler|-O2 -fcf-protection=full -fstack-clash-protection -fPIC"
    add "|x86_64|$compiler|-O2 -fcf-protection=none"
    add "|x86_64|$compiler|-O3 -fPIE -pie"
    add "|x86_64|$compiler|-O2 -mno-red-zone"
    add "|x86_64|$compiler|-O3 -mavx2"
    add "|x86_64|$compiler|-O3 -mavx512f -mavx512vl"
    add "|x86_64|$compiler|-O2 -g -finstrument-functions"
done
add "*|x86_64|clang|-O2 -fsanitize=memory"
add "|x86_64|clang|-O0 -fsanitize=memory"
for compiler in gcc clang; do
    for level in -O0 -O1 -O2 -O3; do
        mark=
        [[ $level != -O[02] ]] || mark="*"
        add "$mark|aarch64|$compiler|$level -fomit-frame-pointer"
        add "|aarch64|$compiler|$level -fno-omit-frame-pointer"
    done
    add "|aarch64|$compiler|-Os"
    add "*|aarch64|$compiler|-O2 -mbranch-protection=standard -fstack-clash-protection"
    add "|aarch64|$compiler|-O2 -fPIE"
done
for compiler in gcc clang; do
    add "*|ucontext|$compiler|-O2"
    add "|ucontext|$compiler|-O0 -fsanitize=address"
done

# --- building and running one ---------------------------------------------------------------------

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

qemu=
find_qemu() { # Debian 13's qemu-user is static, and its name has no suffix
    qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) ||
        die "qemu-aarch64-static is not installed: apt-get install qemu-user-static"
}

# The parts of the processor that the flags need: without them the variant is built and not run.
can_run() {
    case $1 in
        *-mavx512*) grep -qw avx512vl /proc/cpuinfo ;;
        *-mavx2*) grep -qw avx2 /proc/cpuinfo ;;
    esac
}

command_of() { # TARGET COMPILER
    case $1-$2 in
        aarch64-gcc) command=(aarch64-linux-gnu-gcc -static) ;;
        aarch64-clang) command=(clang --target=aarch64-linux-gnu -static) ;;
        ucontext-*) command=("$2" -DTUG_SWITCH_UCONTEXT) ;;
        *) command=("$2") ;;
    esac
}

run_one() { # NUMBER TARGET COMPILER FLAGS
    local program="$work/$1" target=$2 compiler=$3 flags=$4
    local -a command extra=() runner=()
    command_of "$target" "$compiler"
    [[ $compiler-$flags != clang-*-flto* ]] || extra=(-fuse-ld=lld)
    [[ $target != aarch64 ]] || runner=("$qemu")
    # Else the kernel may place a program where ThreadSanitizer's shadow is.
    if [[ $flags == *=thread* ]] && setarch -R true 2>/dev/null; then
        runner=(setarch -R)
    fi
    # shellcheck disable=SC2086 # the flags are words
    if ! "${command[@]}" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror $flags "${extra[@]}" \
        -I"$root/core/src" -I"$root/core/include" -I"$here" "$here/switch_check.c" \
        "$here/switch_ring.c" "$here/instrument.c" "$root/core/src/task/switch.c" -lm \
        -o "$program" >"$program.log" 2>&1; then
        echo "does not build" >>"$program.log"
        return 1
    fi
    can_run "$flags" || return 0
    timeout 60 "${runner[@]}" "$program" >>"$program.log" 2>&1 &&
        grep -qx "switch_check: passed" "$program.log"
}

# --- all of them ----------------------------------------------------------------------------------

wanted() { # MARK NAME
    local name
    [[ $full == yes || $1 == "*" || ${#names[@]} != 0 ]] || return 1
    ((${#names[@]} > 0)) || return 0
    for name in "${names[@]}"; do
        [[ $2 != *"$name"* ]] || return 0
    done
    return 1
}

if [[ $list == no ]]; then
    need gcc build-essential
    need clang clang
    need ld.lld lld
    need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
    need setarch util-linux
    find_qemu
    [[ $(uname -m) == x86_64 ]] || die "the variants are those of an x86-64 machine"
fi
total=0
failed=0
for i in "${!variants[@]}"; do
    IFS='|' read -r mark target compiler flags <<<"${variants[i]}"
    name="$target $compiler $flags"
    wanted "$mark" "$name" || continue
    total=$((total + 1))
    if [[ $list == yes ]]; then
        printf '%s\n' "$name"
    elif ! run_one "$i" "$target" "$compiler" "$flags"; then
        failed=$((failed + 1))
        printf 'FAILED: %s\n' "$name"
        sed 's/^/    /' "$work/$i.log" | tail -n 6
    fi
done
[[ $list == yes ]] || printf 'switch.sh: %d of %d variants passed\n' $((total - failed)) "$total"
((failed == 0 && total > 0))
