#!/bin/bash
# bench.sh - the benchmark prints what its report can read, and leaves nothing behind; the
# report says of each goal whether it is reached.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bench=$(realpath "${RILL_BUILD:-$root/build}/bench/bench")
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-bench-test.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export BENCH_QUICK=1 BENCH_PEERS=0 PYTHONDONTWRITEBYTECODE=1
fail() { echo "bench.sh: $*" >&2; exit 1; }

mkdir run
BENCH_ROUNDS=3 "$bench" run together handoff commit >out || fail "the benchmark ends with $?"
[ -z "$(ls run)" ] || fail "it leaves $(ls run)"
grep -q '^# rill: .' out || fail "the settings are missing"
grep -q '^# skipped: LMDB: not asked for$' out || fail "who is left out is not said"
awk -F '\t' '
    /^# histogram/ { histograms += NF == 5 && $5 ~ /^([0-9]+:[0-9]+ )+$/; next }
    /^#/ { next }
    { lines++ }
    NF != 7 || !($6 + 0 <= $3 + 0 && $3 + 0 <= $7 + 0) { bad = 1 }
    $5 !~ /^(no|background|each)$/ { bad = 1 }
    END { exit bad || lines < 20 || histograms < 5 }' out || fail "the lines are not as promised"

if "$bench" run nonsense 2>err; then fail "a family that is none was accepted"; fi
grep -q '^families: append ' err || fail "it does not say which families there are"

# Interrupted, it cleans up, too.
"$bench" run handoff >/dev/null &
until [ -n "$(ls run)" ]; do sleep 0.01; done
kill $!
if wait $!; then fail "what was interrupted succeeds"; fi
[ -z "$(ls run)" ] || fail "interrupted, it leaves $(ls run)"

command -v python3 >/dev/null || { echo 'python3 is not installed: no report'; exit 77; }
"$root/bench/report.py" out report >/dev/null
for svg in report/*.svg; do
    python3 -c 'import sys, xml.dom.minidom as xml; xml.parse(sys.argv[1])' "$svg"
    grep -qF "($(basename "$svg"))" report/report.md || fail "$svg is not shown"
done
grep -q 'not measured' report/report.md || fail "goals that were not measured are not said to be"

# goal FIGURE: the verdict on the first goal, of 0.80 L, when L is 100.
goal() {
    printf '%s\t%s\t%s\trecords/s\tno\t1\t9\n' 'append 100 B' 'memcpy+XXH3, hot file' 100 \
        'append 100 B, batches of 100, prepared segments' rill "$1" >figures
    "$root/bench/report.py" figures report >/dev/null
    grep -F '| 100 B, batches of 100, prepared segments |' report/report.md
}
[[ $(goal 80) == *'| 0.8 | yes |' ]] || fail "a goal that is reached: $(goal 80)"
[[ $(goal 79) == *'| 0.79 | **no** |' ]] || fail "a goal that is not: $(goal 79)"

if "$root/bench/report.py" /dev/stdin report <<<'not a figure' 2>err; then fail "read nonsense"; fi
grep -q '^line 1 is no figure' err || fail "nonsense is not named"
