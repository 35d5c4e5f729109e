#!/bin/bash
# install.sh - an installed rill serves a program through pkg-config, shared and static.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-install.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cc=${CC:-gcc}

make -s install CC="$cc" PREFIX="$dir/usr"
export PKG_CONFIG_PATH=$dir/usr/lib/pkgconfig
flags=$(pkg-config --cflags rill)
mkdir "$dir/shared.run" "$dir/static.run"

# shellcheck disable=SC2046,SC2086
$cc $flags -o "$dir/shared" examples/produce.c $(pkg-config --libs rill)
(cd "$dir/shared.run" && LD_LIBRARY_PATH=$dir/usr/lib "$dir/shared" </dev/null)
readelf -d "$dir/shared" | grep -q 'NEEDED.*librill\.so\.[0-9.]*\]'

libs=$(pkg-config --static --libs rill)
# shellcheck disable=SC2086
$cc $flags -o "$dir/static" examples/produce.c ${libs/-lrill/-Wl,-Bstatic -lrill -Wl,-Bdynamic}
(cd "$dir/static.run" && "$dir/static" </dev/null)
if readelf -d "$dir/static" | grep -q 'NEEDED.*librill'; then
    echo "install: the static program needs librill.so" >&2
    exit 1
fi

make -s install CC="$cc" PREFIX=/usr DESTDIR="$dir/stage"
[ -e "$dir/stage/usr/include/rill.h" ]
if grep -r "$dir" "$dir/stage/usr/lib/pkgconfig" "$dir/stage/usr/lib/cmake"; then
    echo "install: DESTDIR got into an installed file" >&2
    exit 1
fi
make -s uninstall CC="$cc" PREFIX=/usr DESTDIR="$dir/stage"
left=$(find "$dir/stage" ! -type d)
[ -z "$left" ] || { echo "install: uninstall leaves $left" >&2; exit 1; }
