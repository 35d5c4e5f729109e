#!/bin/bash
# coverage.sh - how much of the library the tests run: lines, and branches taken.
# usage: tests/coverage.sh OBJECTS    (where a build with --coverage has run)
#
# Ends with 1 if the branches of lib/log, lib/meta and lib/engine that were taken
# are fewer than COVERAGE_MIN percent (95), or if tests/uncovered.txt names a place
# that is not there or was taken. The share is of all branches, named there or not.
# With COVERAGE_SHOW=1 it shows each line with a branch that was not taken.
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
    # Branches come behind the line that they are of.
    awk -v name="$name" '
        /^ *([0-9]+\*?|#####|-): *[0-9]+:/ {
            split($0, part, ":")
            if ($1 !~ /^-/) lines++
            if ($1 ~ /^[0-9]/) run++
            at = part[2] + 0
            text[at] = substr($0, length(part[1]) + length(part[2]) + 3)
            sub(/^[ \t]+/, "", text[at])
        }
        /^branch/ {
            branches++
            if ($0 !~ /never executed/ && $0 !~ /taken 0%/) taken++
            else missed[at]++
        }
        END {
            if (lines)
                printf "%-24s %8d %7.1f%% %10d %7.1f%% %d %d\n", name, lines,
                    100 * run / lines, branches, branches ? 100 * taken / branches : 100,
                    run, taken
            for (at in missed) print name ":" at ":" missed[at] ":" text[at] >"missed.txt"
            close("missed.txt")
        }' "$file"
    touch missed.txt
    cat missed.txt >>all-missed.txt
    rm missed.txt
done | sort >table
cut -c 1-62 table
sort -t: -k1,1 -k2,2n all-missed.txt | grep -E '^lib/(log|meta|engine)/' >missed.txt || true

rc=0
awk -v least="${COVERAGE_MIN:-95}" '
    $1 ~ /^lib\/(log|meta|engine)\// { lines += $2; branches += $4; run += $6; taken += $7 }
    END {
        printf "lib/log, lib/meta, lib/engine: %.1f%% of %d lines, %.2f%% of %d branches\n",
            100 * run / lines, lines, 100 * taken / branches, branches
        if (100 * taken / branches >= least) exit 0
        printf "fewer than %s%% of the branches were taken\n", least
        exit 1
    }' table || rc=1

# A place: "FILE: TEXT", where TEXT is a part of the line; "TEXT | TEXT" are lines
# that follow each other, but for empty ones, and the last has the branch. "? "
# before it: taken now and then. A reason: indented lines behind its places.
awk -v show="${COVERAGE_SHOW:-}" '
    function complain(what) { print "tests/uncovered.txt: " what; bad = 1 }
    function read_source(file,   n, line, number) {
        if (file in line_count) return
        for (n = 0; (getline line < file) > 0;) {
            number++
            if (line ~ /^[ \t]*$/) continue
            source[file, ++n] = line
            number_of[file, n] = number
        }
        close(file)
        line_count[file] = n
    }
    function matches(file, at, part, n,   i) {
        for (i = 1; i <= n; i++)
            if (index(source[file, at - n + i], part[i]) == 0) return 0
        return 1
    }
    function look_for(place,   file, part, n, at, found, seldom) {
        seldom = sub(/^\? /, "", place)
        file = substr(place, 1, index(place, ": ") - 1)
        n = split(substr(place, length(file) + 3), part, / \| /)
        read_source(file)
        for (at = n; at <= line_count[file]; at++) {
            if (!matches(file, at, part, n)) continue
            if (found) { complain("more than one place is: " place); return }
            found = number_of[file, at]
        }
        if (!found) complain("there is no such place: " place)
        else if ((file, found) in missed) listed[file, found] = 1
        else if (!seldom) complain("is taken: " place)
    }
    FNR == NR {
        split($0, field, ":")
        missed[field[1], field[2]] = field[3]
        all += field[3]
        order[++places] = $0
        next
    }
    /^#/ || /^$/ { next }
    /^ / { open_places = 0; next }
    { look_for($0); open_places = 1; last = $0 }
    END {
        if (open_places) complain("without a reason: " last)
        for (i = 1; i <= places; i++) {
            split(order[i], field, ":")
            if ((field[1], field[2]) in listed) known += field[3]
            if (!show) continue
            text = order[i]
            sub(/^[^:]*:[^:]*:[^:]*:/, "", text)
            printf "%s:%d: %s    (%d%s)\n", field[1], field[2], text, field[3],
                (field[1], field[2]) in listed ? ", listed" : ""
        }
        printf "%d branches not taken, %d of them not in tests/uncovered.txt\n", all, all - known
        exit bad
    }' missed.txt "$root/tests/uncovered.txt" || rc=1
exit $rc
