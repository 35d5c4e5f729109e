#!/bin/bash
# fuzz.sh - the targets in tests/fuzz, each from the inputs that are kept for it.
#
# With clang's libFuzzer where it is, under AddressSanitizer and UBSan; else, and
# for the share of `make test`, by the targets' own driver: every input kept, then
# mutations of them. BUDGET counts executions of all targets together. An input
# that fails is left in build/fuzz/found; TARGET FILE runs it again. TARGETS names
# those to run; FUZZ_KEEP=1 puts what reaches new code into the corpus.
set -euo pipefail
root=${RILL_ROOT:?} build=${RILL_BUILD:?}
seed=${SEED:-$([ -n "${PROOF_SHARE:-}" ] && echo 1 || date +%s)}
targets=${TARGETS:-$(cd "$root/tests/fuzz/corpus" && echo *)}
corpus=$root/tests/fuzz/corpus
violations=0 cases=0
echo "seed $seed"

count() { # of targets, shares: files are slow
    case $1 in
        batch) echo 20 ;;
        values | names) echo 4 ;;
        *) echo 2 ;;
    esac
}
parts=0
for target in $targets; do parts=$((parts + $(count "$target"))); done

if [ -n "${PROOF_SHARE:-}" ] || ! command -v clang >/dev/null ||
    [ ! -e "$(clang -print-file-name=libclang_rt.fuzzer-"$(uname -m)".a)" ]; then
    budget=${BUDGET:-$([ -n "${RILL_TEST_SLOW:-}" ] && echo 300 || echo 3000)}
    for target in $targets; do
        share=$((budget * $(count "$target") / parts))
        if ! out=$(SEED=$seed BUDGET=$share timeout 250 "$build/tests/fuzz/$target" \
            "$corpus/$target" 2>&1); then
            violations=$((violations + 1))
            echo "$target: $(echo "$out" | tr '\r' '\n' | tail -n 5)"
            echo "again: CASE=N SEED=$seed $build/tests/fuzz/$target $corpus/$target"
        fi
        cases=$((cases + share + $(find "$corpus/$target" -type f | wc -l)))
    done
else
    budget=${BUDGET:-200000}
    found=$root/build/fuzz/found
    make -C "$root" --no-print-directory -j"$(nproc)" CC=clang B=build/fuzz \
        SAN=fuzzer-no-link,address,undefined fuzz-programs
    mkdir -p "$found"
    for target in $targets; do
        share=$((budget * $(count "$target") / parts))
        new=$(mktemp -d "${TMPDIR:-/tmp}/fuzz.XXXXXX")
        log=$new.log
        if ! "$root/build/fuzz/tests/fuzz/$target" -runs="$share" -seed=$((seed % 4294967295 + 1)) \
            -timeout=60 -rss_limit_mb=4096 -max_len=4096 -artifact_prefix="$found/$target-" \
            "$new" "$corpus/$target" >"$log" 2>&1; then
            violations=$((violations + 1))
            tail -n 40 "$log"
        fi
        ran=$(grep -oE '^#[0-9]+' "$log" | tail -n 1 | tr -d '#' || true)
        echo "$target: ${ran:-0} executions, $(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 || true)"
        cases=$((cases + ${ran:-0}))
        [ -z "${FUZZ_KEEP:-}" ] || "$root/build/fuzz/tests/fuzz/$target" -merge=1 \
            "$corpus/$target" "$new" >/dev/null 2>&1
        rm -rf "$new" "$log"
    done
fi
echo "fuzz: $cases cases, $violations violations, seed $seed"
[ $violations = 0 ]
