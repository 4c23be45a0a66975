#!/bin/bash
# macros.sh: each public macro is used by the programs in tests/headers, which are compiled as C11 and as
# C++17.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

failed=0
while read -r macro; do
    if ! grep -qwE "$macro" tests/headers/*.inc; then
        echo "tests/headers: the public macro $macro is not used there" >&2
        failed=1
    fi
done < <(grep -hoE '^ *# *define TUG_[A-Z0-9_]+' include/tug/*.h core/include/tug/*.h core/include/tug/sys/*.h \
    pool/include/tug/*.h drivers/*/include/tug/*.h | awk '{ print $NF }' | grep -vE '_H$|^TUG__' | sort -u)
exit "$failed"
