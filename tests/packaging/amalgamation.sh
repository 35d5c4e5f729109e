#!/bin/bash
# amalgamation.sh - rill.c and rill.h, dropped beside a program, build and run.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-amalgamation.XXXXXX")
trap 'rm -rf "$dir"' EXIT

make -s amalgamation CC="${CC:-gcc}" B="$dir/build"
cp "$dir"/build/amalgamation/rill.[ch] examples/produce.c "$dir/"
try() { # flags: of the codecs
    rm -rf "$dir/run"
    # Not -std=c11: most hosts build with the compiler's own default.
    ${CC:-gcc} -O1 -Wall -Wextra -Werror -I"$dir" -o "$dir/produce" "$dir/produce.c" \
        "$dir/rill.c" "$@" -llmdb -lxxhash -lpthread
    mkdir "$dir/run"
    (cd "$dir/run" && "$dir/produce" </dev/null)
}
try
codecs=()
case ${RILL_CFLAGS:-} in *RILL_HAVE_LZ4*) codecs+=(-DRILL_HAVE_LZ4 -llz4) ;; esac
case ${RILL_CFLAGS:-} in *RILL_HAVE_ZSTD*) codecs+=(-DRILL_HAVE_ZSTD -lzstd) ;; esac
[ ${#codecs[@]} = 0 ] || try "${codecs[@]}"
