#!/bin/bash
# test.sh: the whole test suite against real servers.
#
#   test.sh [--full] [--no-install] [--only NAME] [-- CTEST-ARGUMENT...]
#
# Installs the packages that are missing, builds build/debug (Debug, with AddressSanitizer and
# UndefinedBehaviorSanitizer) and build/release (Release), and runs ctest in both against one
# set of throw-away servers (scripts/services.sh). Integration tests are never skipped here.
# Before them, unit tests of the runtime: build/tsan with ThreadSanitizer, build/valgrind under
# Valgrind. Both are slow, so without --full they take the files that lists below name.
# A configuration that fails does not keep the other one from running, but the exit status is
# then not 0. Standard output is ctest's, and ends with its summary.
#
#   --full         also the long tests: TUG_TEST_FULL=1 for the tests and for cmake
#   --no-install   refuses where a package is missing
#   --only         one of the configurations: debug, release, tsan, valgrind
#   --             what follows goes to ctest, e.g. -R redis
#
# Packages are installed as root or by sudo; nothing else is.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install=yes
full=no
configurations=(tsan valgrind debug release)
# What the two slow ones run, of tests/unit: what switches stacks, and what has threads.
tsan_units="task switch scope group future timer stack end sync queue offload resolve stream process log"
valgrind_units="task switch scope group stack"
inside=no
built=
while (($# > 0)); do
    case $1 in
        --full) full=yes ;;
        --no-install) install=no ;;
        --only)
            [[ " ${configurations[*]} " == *" ${2:-none} "* ]] ||
                die "--only needs one of: ${configurations[*]}"
            configurations=("$2")
            shift
            ;;
        --with-servers) # what services.sh runs: see below
            inside=yes
            built=$2
            shift
            ;;
        -h | --help)
            sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        --)
            shift
            break
            ;;
        *) die "unknown option \"$1\": test.sh [--full] [--no-install] [--only NAME] [-- ...]" ;;
    esac
    shift
done

# is_slow NAME: it builds and runs only what units_of says.
is_slow() { [[ $1 == tsan || $1 == valgrind ]]; }

units_of() {
    if [[ $full == yes ]]; then
        sed -nE 's/^tug_test\(unit ([a-z0-9_]+).*/\1/p' "$root/tests/unit/tests.cmake"
    elif [[ $1 == tsan ]]; then
        tr ' ' '\n' <<<"$tsan_units"
    else
        tr ' ' '\n' <<<"$valgrind_units"
    fi
}

build_what_runs() {
    local -a targets
    is_slow "$1" || {
        build "$1"
        return
    }
    mapfile -t targets < <(units_of "$1" | sed 's/^/unit-/')
    cmake --build "$root/build/$1" --parallel "${TUG_JOBS:-$(nproc)}" --target "${targets[@]}" >&2
}

# Seconds a test may take, unless CMake's TIMEOUT property says otherwise.
timeout=120
[[ $full == no ]] || timeout=900

# Leaks are the harness's to find: it counts. What is lost for good is an error all the same.
valgrind="valgrind;--quiet;--error-exitcode=86;--leak-check=full;--errors-for-leak-kinds=definite"
valgrind+=";--show-leak-kinds=definite"
# Where the kernel places programs as it likes, it may place one where ThreadSanitizer's shadow is.
fixed=
! setarch -R true 2>/dev/null || fixed="setarch;-R"

if [[ $inside == no ]]; then
    need_packages "$install" build test servers
    full_option=-DTUG_TEST_FULL=OFF
    if [[ $full == yes ]]; then
        full_option=-DTUG_TEST_FULL=ON
        export TUG_TEST_FULL=1
    fi
    for name in "${configurations[@]}"; do
        case $name in
            debug) options=(Debug '-DTUG_SANITIZE=address,undefined') ;;
            release) options=(Release) ;;
            tsan) options=(Debug -DTUG_SANITIZE=thread "-DTUG_TEST_LAUNCHER=$fixed") ;;
            valgrind) options=(Debug "-DTUG_TEST_LAUNCHER=$valgrind") ;;
        esac
        ! is_slow "$name" || options+=(-DTUG_BUILD_BENCH=OFF -DTUG_BUILD_EXAMPLES=OFF)
        if configure "$name" "${options[@]}" -DTUG_BUILD_TESTS=ON "$full_option" &&
            build_what_runs "$name"; then
            built+=" $name"
        else
            say "error: build/$name could not be built: see above"
        fi
    done
    [[ -n $built ]] || die "nothing to test"
    again=(--with-servers "$built")
    [[ $full == no ]] || again+=(--full)
    ((${#configurations[@]} > 1)) || again+=(--only "${configurations[0]}")
    # This script once more, with the URLs in its environment.
    exec "$root/scripts/services.sh" run -- "$root/scripts/test.sh" "${again[@]}" -- "$@"
fi

# 86 is an exit status of no test and no program, so that a sanitizer's report cannot pass for
# an error that a test expects (1), nor for an abort that it provokes.
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0:exitcode=86"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:abort_on_error=0:exitcode=86"
export TSAN_OPTIONS="halt_on_error=1:abort_on_error=0:exitcode=86:second_deadlock_stack=1"

logs=$(mktemp -d)
trap 'rm -rf -- "$logs"' EXIT
failed=()
last=
for name in "${configurations[@]}"; do
    if [[ " $built " != *" $name "* ]]; then
        failed+=("$name")
        continue
    fi
    say "ctest in build/$name"
    began=$SECONDS
    last=$name
    only=()
    none=error
    if is_slow "$name"; then
        only=(-L "^unit_($(units_of "$name" | paste -sd'|'))\$")
        # What is asked for by name may be none of these.
        (($# == 0)) || none=ignore
    fi
    ctest --test-dir "$root/build/$name" --output-on-failure --no-tests="$none" \
        --timeout "$timeout" -j2 "${only[@]}" "$@" </dev/null | tee "$logs/$name" || failed+=("$name")
    say "build/$name took $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
done

((${#failed[@]} > 0)) || exit 0
say "failed: ${failed[*]}"
# The last summary must not be that of the configuration that passed.
for name in "${failed[@]}"; do
    if [[ $name != "$last" && -s $logs/$name && " ${failed[*]} " != *" $last "* ]]; then
        printf '\nThe summary of build/%s, which failed:\n' "$name"
        sed -n '/% tests passed/,$p' "$logs/$name"
    fi
done
exit 1
