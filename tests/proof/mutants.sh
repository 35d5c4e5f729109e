#!/bin/bash
# mutants.sh - bugs planted on purpose, each caught by the harness named for it.
#
# mutants.txt has them. Each is planted in a copy of the sources, which is built
# and run; a harness that stays green has missed it. BUDGET says how many, taken
# by SEED, all of them unless only a share is asked for; MUTANT names one by number.
# A bug that shows seldom says how its harness is run: "proof/name BUDGET=n". As many are
# tried at a time as there are processors.
#
# Before anything is built, all of them must fit the sources as they are: what shall
# be changed stands once in its file, and the harness exists.
set -euo pipefail
root=${RILL_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
list=$root/tests/proof/mutants.txt
command -v perl >/dev/null || { echo "perl is not installed"; exit 77; }

# fits: every mutant can be planted; those that cannot are listed.
fits() {
    perl -e '
        my ($root, $list) = @ARGV;
        local $/;
        open(my $f, "<", $list) or die "$list: $!";
        my (undef, @mutants) = split(/^\* /m, <$f>);
        my $number = 0;
        my $wrong = 0;
        foreach my $text (@mutants) {
            my (%sources, @why);
            my ($what, $harness) = $text =~ s/^(.*) \| (\S+)( [A-Z]+=\d+)*\n// ? ($1, $2) : ("", "");
            $number++;
            push(@why, "no harness tests/$harness.c") unless -f "$root/tests/$harness.c";
            push(@why, "changes nothing") unless $text =~ /^<<<<$/m;
            while ($text =~ s/^(\S+)\n<<<<\n(.*?)\n====\n(.*?)\n>>>>$//ms) {
                my ($file, $old, $new) = ($1, $2, $3);
                if (!defined $sources{$file}) {
                    if (!open(my $in, "<", "$root/$file")) {
                        push(@why, "no file $file");
                        next;
                    } else {
                        $sources{$file} = <$in>;
                    }
                }
                my $count = () = $sources{$file} =~ /\Q$old\E/g;
                push(@why, "$count places in $file") if $count != 1;
                push(@why, "changes nothing in $file") if $old eq $new;
                substr($sources{$file}, index($sources{$file}, $old), length($old)) = $new
                    if $count == 1;
            }
            push(@why, "cannot be read") if $text =~ /\S/;
            next unless @why;
            print "mutant $number does not fit ($what): ", join("; ", @why), "\n";
            $wrong++;
        }
        exit($wrong == 0 ? 0 : 2);' "$root" "$list"
}
fits || { echo "mutants: some do not fit the sources" >&2; exit 2; }
[ -z "${RILL_TEST_SLOW:-}" ] || { echo "too slow under a sanitizer"; exit 77; }

count=$(grep -c '^\* ' "$list")
seed=${SEED:-1}
budget=${BUDGET:-$count}
[ -n "${BUDGET:-}" ] || [ -z "${PROOF_SHARE:-}" ] || budget=4
[ "$budget" -le "$count" ] || budget=$count
echo "seed $seed"

base=$(mktemp -d "${TMPDIR:-/tmp}/mutants.XXXXXX")
trap 'rm -rf "$base"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES RILL_BUILD B OPT SAN CROSS RUNNER TESTS

# The sources as they are now, whatever becomes of them meanwhile.
mkdir -p "$base/tree/tmp"
cp -r "$root/lib" "$root/include" "$root/tests" "$root/Makefile" "$base/tree"
make -s -C "$base/tree" -j"$(nproc)" B=build build/librill-test.a CFLAGS=-Wno-unused >/dev/null

# In each of these functions $tree is the copy of one worker.

# plant NUMBER: changes the copy, prints "what | harness"; unplant: the sources again.
plant() {
    perl -e '
        my ($tree, $list, $number) = @ARGV;
        local $/;
        open(my $f, "<", $list) or die "$list: $!";
        my @mutants = split(/^\* /m, <$f>);
        my $text = $mutants[$number];
        $text =~ s/^(.*)\n// or die;
        print "$1\n";
        while ($text =~ /^(\S+)\n<<<<\n(.*?)\n====\n(.*?)\n>>>>$/msg) {
            my ($file, $old, $new) = ($1, $2, $3);
            open(my $in, "<", "$tree/$file") or die "$file: $!";
            my $source = <$in>;
            my $at = index($source, $old);
            die "mutant $number: $file does not have what shall be changed\n" if $at < 0;
            substr($source, $at, length($old)) = $new;
            open(my $out, ">", "$tree/$file") or die "$file: $!";
            print $out $source;
        }' "$tree" "$list" "$1"
}
unplant() {
    for file in $(sed -n 's|^\(lib/[a-z/_]*\.c\)$|\1|p' "$list" | sort -u); do
        cmp -s "$base/tree/$file" "$tree/$file" || cp "$base/tree/$file" "$tree/$file"
    done
}

# catches HARNESS [NAME=VALUE...]: 0 it goes red, 1 it stays green, 2 it does not compile,
# 77 it cannot run here.
catches() {
    local status=0
    make -s -C "$tree" B=build "build/tests/$1" CFLAGS=-Wno-unused >"$tree/log" 2>&1 || {
        cat "$tree/log"
        return 2
    }
    (cd "$tree" && env TMPDIR="$tree/tmp" PROOF_SHARE=1 PROOF_FIRST=1 SEED="$seed" "${@:2}" \
        timeout 120 "build/tests/$1") \
        >"$tree/log" 2>&1 </dev/null || status=$?
    chmod -R u+rwX "$tree/tmp" && rm -rf "${tree:?}/tmp"/*
    case $status in
        0) return 1 ;;
        77) return 77 ;;
        *) return 0 ;;
    esac
}

# try NUMBER: plants it, runs its harness, says what came of it.
try() {
    local line what harness status=0
    line=$(plant "$1")
    what=${line% | *} harness=${line##* | }
    # shellcheck disable=SC2086 # its settings are words of their own
    catches $harness || status=$?
    case $status in
        0) echo "caught   $harness: $what" ;;
        2) echo "BROKEN   $harness: $what: it does not compile" ;;
        77) echo "skipped  $harness: $what" ;;
        *) echo "MISSED   $harness: $what" ;;
    esac
    unplant
}

numbers=${MUTANT:-$(shuf -i "1-$count" -n "$budget" --random-source=<(yes "$seed") | sort -n)}
workers=$(nproc)
for worker in $(seq "$workers"); do
    (
        tree=$base/$worker
        cp -a "$base/tree" "$tree"
        turn=0
        for number in $numbers; do
            turn=$((turn % workers + 1))
            [ "$turn" != "$worker" ] || try "$number"
        done
        touch "$tree/done"
    ) | tee "$base/said$worker" &
done
wait
for worker in $(seq "$workers"); do
    [ -f "$base/$worker/done" ] || { echo "mutants: a worker has stopped" >&2; exit 2; }
done
tried=$(cat "$base"/said* | grep -c '^[A-Za-z]\+  *[a-z]*/' || true)
missed=$(cat "$base"/said* | grep -c '^\(MISSED\|BROKEN\) ' || true)
echo "mutants: $tried cases, $missed violations, seed $seed"
[ "$missed" = 0 ]
