#!/bin/bash
# deps.sh - makes sure that the tools and libraries to build and test are here.
# usage: tests/deps.sh [ci|bench]
#
# Says nothing when all is there. What is missing is installed with apt. The
# libraries of the codecs are wished for, unless WITHOUT names them: where they
# cannot be had, rill is built without. So are, for the benchmark, the systems that
# rill is compared with; Debian starts the servers among them when it installs them,
# but the benchmark runs its own.
set -euo pipefail
need=()
wish=()

want_tool() { command -v "$1" >/dev/null || need+=("$2"); }
has_header() { # without a compiler there is nothing to ask
    command -v gcc >/dev/null && echo "#include <$1>" |
        gcc -fsyntax-only -x c -include stdarg.h -include stddef.h -include stdint.h \
            -include setjmp.h - 2>/dev/null
}
has_package() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
want_header() { has_header "$1" || need+=("$2"); } # header, package
want_package() { has_package "$1" || need+=("$1"); }
without() { [[ " ${WITHOUT:-} " == *" $1 "* ]]; }

want_tool gcc gcc
want_tool make make
want_tool pkg-config pkg-config
[ -e /usr/include/stdio.h ] || need+=(libc6-dev)
want_header lmdb.h liblmdb-dev
want_header xxhash.h libxxhash-dev
want_header cmocka.h libcmocka-dev
for codec in lz4 zstd; do
    without $codec || has_header $codec.h || wish+=("lib$codec-dev")
done

arm64=
if [ "${1:-}" = ci ]; then
    want_tool g++ g++
    want_tool clang clang
    want_tool clang-format clang-format
    want_tool valgrind valgrind
    want_tool cmake cmake
    want_tool python3 python3
    want_tool groff groff
    want_tool zsh zsh
    want_tool aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
    want_tool qemu-aarch64 qemu-user
    want_header sys/sdt.h systemtap-sdt-dev
    if command -v dpkg-query >/dev/null; then
        want_package libc6-dev-arm64-cross
        for package in libfuse3-dev xfsprogs btrfs-progs; do want_package "$package"; done
        for package in liblmdb-dev libxxhash-dev libcmocka-dev; do want_package "$package:arm64"; done
        for package in liblz4-dev libzstd-dev; do
            has_package "$package:arm64" || wish+=("$package:arm64")
        done
        arm64=1
    fi
fi
if [ "${1:-}" = bench ]; then
    want_tool python3 python3
    for package in libsqlite3-dev librocksdb-dev libhiredis-dev redis-server libnats-dev \
        nats-server libzmq3-dev libnng-dev; do
        has_package "$package" || wish+=("$package")
    done
fi
# clang's sanitizers come in a package of their own, named after its version.
if [ "${1:-}" = ci ] && command -v clang >/dev/null; then
    runtime=$(clang -print-file-name=libclang_rt.tsan-x86_64.a)
    major=$(clang -dumpversion | cut -d. -f1)
    [ -e "$runtime" ] || [ "$(uname -m)" != x86_64 ] || need+=("libclang-rt-$major-dev")
fi
[ $((${#need[@]} + ${#wish[@]})) -gt 0 ] || exit 0

do_without() { echo "deps: building without what is in ${wish[*]}"; exit 0; }
[ ${#need[@]} -gt 0 ] || command -v apt-get >/dev/null || do_without
if ! command -v apt-get >/dev/null; then
    echo "deps: missing: ${need[*]}" >&2
    echo "deps: there is no apt here; install what these Debian packages hold, then try again" >&2
    exit 1
fi
root=()
if [ "$(id -u)" != 0 ]; then
    [ ${#need[@]} -gt 0 ] || sudo -n true 2>/dev/null || do_without
    command -v sudo >/dev/null || {
        echo "deps: missing, and neither root nor sudo to install them: ${need[*]}" >&2
        exit 1
    }
    root=(sudo)
fi
apt() { ${root[@]+"${root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@" </dev/null; }

echo "deps: installing" ${need[@]+"${need[@]}"} ${wish[@]+"${wish[@]}"}
fresh=
if [ -n "$arm64" ] && [ "$(dpkg --print-architecture)" != arm64 ] &&
    ! dpkg --print-foreign-architectures | grep -qx arm64; then
    ${root[@]+"${root[@]}"} dpkg --add-architecture arm64
    apt update
    fresh=1
fi
# Old lists name files that are gone from the archive: one more try with new ones.
install() {
    apt install --no-install-recommends "$@" && return
    [ -z "$fresh" ] || return 1
    fresh=1
    apt update && apt install --no-install-recommends "$@"
}
[ ${#need[@]} = 0 ] || install "${need[@]}"
refused=()
for package in ${wish[@]+"${wish[@]}"}; do
    install "$package" || refused+=("$package")
done
wish=(${refused[@]+"${refused[@]}"})
[ ${#wish[@]} = 0 ] || do_without
