#!/bin/bash
# options.sh: tables of options in the docs, made from the headers, so that they cannot differ.
#
#   options.sh --write PAGE...   writes them anew
#   options.sh --check PAGE...   says which differ; exit status 1 if one does
#   options.sh HEADER STRUCT     prints one
#
# In a page a table stands between two comments, of which the first names header and struct:
#
#   <!-- options: drivers/pg/include/tug/pg.h tug_pg_options -->
#   <!-- end of options -->
#
# The meaning of an option is the comment above it or behind it; its default is what the struct's
# STRUCT_INIT macro has in its place.
set -euo pipefail

die() {
    printf 'options.sh: %s\n' "$1" >&2
    exit 2
}

# table HEADER STRUCT
table() {
    [[ -r $1 ]] || die "no header $1"
    awk -v struct="$2" '
        function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); gsub(/[ \t]+/, " ", s); return s }
        # The members of { a, f(b, c), d }: commas within parentheses do not count.
        function split_defaults(s,    i, c, depth, n, part) {
            n = 0; part = ""; depth = 0
            for (i = 1; i <= length(s); i++) {
                c = substr(s, i, 1)
                if (c == "(") depth++
                if (c == ")") depth--
                if (c == "," && depth == 0) { defaults[++n] = trim(part); part = "" }
                else part = part c
            }
            defaults[++n] = trim(part)
            return n
        }
        $0 ~ "^typedef struct " struct " \\{" { inside = 1; next }
        inside && $0 ~ "^\\} " struct ";" { inside = 0; next }
        inside {
            line = $0
            if (!in_comment && line ~ /^[ \t]*\/\*/) { text = ""; in_comment = 1; sub(/^[ \t]*\/\*/, "", line) }
            if (in_comment) {
                ends = line ~ /\*\//
                sub(/\*\/.*/, "", line); sub(/^[ \t]*\*[ \t]?/, "", line)
                text = trim(text " " line)
                if (ends) { in_comment = 0; if (is_behind) { meaning[n] = text; text = ""; is_behind = 0 } }
                next
            }
            if (line ~ /;/) {
                behind = ""
                if (line ~ /\/\*/) {
                    behind = line; sub(/.*\/\*/, "", behind); open = behind !~ /\*\//; sub(/\*\/.*/, "", behind)
                }
                member = line; sub(/;.*/, "", member); member = trim(member)
                name = member
                if (name ~ /\(\*/) { sub(/.*\(\*/, "", name); sub(/\).*/, "", name) } else { sub(/.*[ *]/, "", name) }
                type = member; sub("[ ]?" name ".*", "", type)
                if (member ~ /\(\*/) type = "function"
                if (name == "size") { skip = 1; text = ""; next }
                names[++n] = name; types[n] = type
                meaning[n] = behind != "" ? trim(behind) : text
                if (behind != "" && open) { in_comment = 1; is_behind = 1; text = meaning[n] } else text = ""
                next
            }
        }
        $0 ~ "^#define " toupper(struct) "_INIT" { in_init = 1 }
        in_init {
            line = $0
            sub(/\\$/, "", line)
            all = all " " line
            if (line ~ /\}/) { in_init = 0 }
        }
        END {
            if (n == 0) exit 3
            sub(/^[^{]*\{/, "", all); sub(/\}.*/, "", all)
            count = split_defaults(all)
            if (count != n + 1) exit 4
            print "| option | type | meaning | default |"
            print "|---|---|---|---|"
            for (i = 1; i <= n; i++) {
                m = meaning[i] == "" ? "as the one above" : meaning[i]
                gsub(/\|/, "\\|", m)
                d = defaults[i + 1]; sub(/^\(size_t\)/, "", d)
                printf "| `%s` | `%s` | %s | `%s` |\n", names[i], types[i], m, d
            }
        }' "$1" || case $? in
        3) die "$1 has no struct $2" ;;
        *) die "$2: its INIT macro has another number of members" ;;
    esac
}

# page FILE: with all its tables made anew.
page() {
    local line header struct skips=no
    while IFS= read -r line || [[ -n $line ]]; do
        if [[ $line == '<!-- end of options -->' ]]; then
            skips=no
        fi
        [[ $skips == yes ]] || printf '%s\n' "$line"
        if [[ $line =~ ^'<!-- options: '([^\ ]+)' '([^\ ]+)' -->'$ ]]; then
            header=${BASH_REMATCH[1]} struct=${BASH_REMATCH[2]} skips=yes
            table "$header" "$struct"
        fi
    done <"$1"
    [[ $skips == no ]] || die "$1: a table does not end"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in
    --write | --check)
        how=$1 status=0
        shift
        for file; do
            new=$(page "$file")
            [[ $new == "$(<"$file")" ]] && continue
            if [[ $how == --write ]]; then
                printf '%s\n' "$new" >"$file"
            else
                printf 'options.sh: %s: a table of options is not what the header says: run options.sh --write %s\n' \
                    "$file" "$file" >&2
                status=1
            fi
        done
        exit "$status"
        ;;
    -h | --help | '')
        sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
        ;;
    *)
        (($# == 2)) || die "usage: options.sh HEADER STRUCT, or --write or --check and pages"
        table "$1" "$2"
        ;;
esac
