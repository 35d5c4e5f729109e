#!/bin/bash
# tool.sh - every command of rill does what its help says, and refuses the rest.
#
# RILL names the program; without it, the one in the build directory.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
tool=$(realpath "${RILL:-${RILL_BUILD:-$root/build}/examples/rill}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-tool-test.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
unset RILL_STORE
export NO_COLOR=1 TZ=UTC

rill() {
    # shellcheck disable=SC2086
    ${RILL_RUNNER:-} "$tool" "$@"
}
# start ARGUMENT...: in the background; $! is rill itself.
start() {
    # shellcheck disable=SC2086
    (exec ${RILL_RUNNER:-} "$tool" "$@") <&0 &
}
fail() {
    echo "tool.sh:${BASH_LINENO[0]}: $*" >&2
    for file in out err; do [ ! -s $file ] || { echo "-- $file"; head -c 2000 $file; } >&2; done
    exit 1
}
# is STATUS ARGUMENT...: rill ends with it; its output is in out and err.
is() {
    local want=$1 got=0
    shift
    rill "$@" >out 2>err || got=$?
    [ $got = "$want" ] || fail "rill $* ends with $got, not $want"
}
ok() { is 0 "$@"; }
# bad STATUS PATTERN ARGUMENT...: refused in one line that has the pattern, and nothing else is said.
bad() {
    local want=$1 pattern=$2
    shift 2
    is "$want" "$@"
    [ "$(wc -l <err)" = 1 ] || fail "rill $*: not one line is said"
    grep -q -- "$pattern" err || fail "rill $*: no \"$pattern\""
    [ ! -s out ] || fail "rill $*: refused, but something comes out"
}
has() { grep -q -- "$1" out || fail "no \"$1\""; }
json() { # EXPRESSION over d, the document, which must be true
    [ -n "$python" ] || return 0
    python3 -c "
import json, sys
d = json.load(open('out'))
assert $1, str(d)[:300]" 2>python.err || fail "$(tail -n 1 python.err)"
}
# segment_of STORE: a segment with records, in log; its dump is in out. Others may be empty.
segment_of() {
    for log in $(find "$1" -name '*.log'); do
        ok dump "$log" --records
        grep -q ' record [0-9]* at time ' out && return
    done
    fail "$1 has no records"
}
python=$(command -v python3 || true)
[ -n "$python" ] || echo "tool.sh: no python3: JSON is not parsed"

# ---- Help and nonsense ------------------------------------------------------------

ok
has 'usage: rill COMMAND'
ok --version
has '^rill [0-9]'
# The commands as the help lists them: names in lines of two blanks.
commands=$(awk '/^commands:/ { on = 1; next } /^$/ { on = 0 }
    on && /^  [a-z]/ { sub(/^  /, ""); sub(/  +.*/, ""); print }' out)
ok --help
commands=$(awk '/^commands:/ { on = 1; next } /^$/ { on = 0 }
    on && /^  [a-z]/ { sub(/^  /, ""); sub(/  +.*/, ""); print }' out)
[ "$(echo "$commands" | wc -l)" -ge 15 ] || fail "few commands: $commands"
while read -r command; do
    # shellcheck disable=SC2086
    ok $command --help
    has "^usage: rill $command"
    # shellcheck disable=SC2086
    ok help $command
    has "^usage: rill $command"
    # shellcheck disable=SC2086
    bad 2 "has no option --nonsense; see rill $command --help" $command --nonsense
    awk 'length > 80 && !/rill/ { exit 1 }' out || fail "$command: a long line"
done <<<"$commands"
bad 2 'there is no command nonsense; .* is expected' nonsense
bad 2 'create, list, describe' topic nonsense
bad 2 'create, list, describe' topic
bad 2 'no option of every command' --nonsense topic list
bad 2 'which store' topic list
bad 2 'needs a value' topic list --store
bad 2 'takes no value' topic list --json=yes
bad 2 'TOPIC is missing' topic create -s s
bad 2 'one argument too many' topic list orders -s s
bad 3 'nowhere: ' topic list -s nowhere
[ ! -e nowhere ] || fail "a store out of nothing"
bad 2 'auto, always or never is expected' version --color=maybe
bad 2 'duration' topic list -s s --wait=10
bad 2 'x0a' topic list -s s $'a\nb'

# ---- Topics -------------------------------------------------------------------------

export RILL_STORE=$dir/store
bad 2 '1 to 10,000' topic create orders --partitions=0
bad 2 'size' topic create orders --segment-bytes=lots
bad 2 '7d' topic create orders --segment-time=7
bad 2 'topic name' topic create 'bad/name'
ok topic create orders --partitions=4 --segment-bytes=64KiB --segment-time=1h30m
bad 5 'orders' topic create orders
ok topic create orders clicks --if-missing
ok topic list
has '^orders  *4  *0 '
ok topic list --json
json '[t["topic"] for t in d] == ["clicks", "orders"] and d[1]["partitions"] == 4'
ok topic describe orders clicks
has 'topic orders'
has '64 KiB, for 1h30m'
ok topic describe orders --json
json 'd[0]["options"]["segment_bytes"] == 65536 and len(d[0]["partitions"]) == 4'
bad 3 'nothing' topic describe nothing
ok topic delete clicks
bad 3 'clicks' topic delete clicks
ok topic delete clicks --if-there
ok topic create __hidden
ok topic list
! grep -q hidden out || fail "an internal topic is listed"
ok topic list --internal
has __hidden

ok topic create full --retention=7d --retention-bytes=1GiB --cleanup=compact,delete \
    --timestamps=append --dirty-ratio=20% --compaction-lag=1h --delete-retention=2d
ok topic describe full
has 'cleanup delete,compact; retention 7d, 1 GiB per partition'
has 'compaction when 20% are dirty, after 1h; tombstones stay 2d'
ok topic describe full --json
json 'd[0]["options"]["cleanup_policy"] == "delete,compact" and d[0]["options"]["min_cleanable_dirty_ratio"] == 0.2'
json 'd[0]["options"]["retention_ms"] == 7 * 86400000 and d[0]["options"]["timestamp_type"] == "append"'
ok topic alter full --retention=30d --cleanup=delete --segment-bytes=2MiB --dirty-ratio=default
ok topic describe full --json
json 'd[0]["options"]["retention_ms"] == 30 * 86400000 and d[0]["options"]["cleanup_policy"] == "delete"'
json 'd[0]["options"]["segment_bytes"] == 2 << 20 and d[0]["options"]["min_cleanable_dirty_ratio"] == 0.5'
json 'd[0]["options"]["min_compaction_lag_ms"] == 3600000 and d[0]["options"]["retention_bytes"] == 1 << 30'
ok topic alter full orders --retention=forever --retention-bytes=unlimited
ok topic describe full
has 'retention forever, unlimited'
bad 2 'at least one option' topic alter full
bad 2 'has no option --partitions' topic alter full --partitions=2
bad 3 'nothing' topic alter nothing --retention=1d
ok topic add-partitions full 3
ok topic describe full --json
json 'len(d[0]["partitions"]) == 3'
bad 2 'full' topic add-partitions full 2
bad 2 'up to 10,000' topic add-partitions full many
bad 2 'N is missing' topic add-partitions full
bad 3 'nothing' topic add-partitions nothing 3
bad 2 'delete, compact, consumed or default is expected' topic create x --cleanup=delete,some
bad 2 'a part of 1' topic create x --dirty-ratio=1.5
bad 2 'forever or default is expected' topic create x --retention=0
bad 2 'none, lz4, zstd or default' topic create x --compression=gzip

# ---- Produce and consume --------------------------------------------------------------

for i in $(seq 5000); do echo "10.0.0.$((i % 50)) - line $i of a log, \"quoted\" and \\back"; done >lines
printf 'no newline at the end' >>lines
bad 3 'nothing' produce nothing lines
bad 3 'No such file' produce orders missing
ok produce orders lines
ok consume orders
(cat lines; echo) | sort >want
sort out | cmp -s - want || fail "other lines come out"
ok consume orders --count=7
[ "$(wc -l <out)" = 7 ] || fail "not 7 lines"
ok topic create lines
ok produce lines --key-field=1 --header=from=test --header=and=more --acks=durable lines
ok consume lines
(cat lines; echo) | cmp -s - out || fail "lines are not as they were"
ok consume lines --json -n 2
[ -z "$python" ] || python3 -c '
import json
rows = [json.loads(line) for line in open("out")]
assert len(rows) == 2 and rows[0]["offset"] == 0 and rows[0]["key"] == "10.0.0.1"
assert rows[0]["value"].startswith("10.0.0.1 - line 1 of a log, \"quoted\" and \\back")
assert rows[0]["headers"] == [{"name": "from", "value": "test"}, {"name": "and", "value": "more"}]
' || fail "JSON lines"
ok consume lines --from=10 -n 2
[ "$(head -n 1 out)" = "$(sed -n 11p lines)" ] || fail "--from=10"
ok consume lines --from=-3
tail -n 3 lines | diff - out >/dev/null || [ "$(wc -l <out)" = 3 ] || fail "--from=-3"
ok consume lines --from=end
[ ! -s out ] || fail "--from=end"
ok consume lines --partition=0 -n 1
bad 3 'partitions 0 to 0' consume lines --partition=1
bad 2 'a number, or two' consume lines --partition=x
bad 2 'is expected' consume lines --from=somewhere
bad 2 'time' consume lines --since=yesterday
bad 2 'only one' consume lines --since=-1h --from=end
bad 2 'topic' consume lines --format='%z'
ok consume lines --format='%t-%p:%o %k %S %h%%\n' -n 1
[ "$(cat out)" = 'lines-0:0 10.0.0.1 46 from=test,and=more%' ] || fail "--format"
ok consume orders lines --format='%t\n'
[ "$(sort -u out | tr '\n' ' ')" = 'lines orders ' ] || fail "two topics"
is 6 consume lines --count=9999 --follow --timeout=200ms --format=%p
grep -q 'only 5,001 of 9,999 records came' err || fail "too few come in time"

for codec in lz4 zstd; do
    got=0
    rill produce $codec lines --create --compression=$codec --batch-bytes=64KiB 2>err || got=$?
    if [ $got != 0 ]; then # the library may be built without it
        grep -q "$codec" err || fail "produce --compression=$codec ends with $got"
        continue
    fi
    ok consume $codec
    (cat lines; echo) | cmp -s - out || fail "$codec"
done

# Null is not empty, and any bytes come back.
ok topic create any
printf 'k1:v1\nk2:\nk3:NULL\n:v4\nv5\n' | rill produce any -k: --null=NULL
ok consume any -k:
printf 'k1:v1\nk2:\nk3:\\N\n:v4\n\\N:v5\n' | cmp -s - out || fail "nulls"
ok consume any --json
[ -z "$python" ] || python3 -c '
import json
rows = [json.loads(line) for line in open("out")]
assert [(r["key"], r["value"]) for r in rows] == [
    ("k1", "v1"), ("k2", ""), ("k3", None), ("", "v4"), (None, "v5")], rows' || fail "nulls in JSON"
head -c 200000 /dev/urandom >bytes
ok topic create bytes
ok produce bytes --whole bytes
printf 'a\0b\nc\0\0' | rill produce bytes -0
ok consume bytes -d '' -n 1 --from=0 --format='%s'
cmp -s bytes out || fail "bytes"
ok consume bytes -0 --from=1
printf 'a\0b\nc\0\0' | cmp -s - out || fail "zero bytes"
ok consume bytes --escape -k '\t'
mv out escaped
ok topic create copy
ok produce copy --escape -k '\t' escaped
ok consume copy --format='%s' --raw
cat bytes >want
printf 'ab\nc' >>want
cmp -s want out || fail "escaped bytes do not come back"
ok consume bytes --json
[ -z "$python" ] || python3 -c '
import base64, json
rows = [json.loads(line) for line in open("out")]
assert base64.b64decode(rows[0]["value_base64"]) == open("bytes", "rb").read()' || fail "base64"

# Times.
ok topic create times
printf '1700000000 a\n1700000060000 b\n2023-11-14T22:15:20Z c\n' | rill produce times --time-field=1
ok consume times --format='%T %s\n'
[ "$(cut -d' ' -f1 out | tr '\n' ' ')" = '1700000000000 1700000060000 1700000120000 ' ] || fail "times"
printf 'x [14/Nov/2023:23:16:20 +0100] d\n' |
    rill produce times --time-field=2 --time-format='[%d/%b/%Y:%H:%M:%S %z]'
ok consume times --since=2023-11-14T22:14:00Z --until=2023-11-14T22:16:20Z
[ "$(cut -d' ' -f2 out | tr '\n' ' ')" = 'b c ' ] || fail "--since and --until"
ok consume times --from=3 --format='%d'
[ "$(cat out)" = '2023-11-14T22:16:20.000Z' ] || fail "a time with a format"
printf 'never x\n' >never
bad 1 'never, line 1: there is no time in its field' produce times never --time-field=1
ok produce times never --time-field=1 --skip-bad --json
json 'd["records"] == 0 and d["skipped"] == 1'
bad 2 'needs --time-field' produce times never --time-format=%s

ok produce lines lines --json --rate=100000
json 'd["records"] == 5001 and d["not_appended"] == 0 and d["partitions"][0]["first_offset"] == 5001'
bad 2 'NAME=VALUE' produce lines lines --header=x
bad 2 'one character' produce lines lines --delimiter=ab
bad 2 'at least one character' produce lines lines --key-separator=
bad 3 'partitions 0 to 3' produce orders lines --partition=4
head -c 2000000 /dev/zero >big
bad 1 'big, line 1: ' produce lines big
ok produce fresh lines --create --partition=0
ok consume fresh --count=1

# ---- Groups -----------------------------------------------------------------------------

ok consume lines --group=readers --count=10
[ "$(tail -n 1 out)" = "$(sed -n 10p lines)" ] || fail "the first 10"
ok consume lines --group=readers --count=10
[ "$(head -n 1 out)" = "$(sed -n 11p lines)" ] || fail "the group does not go on"
ok consume '^times$' --group=other --timeout=300ms
[ "$(wc -l <out)" = 4 ] || fail "an expression"
ok consume lines --group=readers --no-commit --count=1
ok consume fresh --committed --durable
(cat lines; echo) | cmp -s - out || fail "--committed"
bad 2 'group reset' consume lines --group=readers --from=5
bad 2 'need --group' consume lines --no-commit
ok group list
has '^readers  *empty '
ok group list --json
json '[g["group"] for g in d] == ["other", "readers"] and d[1]["lag"] == 10002 - 20'
ok group describe readers other
has '^group readers'
has '  lines  *0  *20 '
ok group describe readers --json
json 'd[0]["offsets"][0]["offset"] == 20 and d[0]["members"] == []'
bad 3 'nobody' group describe nobody
bad 2 'exactly one of' group reset readers
bad 2 'exactly one of' group reset readers --to-latest --to-earliest
bad 2 'TOPIC:PARTITION' group reset readers --topic=lines:x --to-latest
ok group reset readers --to-earliest --dry-run --json
json 'd[0]["before"] == 20 and d[0]["offset"] == 0'
ok group reset readers --shift=-5
has 'lines  *0  *20  *15'
ok group reset readers --topic=lines:0:17
ok group describe readers --csv
[ "$(tr -d '"' <out)" = lines,0,17 ] || fail "csv"
cp out csv
ok group reset readers --to-time=2000-01-01
ok group reset readers --csv=csv
ok group describe readers --csv
cmp -s csv out || fail "csv does not come back"
ok group reset fresh-one --topic=orders --to-latest
ok group delete fresh-one --topic=orders:0
ok group delete fresh-one
bad 3 'fresh-one' group delete fresh-one
ok group delete fresh-one --if-there
ok explain group readers
has 'group readers'
ok explain group readers --json
json 'd[0]["kind"] == "group" and d[0]["group"] == "readers"'
bad 3 'nobody' explain group nobody
ok explain partition orders 0 1
has 'orders-1'
bad 2 'number of a partition' explain partition orders x
bad 3 'partitions 0 to 3' explain partition orders 9
# Of two members one is enough to read; the other one's hold makes a reset impossible.
start consume lines --group=readers --follow >/dev/null 2>&1
follower=$!
for _ in $(seq 100); do
    ok group describe readers --json
    ! grep -q '"pid":[1-9]' out || break
    sleep 0.1
done
bad 6 'members' group reset readers --to-latest
ok group describe readers
has ' lines-0$'
kill $follower
rc=0
wait $follower || rc=$?
[ $rc = 143 ] || fail "a terminated consumer ends with $rc"
ok group describe readers --json
json 'd[0]["members"] == [] and d[0]["offsets"][0]["lag"] == 0'

# ---- Room ------------------------------------------------------------------------------

ok delete-records lines --before=100
has '^lines  *0  *100  *100$'
ok delete-records lines --before=50 --json
json 'd == [{"partition": 0, "log_start_before": 100, "log_start": 100, "deleted": 0}]'
ok delete-records times --before-time=2023-11-14T22:14:00Z
ok consume times
[ "$(cut -d' ' -f2 out | head -n 1)" = b ] || fail "--before-time"
ok delete-records orders --before=latest --partition=0-1 --yes
ok consume orders --partition=0 --partition=1
[ ! -s out ] || fail "deleted records come back"
bad 2 'one of --before and --before-time' delete-records lines
bad 2 'an offset, or latest' delete-records lines --before=soon
bad 3 'nothing' delete-records nothing --before=1
bad 3 'partitions 0 to 0' delete-records lines --before=1 --partition=1
is 1 delete-records lines --before=1000000
grep -q 'the log ends at' err || fail "beyond the end"

# By retention: all but the segment that is written to.
ok topic create brief --segment-bytes=64KiB --max-message=16KiB
ok produce brief lines
ok topic describe brief --json
json 'd[0]["partitions"][0]["segments"] > 3'
ok topic alter brief --retention=1ms
ok topic create accounts --cleanup=compact --partitions=2
for i in $(seq 3000); do echo "$((i % 7)):state $i"; done >states
ok produce accounts states --key-separator=:
ok compact accounts --json
json 'sum(p["records_before"] for p in d) == 3000 and sum(p["records_after"] for p in d) == 7'
ok consume accounts -k:
sort out >got
tail -n 7 states | sort | cmp -s - got || fail "what is left is not the last of each key"
ok compact accounts --partition=1
has '^accounts  *1 '
bad 6 'cleanup_policy' compact lines
bad 3 'nothing' compact nothing
bad 3 'partitions 0 to 1' compact accounts --partition=2
echo 'no key' >keyless
bad 1 'keyless, line 1: .*must have a key' produce accounts keyless
ok maintain --for=2s --check=10ms
ok topic describe brief --json
json 'd[0]["partitions"][0]["segments"] <= 2 and d[0]["partitions"][0]["log_start"] > 1000'
bad 2 'a duration' maintain --for=ever
rc=0
# shellcheck disable=SC2086
timeout --preserve-status -s INT 1 ${RILL_RUNNER:-} "$tool" maintain >out 2>err || rc=$?
[ $rc = 130 ] && [ ! -s err ] || fail "maintain: Ctrl-C ends with $rc"

# ---- Copies, damage --------------------------------------------------------------------

ok snapshot snap --verify
ok topic list -s snap
has '^lines '
ok snapshot few --topic=lines --topic=any --no-links
ok topic list -s few --json
json '[t["topic"] for t in d] == ["any", "lines"]'
bad 3 'nothing' snapshot other --topic=nothing
bad 2 'is not empty' snapshot "$dir"
ok restore snap --store=back
ok consume lines
mv out want
ok consume lines --store=back
cmp -s want out || fail "what was restored is not the same"
bad 2 'which store' restore snap --store=
ok export lines stream
bad 5 'File exists' export lines stream
ok export lines stream --force
ok import stream --topic=lines-again --json
json 'd["records"] == 9902'
ok consume lines-again --format='%o %k %T %h %s\n'
mv out want
ok consume lines --format='%o %k %T %h %s\n'
cmp -s want out || fail "what was imported is not the same"
ok import stream --topic=lines-again --json
json 'd["records"] == 0'
# Cut short, and with more in the topic: both ends go on.
head -c 300000 stream >short
ok topic create cut
is 4 import short --topic=cut
ok export lines short --resume
cmp -s stream short || fail "a resumed export is another one"
ok import short --topic=cut
ok consume cut
mv out want
ok consume lines
cmp -s want out || fail "an import that goes on is not the same"
echo more | rill produce lines --key-field=1
ok export lines stream --resume
ok import stream --topic=lines-again --json
json 'd["records"] == 1'
rill export lines --partition=0 --from=5000 --to=5010 >part
ok import part -s other-store
[ ! -s err ] || fail "an import says something"
ok topic list -s other-store
has '^lines '
ok consume lines -s other-store --format='%p:%o\n'
[ "$(head -n 1 out)" = 0:5000 ] && [ "$(wc -l <out)" = 10 ] || fail "a part of a partition"
bad 3 'nothing' export nothing
bad 3 'partitions 0 to 0' export lines x --partition=5
bad 2 'need a FILE' export lines --resume
bad 3 'No such file' import no-such-file
bad 4 'standard input\|stream' import -
ok verify
has '^sound'
ok verify --json
json 'd["errors"] == 0 and d["damage"] == [] and d["records"] > 10000'
bad 3 'nowhere' verify -s nowhere
segment_of few
printf damage | dd of="$log" bs=1 seek=150 conv=notrunc status=none
is 4 verify -s few
has '^error: '
is 4 verify -s few --json
json 'd["errors"] > 0 and d["damage"][0]["severity"] == "error"'
is 4 dump "$log"
ok repair -s few --dry-run
is 4 verify -s few
ok repair -s few --yes --json
json 'd["actions"] > 0 and d["left"] == 0 and d["records_lost"] > 0 and len(d["done"]) == d["actions"]'
ok verify -s few
has '^sound'
[ -d few/quarantine ] || fail "nothing is in quarantine"
ok repair -s few
has 'nothing to repair'
bad 3 'nowhere' repair -s nowhere --yes
start maintain -s few >/dev/null 2>&1
holder=$!
for _ in $(seq 50); do
    [ -e few/shared ] && break
    sleep 0.1
done
sleep 0.3
bad 6 'few' repair -s few --yes
kill $holder
wait $holder 2>/dev/null || true
ok dump store/STORE
has 'store '
segment_of snap
has ' record [0-9]* at time '
ok dump "$log" --json
sed -n 2p out >line
mv line out
json 'd["kind"] == "batch" and d["sound"]'
bad 2 'lines' dump lines
bad 3 'nowhere' dump nowhere/STORE

# ---- The store as a whole ---------------------------------------------------------------

ok stat
has 'topics, .* partitions, .* records'
ok stat --json
json 'd["topics"] >= 8 and d["records"] > 15000'
ok stat --prometheus
has '^# TYPE rill_'
bad 2 'only one' stat --json --prometheus

ok top --interval=100ms
has '^orders '
has '^readers '
ok top --interval=100ms --count=2 --json
[ "$(wc -l <out)" = 2 ] || fail "not two looks"
sed -i 1d out
json 'any(t["topic"] == "fresh" and t["records"] == 5001 for t in d["topics"])'
ok bench --records=1000 --appends=100 --partitions=2
has '^consume .* records/s'
ok bench --records=1000 --appends=0 --json --acks=durable
json 'd["consume"]["records"] == 1000 and d["acks"] == "durable"'
ok topic list --internal
! grep -q bench out || fail "the benchmark leaves its topic"
bad 2 'a number' bench --records=0
bad 2 'duration' top --interval=fast

# ---- Interrupted, killed, nobody reads ---------------------------------------------------

ok topic create slow
(seq 100; sleep 5) | rill produce slow >/dev/null 2>&1 &
for _ in $(seq 100); do
    ok consume slow
    [ "$(wc -l <out)" != 100 ] || break
    sleep 0.1
done
[ "$(wc -l <out)" = 100 ] || fail "lines that wait do not go out"
mkfifo fifo
exec 3<>fifo
start produce slow --json <fifo >produced 2>err
producer=$!
printf '101\n102\nnot complete' >&3
for _ in $(seq 100); do
    ok consume slow
    [ "$(wc -l <out)" != 102 ] || break
    sleep 0.1
done
kill $producer
rc=0
wait $producer || rc=$?
exec 3>&-
[ $rc = 143 ] || fail "a terminated producer ends with $rc"
cp produced out
json 'd["records"] == 2'
ok consume slow
[ "$(wc -l <out)" = 102 ] || fail "what was not complete was sent"

# Ctrl-C; a shell lets jobs in the background ignore it, timeout does not.
rc=0
# shellcheck disable=SC2086
timeout --preserve-status -s INT 1 ${RILL_RUNNER:-} "$tool" consume slow --follow >out 2>err || rc=$?
[ $rc = 130 ] && [ ! -s err ] && [ "$(wc -l <out)" = 102 ] || fail "Ctrl-C ends with $rc"
rc=0
rill consume lines 2>err | head -n 1 >/dev/null || rc=${PIPESTATUS[0]}
[ $rc = 141 ] && [ ! -s err ] || fail "a closed pipe ends with $rc"
rc=0
rill consume lines >&- 2>err || rc=$?
[ $rc = 1 ] && grep -q 'standard output' err || fail "closed output ends with $rc"
if [ -e /dev/full ]; then
    for command in 'consume lines' 'topic list' 'help'; do
        rc=0
        # shellcheck disable=SC2086
        rill $command >/dev/full 2>err || rc=$?
        [ $rc = 7 ] && grep -q 'No space left' err || fail "$command: a full disk ends with $rc"
    done
fi
echo "tool.sh: passed"
