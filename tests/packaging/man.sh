#!/bin/bash
# man.sh - every public function, and every command of rill, has its place in the manual.
set -euo pipefail
cd "$(dirname "$0")/../.."
pages=${RILL_BUILD:-build}/man
tool=$(realpath "${RILL_BUILD:-build}/examples/rill")

fail() {
    echo "man: $*" >&2
    exit 1
}
make -s lib man CC="${CC:-gcc}"

# The compiler, not the script that is tested, knows which functions there are.
functions=$(nm -g --defined-only "${RILL_BUILD:-build}/librill.so" | awk '$3 ~ /^rill_/ { print $3 }')
[ "$(wc -w <<<"$functions")" -gt 60 ] || fail "few functions: $functions"
for name in $functions; do
    page=$pages/$name.3
    [ -s "$page" ] || fail "there is no $name(3)"
    grep -A1 '^\.SH NAME' "$page" | grep -Eq "^$name .*- .{8,}" || fail "$name(3) does not say what it does"
    grep -q "$name(" "$page" || fail "$name(3) has no prototype"
    grep -q "^\.BR $name (3)" "$pages/rill.7" || fail "rill(7) does not list $name"
done
for page in "$pages"/*.3; do
    name=$(basename "$page" .3)
    grep -qx "$name" <<<"$functions" || fail "$name(3) is about nothing"
done
for error in $(grep -o 'X(RILL_ERR_[A-Z_]*' include/rill.h | cut -c3-); do
    grep -q "^\.BR $error " "$pages/rill.7" || fail "rill(7) does not list $error"
done

plain=$(sed 's/\\-/-/g; s/\\f.//g' "$pages/rill.1")
"$tool" help | sed -n '/^commands:/,/^$/s/^  \([a-z][a-z ]*[a-z-]*\)   *[^ ].*/\1/p' | while read -r command; do
    grep -q "^\.SS rill $command" <<<"$plain" || fail "rill(1) does not describe rill $command"
    for option in $("$tool" $command --help | grep -o '^  ...[ ,] --[a-z-]*' | grep -o -- '--.*'); do
        grep -q -- "$option" <<<"$plain" || fail "rill(1) does not describe $option of rill $command"
    done
done

command -v groff >/dev/null || { echo "groff is not installed: not rendered"; exit 77; }
for page in "$pages"/*.[137]; do
    said=$(groff -man -ww -rLL=78n -Tutf8 -z "$page" 2>&1)
    [ -z "$said" ] || fail "$page: $said"
done
