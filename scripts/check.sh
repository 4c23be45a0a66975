#!/bin/bash
# check.sh: what can be said about the source without running it.
#
#   check.sh [NAME...]      all of them, or those named:
#
#   format    clang-format 14 over all C files
#   lint      clang-tidy 14, the checks named in .clang-tidy, over the library, the examples
#             and the benches
#   shell     shellcheck over all shell scripts
#   rules     the include rules (tests/rules/include_rules.sh)
#   compose   docker-compose.yml
#   marks     no unfinished work is marked in the source
#
# Every check runs, also after one that failed. The packages are those of the groups build and
# lint in scripts/packages.txt; this script installs none.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

left_out=77 # the status of a check that cannot be done here

# pinned PROGRAM: whether it is here. Another version would format and warn differently, so
# where Debian does not carry this one the check is left out, in one line.
pinned() {
    command -v "$1" >/dev/null && return 0
    [[ $(packages_of lint) != *"$1"* ]] || die "$1 is not installed: apt-get install $1"
    say "$1 is not part of this Debian release: ${check:?} is left out"
    return 1
}

# Root in a checkout of somebody else's is a usual thing in containers.
git() { command git -c safe.directory="$root" "$@"; }

tracked() { git ls-files -z --cached --others --exclude-standard -- "$@"; }

check_format() {
    pinned clang-format-14 || return "$left_out"
    tracked '*.c' '*.h' | xargs -0r clang-format-14 --dry-run --Werror
}

check_lint() {
    pinned clang-tidy-14 || return "$left_out"
    # The commands of the Release build, in which assertions are off: what only they use must
    # be marked there as unused, and warnings must not be gcc's to interpret.
    if [[ ! -e build/release/compile_commands.json ]]; then
        configure release Release -DTUG_BUILD_TESTS=ON
    fi
    tracked 'core/*.c' 'drivers/*.c' 'pool/*.c' 'examples/*.c' 'bench/*.c' |
        xargs -0r -n 4 -P 2 clang-tidy-14 -p build/release --quiet \
            --extra-arg=-Wno-unknown-warning-option 2>&1 |
        # It also counts the warnings that it does not show.
        { grep -vE '^[0-9]+ warnings?( and [0-9]+ errors?)? generated\.$|^Suppressed |^Use -header' ||
            true; }
}

check_shell() {
    local file
    local -a files=()
    while IFS= read -r -d '' file; do
        [[ -f $file ]] || continue
        if [[ $file == *.sh ]] || head -n 1 "$file" | grep -qE '^#!.*\b(ba|da)?sh\b'; then
            files+=("$file")
        fi
    done < <(tracked)
    shellcheck -x "${files[@]}"
}

check_rules() {
    tests/rules/include_rules.sh --self-test && tests/rules/include_rules.sh
}

check_compose() { docker-compose -f docker-compose.yml config -q; }

check_marks() {
    # Brackets, so that this line does not find itself.
    if git grep -nwE 'T[O]DO|FIX[M]E|X[X]X' -- . ':!*.md'; then
        say "unfinished work is not marked in the source but written down where it is planned"
        return 1
    fi
}

checks=("$@")
((${#checks[@]} > 0)) || checks=(format lint shell rules compose marks)
failed=()
for check in "${checks[@]}"; do
    declare -F "check_$check" >/dev/null || die "there is no check \"$check\""
    # A process of its own: errexit would be off inside a function that is tested by "if".
    start=$SECONDS
    set +e
    (set -e && "check_$check" </dev/null >&2)
    status=$?
    set -e
    if ((status == 0)); then
        say "$check: passed ($((SECONDS - start)) s)"
    elif ((status != left_out)); then
        say "error: $check: failed, see above"
        failed+=("$check")
    fi
done
((${#failed[@]} == 0)) || die "failed: ${failed[*]}"
