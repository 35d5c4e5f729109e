#!/bin/bash
# readme.sh - every ```c block of README.md is a whole program that compiles
# without a warning and runs to a successful end in an empty directory; so does the
# first one with the command that README.md gives.
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
# Where codecs are left out, their libraries need not be named.
command=$(sed -n 's/^    cc \(.*program\.c .*\)$/\1/p' "$root/README.md")
if [ $count -gt 0 ] && [ -z "${RILL_BUILD:-}" -o "$build" = "$root/build" ]; then
    [ -n "$command" ] || { echo "readme: no command to compile the program with" >&2; exit 1; }
    for codec in lz4 zstd; do
        case ${RILL_LIBS:-$codec} in *$codec*) ;; *) command=${command/ -l$codec/} ;; esac
    done
    (cd "$root" && cp "$dir/01.c" "$dir/program.c" &&
        eval "${CC:-gcc} -o '$dir/program' ${command/program.c/$dir/program.c}") ||
        { echo "readme: \"cc $command\" does not build the program" >&2; exit 1; }
fi
[ $count -gt 0 ] || { echo "readme: README.md has no C block"; exit 77; }
echo "readme: $count blocks compile and run"
