#!/bin/bash
# examples.sh - runs one example in an empty directory; it must end with success.
# usage: tests/examples.sh NAME
set -euo pipefail
build=${RILL_BUILD:?}
name=$1
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-example.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
arguments=()
if [ "$name" = demo ]; then # the one that reads a web server's log
    for i in $(seq 500); do
        printf '10.0.0.%d - - [01/Mar/2026:10:%02d:%02d +0000] "GET /page/%d HTTP/1.1" %d %d "-" "test"\n' \
            $((i % 20)) $((i / 60)) $((i % 60)) $((i % 7)) $((i % 9 ? 200 : 404)) $((i * 13))
    done >access.log
    arguments=(access.log)
fi
# shellcheck disable=SC2086
${RILL_RUNNER:-} "$build/examples/$name" ${arguments[@]+"${arguments[@]}"} </dev/null
