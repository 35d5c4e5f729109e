#!/bin/bash
# compare.sh - instructions per record of the hot paths, against those of the baseline.
# usage: bench/instructions/compare.sh PROGRAM [update]
#
# Fails if a path takes TOLERANCE per cent more than baseline.txt says. The counts are of
# rill's own code, the same in every run on any processor of that kind; but not with
# another compiler, so with another one than the baseline's nothing is compared.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1")
baseline=$here/baseline.txt
tolerance=${TOLERANCE:-2}
built_by="${CC:-gcc} $("${CC:-gcc}" -dumpversion | cut -d. -f1) $(uname -m)"

if ! command -v valgrind >/dev/null; then
    echo "bench-callgrind: skipped: there is no valgrind"
    exit 0
fi
was_by=$(sed -n 's/^# built by: //p' "$baseline" 2>/dev/null || true)
if [ "${2:-}" != update ] && [ "$was_by" != "$built_by" ]; then
    echo "bench-callgrind: skipped: built by $built_by, the baseline by ${was_by:-nobody}"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

count() { # workload -> instructions per record
    local times
    times=$(valgrind -q --tool=callgrind --toggle-collect=run_measured \
        --callgrind-out-file="$work/out" "$program" "$work/$1" "$1")
    awk -v object="$program" -f "$here/self.awk" "$work/out" |
        awk -v times="$times" '{ printf "%.1f\n", $1 / times }'
    rm -rf "${work:?}/$1"
}

if [ "${2:-}" = update ]; then
    {
        echo "# Instructions per record; make bench-callgrind compares, with UPDATE=1 it writes."
        echo "# built by: $built_by"
        for workload in append-1 append-100 send poll lookup; do
            printf '%s\t%s\n' $workload "$(count $workload)"
        done
    } >"$work/baseline"
    cp "$work/baseline" "$baseline"
    cat "$baseline"
    exit 0
fi

failed=0
while IFS=$'\t' read -r workload was; do
    [[ $workload != \#* ]] || continue
    now=$(count "$workload")
    verdict=$(awk -v now="$now" -v was="$was" -v most="$tolerance" 'BEGIN {
        change = (now - was) / was * 100
        word = "same"
        if (change > most) word = "WORSE"
        if (change < -most) word = "better: take it into the baseline"
        printf "%+.1f%%\t%s", change, word }')
    printf '%s\t%s\tnow %s\t%s\n' "$workload" "$was" "$now" "$verdict"
    [[ $verdict != *WORSE ]] || failed=1
done <"$baseline"
[ $failed = 0 ] || echo "bench-callgrind: more than $tolerance % worse than bench/instructions/baseline.txt" >&2
exit $failed
