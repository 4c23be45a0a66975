# shellcheck shell=bash
# Functions that tug's scripts share. To be sourced, by bash with set -euo pipefail.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$(basename "$0" .sh)

# A caller may have closed standard input; a later open() would then become descriptor 0 and
# be read by whatever expects to find no input there.
[[ -e /proc/self/fd/0 ]] || exec </dev/null

# Messages go to standard error: standard output belongs to the program that is run.
say() { printf '%s: %s\n' "$program" "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# as_root COMMAND...: only the package manager is ever run this way.
as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

can_be_root() { ((EUID == 0)) || command -v sudo >/dev/null; }

apt_get() {
    # The lock's timeout: on a machine that has just booted, apt's daily job often holds it.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" \
        </dev/null >&2
}

# packages_of GROUP...: the names of this release, one a line.
packages_of() {
    local column=3 release
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && printf '%s' "${ID:-}${VERSION_ID:-}")
    [[ $release != debian12 ]] || column=2
    awk -v groups=" $* " -v column="$column" '
        { sub(/#.*/, "") }
        NF == 0 { next }
        NF != 3 { printf "line %d: three columns expected\n", FNR >"/dev/stderr"; exit 1 }
        index(groups, " " $1 " ") {
            name = (column == 3 && $3 != "=") ? $3 : $2
            if (name != "-") print name
        }' "$root/scripts/packages.txt" || die "scripts/packages.txt cannot be read"
}

# missing_packages GROUP...: those of them that are not installed, one a line.
missing_packages() {
    local name names status
    names=$(packages_of "$@") || exit 1
    for name in $names; do
        # shellcheck disable=SC2016 # the dollar is dpkg-query's
        status=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) || status=
        [[ $status == installed ]] || printf '%s\n' "$name"
    done
}

# need_packages INSTALL GROUP...: installs what is missing; with INSTALL=no refuses instead.
need_packages() {
    local install=$1 list
    local -a missing
    shift
    command -v dpkg-query >/dev/null || die "dpkg-query is not here: the packages are Debian's"
    list=$(missing_packages "$@") || exit 1
    [[ -n $list ]] || return 0
    mapfile -t missing <<<"$list"
    [[ $install == yes ]] ||
        die "these packages are missing and --no-install was given: ${missing[*]}"
    can_be_root || die "these packages are missing, and without root or sudo they cannot be" \
        "installed: ${missing[*]}"

    say "installing ${#missing[@]} missing packages: ${missing[*]}"
    if grep -qxE 'postgresql|pgbouncer|redis-server|rabbitmq-server' <<<"$list"; then
        say "the distribution may start its own daemons now; they are neither used nor stopped"
    fi
    # The lists may be empty (a fresh container) or name versions that the mirror has dropped:
    # then once more after an update.
    apt_get install -y --no-install-recommends "${missing[@]}" || {
        say "not all of them were found; reading the package lists anew"
        apt_get update || die "apt-get update failed: see its messages above"
        apt_get install -y --no-install-recommends "${missing[@]}" ||
            die "apt-get install failed for: ${missing[*]}"
    }
}

# configure NAME TYPE [CMAKE-ARGUMENT...]: configures build/NAME; build NAME builds it.
configure() {
    local dir="$root/build/$1" type=$2
    local -a generator=()
    shift 2
    # An existing build tree keeps its generator, and cmake refuses another one.
    if [[ ! -e $dir/CMakeCache.txt ]] && command -v ninja >/dev/null; then
        generator=(-G Ninja)
    fi
    cmake -S "$root" -B "$dir" "${generator[@]}" -DCMAKE_BUILD_TYPE="$type" \
        -DCMAKE_EXPORT_COMPILE_COMMANDS=ON "$@" >&2
}

build() { cmake --build "$root/build/$1" --parallel "${TUG_JOBS:-$(nproc)}" >&2; }
