#!/bin/bash
# run.sh - runs tests one after another and counts.
# usage: tests/run.sh TEST...    a path, or script:argument
#
# A test exits 0, 77 for "skipped", or anything else for "failed"; only a failed
# one's output is shown. Each gets an empty TMPDIR of its own under the build
# directory (a real file system, unlike many a /tmp), removed when it ends.
# TEST_TIMEOUT is in seconds. RILL_RUNNER goes before compiled tests.
set -uo pipefail
build=${RILL_BUILD:?}
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-second_deadlock_stack=1}"

mkdir -p "$build/tests"
tmp=$(mktemp -d "$build/tests/tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0
failures=()

# shellcheck disable=SC2206 # the runner is a command with arguments
for test in "$@"; do
    case $test in
        *.sh:*) name="${test#*:} (example)" command=("${test%%:*}" "${test#*:}") ;;
        *.sh) name=$test command=("$test") ;;
        *) name=${test#*build/} name=tests/${name#*tests/} command=(${RILL_RUNNER:-} "$test") ;;
    esac
    [[ ${command[0]} == */* || -z ${RILL_RUNNER:-} ]] || command -v "${command[0]}" >/dev/null ||
        { echo "run: ${command[0]} is not installed" >&2; exit 1; }
    log=$tmp/log
    mkdir "$tmp/dir"
    start=$(date +%s.%N)
    TMPDIR=$tmp/dir timeout -k 10 "${TEST_TIMEOUT:-300}" "${command[@]}" >"$log" 2>&1 </dev/null
    rc=$?
    took=$(date +%s.%N | awk -v start="$start" '{ printf "%.1f s", $1 - start }')
    chmod -R u+rwX "$tmp/dir" 2>/dev/null
    rm -rf "$tmp/dir"
    case $rc in
        0) passed=$((passed + 1)); echo "ok    $name  $took" ;;
        77) skipped=$((skipped + 1)); echo "skip  $name  $(tail -n 1 "$log")" ;;
        *)
            failed=$((failed + 1)) failures+=("$name")
            reason="exit status $rc"
            [ $rc != 124 ] && [ $rc != 137 ] || reason="killed after ${TEST_TIMEOUT:-300} s"
            echo "FAIL  $name  $took, $reason"
            tail -n 200 "$log" | sed 's/^/      | /'
            ;;
    esac
done

for name in ${failures[@]+"${failures[@]}"}; do echo "failed: $name"; done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $((passed + skipped)) -gt 0 ]
