#!/bin/bash
# options_test.sh: no page has a table of options that its header does not have, and options.sh sees it if one has.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "options_test.sh: $1" >&2
    exit 1
}

"$root/scripts/options.sh" --check "$root"/docs/*.md

cat >"$work/header.h" <<'HEADER'
typedef struct some_options {
    size_t size;
    /* Places | kept,
     * two lines. */
    size_t most;
    int (*hook)(void *arg); /* NULL: none */
    tug_duration pause;     /* ns, and
                             * a second line */
} some_options;
#define SOME_OPTIONS_INIT                                                                          \
    {                                                                                              \
        sizeof(some_options), 8, NULL, TUG_MS(5)                                                   \
    }
HEADER
cat >"$work/page.md" <<PAGE
before
<!-- options: $work/header.h some_options -->
<!-- end of options -->
after
PAGE
if "$root/scripts/options.sh" --check "$work/page.md" 2>/dev/null; then
    fail "an empty table was taken for the right one"
fi
"$root/scripts/options.sh" --write "$work/page.md"
"$root/scripts/options.sh" --check "$work/page.md"
diff - "$work/page.md" <<PAGE
before
<!-- options: $work/header.h some_options -->
| option | type | meaning | default |
|---|---|---|---|
| \`most\` | \`size_t\` | Places \| kept, two lines. | \`8\` |
| \`hook\` | \`function\` | NULL: none | \`NULL\` |
| \`pause\` | \`tug_duration\` | ns, and a second line | \`TUG_MS(5)\` |
<!-- end of options -->
after
PAGE
sed -i 's/, 8, NULL/, 8/' "$work/header.h"
if "$root/scripts/options.sh" --check "$work/page.md" 2>/dev/null; then
    fail "a default too few was not seen"
fi
if "$root/scripts/options.sh" "$work/header.h" other_options 2>/dev/null; then
    fail "a struct that is not there was not seen"
fi
