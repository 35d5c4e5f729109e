#!/bin/bash
# cmake.sh - find_package(rill) finds an installed rill, shared and static.
set -euo pipefail
command -v cmake >/dev/null || { echo "cmake is not installed"; exit 77; }
cd "$(dirname "$0")/../.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-cmake.XXXXXX")
trap 'rm -rf "$dir"' EXIT

make -s install CC="${CC:-gcc}" PREFIX="$dir/usr"
mkdir "$dir/source"
cp examples/produce.c "$dir/source/"
version=$(PKG_CONFIG_PATH=$dir/usr/lib/pkgconfig pkg-config --modversion rill)
cat >"$dir/source/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.10)
project(host C)
find_package(rill $version REQUIRED CONFIG)
foreach(kind rill static)
  add_executable(with_\${kind} produce.c)
  target_link_libraries(with_\${kind} PRIVATE rill::\${kind})
endforeach()
EOF
cmake -S "$dir/source" -B "$dir/build" -DCMAKE_PREFIX_PATH="$dir/usr" -DCMAKE_C_COMPILER="${CC:-gcc}"
cmake --build "$dir/build"
for kind in rill static; do
    mkdir "$dir/$kind.run"
    (cd "$dir/$kind.run" && "$dir/build/with_$kind" </dev/null)
done

# A version that this one cannot stand for is refused.
sed -i 's/find_package(rill [^ ]*/find_package(rill 99.0/' "$dir/source/CMakeLists.txt"
if cmake -S "$dir/source" -B "$dir/refused" -DCMAKE_PREFIX_PATH="$dir/usr" >/dev/null 2>&1; then
    echo "cmake: version 99.0 was found" >&2
    exit 1
fi
