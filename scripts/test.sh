#!/bin/bash
# test.sh: the whole test suite against real servers.
#
#   test.sh [--full] [--no-install] [--only debug|release] [-- CTEST-ARGUMENT...]
#
# Installs the packages that are missing, builds build/debug (Debug, with AddressSanitizer and
# UndefinedBehaviorSanitizer) and build/release (Release), and runs ctest in both against one
# set of throw-away servers (scripts/services.sh). Integration tests are never skipped here.
# A configuration that fails does not keep the other one from running, but the exit status is
# then not 0. Standard output is ctest's, and ends with its summary.
#
#   --full         also the long tests: TUG_TEST_FULL=1 for the tests and for cmake
#   --no-install   refuses where a package is missing
#   --only         one of the two configurations
#   --             what follows goes to ctest, e.g. -R redis
#
# Packages are installed as root or by sudo; nothing else is.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install=yes
full=no
configurations=(debug release)
inside=no
built=
while (($# > 0)); do
    case $1 in
        --full) full=yes ;;
        --no-install) install=no ;;
        --only)
            [[ ${2:-} == debug || ${2:-} == release ]] || die "--only needs debug or release"
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

# Seconds a test may take, unless CMake's TIMEOUT property says otherwise.
timeout=120
[[ $full == no ]] || timeout=900

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
        esac
        if configure "$name" "${options[@]}" -DTUG_BUILD_TESTS=ON "$full_option" && build "$name"; then
            built+=" $name"
        else
            say "error: build/$name could not be built: see above"
        fi
    done
    [[ -n $built ]] || die "nothing to test"
    again=(--with-servers "$built")
    [[ $full == no ]] || again+=(--full)
    ((${#configurations[@]} == 2)) || again+=(--only "${configurations[0]}")
    # This script once more, with the three URLs in its environment.
    exec "$root/scripts/services.sh" run -- "$root/scripts/test.sh" "${again[@]}" -- "$@"
fi

# 86 is an exit status of no test and no program, so that a sanitizer's report cannot pass for
# an error that a test expects (1), nor for an abort that it provokes.
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0:exitcode=86"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:abort_on_error=0:exitcode=86"

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
    last=$name
    ctest --test-dir "$root/build/$name" --output-on-failure --no-tests=error \
        --timeout "$timeout" -j2 "$@" </dev/null | tee "$logs/$name" || failed+=("$name")
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
