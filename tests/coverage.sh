#!/bin/bash
# coverage.sh - how much of the library the tests run: lines, and branches taken.
# usage: tests/coverage.sh OBJECTS    (where a build with --coverage has run)
#
# Ends with 1 if the branches of lib/log, lib/meta and lib/engine that were taken
# are fewer than COVERAGE_MIN percent. With COVERAGE_SHOW=1 it lists the lines that
# were not run.
set -euo pipefail
objects=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(mktemp -d "${TMPDIR:-/tmp}/coverage.XXXXXX")
trap 'rm -rf "$out"' EXIT
cd "$out"
ln -s "$root/lib" "$root/include" .

for notes in "$objects"/lib/*/*.gcno; do
    gcov -b -p "${notes%.gcno}.o" >/dev/null 2>&1 || true
done
printf '%-24s %8s %8s %10s %8s\n' file lines run branches taken
for file in *.gcov; do
    name=$(echo "${file%.gcov}" | sed 's|#|/|g; s|^.*lib/|lib/|')
    case $name in lib/*.c) ;; *) continue ;; esac
    awk -v name="$name" -v show="${COVERAGE_SHOW:-}" '
        /^ *[0-9]+\*?: *[0-9]+:/ { lines++; run++ }
        /^ *#####: *[0-9]+:/ { lines++; if (show) print "    " name ": " $0 > "/dev/stderr" }
        /^branch/ { branches++; if ($0 !~ /never executed/ && $0 !~ /taken 0%/) taken++ }
        END {
            if (lines)
                printf "%-24s %8d %7.1f%% %10d %7.1f%%\n", name, lines, 100 * run / lines,
                    branches, branches ? 100 * taken / branches : 100
        }' "$file"
done | sort | tee table
awk -v least="${COVERAGE_MIN:-0}" '
    $1 ~ /^lib\/(log|meta|engine)\// {
        lines += $2; run += $2 * $3 / 100; branches += $4; taken += $4 * $5 / 100
    }
    END {
        printf "lib/log, lib/meta, lib/engine: %.1f%% of %d lines, %.1f%% of %d branches\n",
            100 * run / lines, lines, 100 * taken / branches, branches
        exit 100 * taken / branches < least
    }' table
