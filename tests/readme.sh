#!/bin/bash
# readme.sh - every ```c block of README.md is a whole program that compiles
# without a warning and runs to a successful end in an empty directory.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${RILL_BUILD:-$root/build}
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-readme.XXXXXX")
trap 'rm -rf "$dir"' EXIT

[ -e "$root/README.md" ] || { echo "readme: there is no README.md"; exit 77; }
awk -v dir="$dir" '
    !inside && /^```c[ \t]*$/ { inside = 1; out = sprintf("%s/%02d.c", dir, ++n)
                                printf "#line %d \"README.md\"\n", NR + 1 >out; next }
    inside && /^```/          { inside = 0; close(out); next }
    inside                    { print >out }
' "$root/README.md"
shopt -s nullglob
count=0
for source in "$dir"/*.c; do
    name=$(basename "$source" .c)
    line=$(sed -n '1s/#line \([0-9]*\).*/\1/p' "$source")
    # shellcheck disable=SC2086
    ${CC:-gcc} -std=gnu11 -O1 -Wall -Wextra -Werror -I"$root/include" ${RILL_CFLAGS:-} \
        -o "$dir/$name" "$source" "$build/librill.a" ${RILL_LIBS:--llmdb -lxxhash -lpthread} ||
        { echo "readme: the block at README.md:$line does not compile" >&2; exit 1; }
    mkdir "$dir/$name.run"
    (cd "$dir/$name.run" && timeout 60 "$dir/$name" </dev/null >"$dir/$name.out" 2>&1) || {
        rc=$?
        cat "$dir/$name.out" >&2
        echo "readme: the block at README.md:$line ends with $rc" >&2
        exit 1
    }
    count=$((count + 1))
done
[ $count -gt 0 ] || { echo "readme: README.md has no C block"; exit 77; }
echo "readme: $count blocks compile and run"
