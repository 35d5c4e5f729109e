#!/bin/bash
# probes.sh - the probes that base/probe.h names are in the shared library.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${RILL_BUILD:-build}
if ! echo '#include <sys/sdt.h>' | ${CC:-gcc} -fsyntax-only -x c - 2>/dev/null; then
    echo "sys/sdt.h is not installed (Debian: systemtap-sdt-dev)"
    exit 77
fi
there=$(readelf -n "$build/librill.so" | awk '$1 == "Provider:" && $2 == "rill" { getline; print $2 }' | sort -u)
named=$(sed -n 's/^ \*     \([a-z]*\)  *[a-z].*/\1/p' lib/base/probe.h | grep -v -x -e probe -e bpftrace -e perf | sort -u)
if [ "$there" != "$named" ] || [ -z "$there" ]; then
    echo "probes: base/probe.h names: $(echo $named); librill.so has: $(echo $there)" >&2
    exit 1
fi
