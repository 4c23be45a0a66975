#!/bin/bash
# links.sh: what the pages of docs/ link to is there, headings included.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../docs"

# The anchors of a page, as GitHub makes them of its headings.
anchors()
{
    awk '/^```/ { inside = !inside } !inside && /^#/' "$1" |
        sed -E 's/^#+ //; s/[^A-Za-z0-9 _-]//g; s/ /-/g' | tr '[:upper:]' '[:lower:]'
}

failed=0
for page in *.md; do
    while read -r link; do
        file=${link%%#*}
        anchor=${link#"$file"}
        file=${file:-$page}
        if [[ ! -e $file ]]; then
            echo "docs/$page: links to $file, which is not there" >&2
            failed=1
        elif [[ -n $anchor ]] && ! anchors "$file" | grep -qxF -- "${anchor#\#}"; then
            echo "docs/$page: $file has no heading $anchor" >&2
            failed=1
        fi
    done < <(grep -oE '\]\([^):]+\)' "$page" | sed -E 's/^\]\(//; s/\)$//')
done
exit "$failed"
