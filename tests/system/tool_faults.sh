#!/bin/bash
# tool_faults.sh - rill is killed, or the disk is full: nothing that was said is untrue.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
tool=$(realpath "${RILL:-${RILL_BUILD:-$root/build}/examples/rill}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-tool-faults.XXXXXX")
trap 'umount "$dir/small" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
export RILL_STORE=$dir/store NO_COLOR=1
fail() {
    echo "tool_faults.sh: $*" >&2
    [ ! -s err ] || head -n 20 err >&2
    exit 1
}
rill() { "$tool" "$@"; }

# ---- Killed while it produces, again and again --------------------------------------
# Lines go in order into one partition, so what is there is a beginning of the input.
rill topic create lines --segment-bytes=1MiB
seq -f 'line %.0f of many that come in order' 200000 >lines
for round in 1 2 3 4 5; do
    have=$(rill consume lines --format='.' | wc -c)
    tail -n +$((have + 1)) lines >rest
    "$tool" produce lines rest --rate=100000 2>err &
    producer=$!
    sleep 0.3
    kill -9 $producer 2>/dev/null || true
    wait $producer 2>/dev/null || true
    rill consume lines >out
    cmp -s out <(head -n "$(wc -l <out)" lines) || fail "round $round: lines are lost or out of order"
    [ "$(wc -l <out)" -ge "$have" ] || fail "round $round: lines are gone"
done
[ "$have" -gt 1000 ] || fail "nothing was produced before the kills"
tail -n +$(($(rill consume lines --format='.' | wc -c) + 1)) lines | rill produce lines
rill consume lines | cmp -s - lines || fail "the rest does not fit"

# ---- A group's member is killed: what it had written out and not committed comes again --
: >seen
for round in 1 2 3 4; do
    "$tool" consume lines --group=readers --follow >part 2>err &
    reader=$!
    for _ in $(seq 100); do
        [ ! -s part ] || break
        sleep 0.05
    done
    kill -9 $reader 2>/dev/null || true
    wait $reader 2>/dev/null || true
    # The last line may be cut: it was not flushed whole, so it was not committed either.
    [ -z "$(tail -c 1 part)" ] && cat part >>seen || sed '$d' part >>seen
done
rill consume lines --group=readers --timeout=2s >>seen
sort -u seen | cmp -s - <(sort lines) || fail "a line was committed that was not written out"
# Ctrl-C, unlike a kill, loses no commit: nothing comes twice.
: >seen
rill group reset readers --to-earliest >out
for round in 1 2 3; do
    rc=0
    timeout --preserve-status -s INT 0.$round "$tool" consume lines --group=readers --follow >>seen 2>err || rc=$?
    [ $rc = 130 ] && [ ! -s err ] || fail "Ctrl-C ends with $rc"
done
rill consume lines --group=readers --timeout=2s >>seen
cmp -s seen lines || fail "after Ctrl-C lines come twice, or not at all"
# Who has read enough goes; what he was not given is not committed.
rill group reset readers --to-earliest >out
rill consume lines --group=readers --count=700 >seen
rill consume lines --group=readers --timeout=2s >>seen
cmp -s seen lines || fail "--count does not commit what it says"

# ---- A full disk ---------------------------------------------------------------------
mkdir small
if [ "$(id -u)" != 0 ] || ! mount -t tmpfs -o size=4m tmpfs small 2>/dev/null; then
    echo 'tool_faults.sh: no small file system can be mounted: a full disk was not tried'
    exit 0
fi
rc=0
rill consume lines >small/out 2>err || rc=$?
[ $rc = 7 ] && [ "$(wc -l <err)" = 1 ] && grep -q 'standard output: No space left' err ||
    fail "a full output ends with $rc"
rc=0
rill consume lines --group=full --timeout=1s >small/out 2>err || rc=$?
[ $rc = 7 ] || fail "a full output ends with $rc"
# What was lost on its way out was not committed: it comes again.
whole=$(wc -l <small/out)
rm small/out
rill consume lines --group=full --timeout=1s >out
again=$(head -n 1 out | grep -o '[0-9]*')
[ "$again" -le $((whole + 1)) ] || fail "$whole lines were written out, the group goes on at $again"
[ "$(tail -n 1 out)" = "$(tail -n 1 lines)" ] || fail "the group does not come to the end"
rc=0
rill -s small/store topic create lines --segment-bytes=256KiB 2>err || rc=$?
[ $rc = 0 ] || fail "the small store cannot be made: $rc"
rc=0
rill -s small/store produce lines lines --json >out 2>err || rc=$?
[ $rc = 7 ] && grep -q 'space' err || fail "a full store ends with $rc"
rill -s small/store consume lines >back
first=$(grep -o '"first_not_appended":[0-9]*' out | cut -d: -f2)
last=$(grep -o '"last_not_appended":[0-9]*' out | cut -d: -f2)
[ -s back ] || fail "nothing went into the small store"
cmp -s back <(sed "$first,${last}d" lines | head -n "$(wc -l <back)") ||
    fail "lines $first to $last are said to be lost, but it is others"
appended=$(grep -o '"records":[0-9]*' out | head -n 1 | cut -d: -f2)
[ "$appended" = "$(wc -l <back)" ] || fail "$appended records were said to be appended, $(wc -l <back) are there"
rc=0
rill snapshot small/copy 2>err || rc=$?
[ $rc = 7 ] || fail "a snapshot onto a full disk ends with $rc"
rc=0
rill topic list -s small/copy 2>err || rc=$?
[ $rc != 0 ] || fail "half a snapshot can be opened"
echo 'tool_faults.sh: passed'
