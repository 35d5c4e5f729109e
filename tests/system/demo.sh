#!/bin/bash
# demo.sh - the demo survives its kill: nothing lost, all counts exact.
#
# DEMO names the program; without it, the one in the build directory.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
demo=$(realpath "${DEMO:-${RILL_BUILD:-$root/build}/examples/demo}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-demo-test.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export TMPDIR=$dir

fail() {
    echo "demo.sh: $*" >&2
    cat out >&2
    exit 1
}

# run ARGUMENT...: the demo must succeed, and its table must agree with itself.
run() {
    # shellcheck disable=SC2086
    ${RILL_RUNNER:-} "$demo" "$@" >out 2>&1 || fail "demo $* ends with $?"
    grep -q '^killed with SIGKILL: ' out || fail "nothing was killed"
    grep -q 'no line is missing' out || fail "the last line is missing"
    # Four equal columns, which add up to the lines.
    awk '
        { gsub(",", "") }
        $1 ~ /^[0-9]+$/ || $1 == "-" {
            if (!table || NF != 5) next
            if ($2 != $3 || $2 != $4 || $2 != $5) bad = 1
            sum += $2
        }
        $1 == "status" { table = 1 }
        $1 == "produced" && NF == 5 { lines = $2 }
        END { exit !(table && lines > 0 && sum == lines && !bad) }
    ' out || fail "the table does not add up"
}

run --fresh
awk '{ gsub(",", "") } $1 == "produced" && NF == 5 && $2 == 20000 { found = 1 } END { exit !found }' \
    out || fail "the sample has not 20,000 lines"
[ -z "$(find . -mindepth 1 ! -name out)" ] || fail "it leaves $(find . -mindepth 1 ! -name out)"

# A store that stays, lines without a status, a key of its own per line, no last newline.
{
    seq -f '10.0.0.%g - - [01/Mar/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 17 "-" "-"' 999
    printf '\n\nnot a log line\n10.0.0.1 - - [01/Mar/2026:10:00:01 +0000] "GET / HTTP/1.1" 404 1'
} >input
run store input
grep -q '^404  *1  *1  *1  *1$' out || fail "the last line was not counted"
grep -q '^-  *3  *3  *3  *3$' out || fail "lines without a status were not counted"
[ -e store/STORE ] || fail "the store is gone"

# An earlier run is not overwritten, and an empty file is refused.
if "$demo" store input >out 2>&1; then fail "the second run on one store succeeded"; fi
grep -q 'earlier run' out || fail "the second run does not say why"
: >empty
if "$demo" --fresh empty >out 2>&1; then fail "an empty file was accepted"; fi
