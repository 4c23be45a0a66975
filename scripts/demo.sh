#!/bin/bash
# demo.sh: from a clone to the main job on real input, in one command.
#
#   demo.sh [--no-install] [--input FILE]
#
# Installs the packages that are missing, builds Release into build/release, starts throw-away
# servers (scripts/services.sh), loads this machine's Debian package index through RabbitMQ and
# Redis into PostgreSQL (examples/etl_packages), prints its summary and stops the servers.
# --no-install refuses where a package is missing; --input FILE loads another index ("-" is
# standard input). The exit status is the worker's.
#
# Packages are installed, and their lists updated, as root or by sudo; nothing else is.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# A Debian release has over 60,000 packages; fewer stanzas mean that apt's lists are not here.
stanzas_min=10000
worker=$root/build/release/examples/etl_packages

install=yes
input=
inside=no
while (($# > 0)); do
    case $1 in
        --no-install) install=no ;;
        --input)
            (($# > 1)) || die "--input needs a file"
            input=$2
            shift
            ;;
        --input=*) input=${1#*=} ;;
        --with-servers) inside=yes ;; # what services.sh runs: see below
        -h | --help)
            sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) die "unknown option \"$1\": demo.sh [--no-install] [--input FILE]" ;;
    esac
    shift
done

if [[ $inside == yes ]]; then
    if [[ -z $input ]]; then
        # services.sh gives its command a temporary directory that goes with the servers.
        input=$TMPDIR/packages
        apt-cache dumpavail >"$input"
    fi
    exec "$worker" --input "$input"
fi

if [[ -n $input && $input != - ]]; then
    [[ -r $input && ! -d $input ]] || die "the input $input cannot be read"
fi

need_packages "$install" build servers
# Tests are off: what only they need is not installed here. test.sh turns them on again.
configure release Release -DTUG_BUILD_TESTS=OFF || die "cmake could not configure build/release: see above"
build release || die "build/release does not build: see above"
[[ -x $worker ]] || die "$worker was not built"

if [[ -z $input ]]; then
    stanzas=$(apt-cache dumpavail | grep -c '^Package:') || true
    if ((stanzas < stanzas_min)); then
        [[ $install == yes ]] || die "the package index has only $stanzas stanzas, and" \
            "--no-install was given: run apt-get update, or give --input FILE"
        can_be_root || die "the package index has only $stanzas stanzas, and without root or" \
            "sudo it cannot be updated: give --input FILE"
        say "the package index has only $stanzas stanzas: updating it"
        apt_get update || die "apt-get update failed: see its messages above"
    fi
fi

# This script once more, with the URLs in its environment.
exec "$root/scripts/services.sh" run -- "$root/scripts/demo.sh" --with-servers --input "$input"
