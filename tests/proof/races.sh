#!/bin/bash
# races.sh - the thread sanitizer finds no race in what threads and processes share.
#
# Runs the unit and API tests and the harnesses that have threads or processes in a
# build with -fsanitize=thread, BUDGET times. Where only a share of the proofs is
# asked for, that build is a stage of its own, not a part of this one.
set -euo pipefail
root=${RILL_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
[ -z "${PROOF_SHARE:-}" ] || { echo "make SAN=thread test is a run of its own"; exit 77; }
rounds=${BUDGET:-3}
seed=${SEED:-1}
echo "seed $seed"
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES RILL_BUILD BUDGET B
failed=0
for ((i = 0; i < rounds; i++)); do
    SEED=$((seed + i)) make -s -C "$root" SAN=thread TESTS="unit api proof system" test || failed=$((failed + 1))
done
echo "races: $rounds cases, $failed violations, seed $seed"
[ "$failed" = 0 ]
