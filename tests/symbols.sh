#!/bin/bash
# symbols.sh - what the library defines, exports and calls.
#
# Globals begin with rill_, because a static library shares one namespace with
# its host (but for the weak, hidden one that all probes of a program share). The shared library exports exactly what rill.h declares. Only os/
# calls the operating system, and nothing prints or ends the host.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${RILL_BUILD:-build} nm=${NM:-nm} cc=${CC:-gcc}
bad=0
complain() { echo "symbols: $*" >&2; bad=1; }

while read -r name; do
    complain "global $name does not begin with rill_"
done < <("$nm" -g --defined-only -P "$build/librill.a" | awk 'NF > 1 && $1 !~ /^rill_/ && $1 != "_.stapsdt.base" { print $1 }')

exported=$("$nm" -D --defined-only -P "$build/librill.so" | awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' | sort -u)
declared=$($cc -E -P -DRILL_API=RILL_MARK -x c include/rill.h | tr '\n;' ' \n' |
    sed -n 's/^.*RILL_MARK[^(]*\(rill_[a-z0-9_]*\) *(.*$/\1/p' | sort -u)
for name in $(comm -23 <(echo "$exported") <(echo "$declared")); do
    complain "librill.so exports $name, which rill.h does not declare"
done
for name in $(comm -13 <(echo "$exported") <(echo "$declared")); do
    complain "rill.h declares $name, which librill.so does not export"
done

# libc's functions on memory the caller holds: no I/O, clock, chance, heap, threads.
harmless='mem(cpy|move|set|cmp|chr|rchr|mem)|bcmp|str(n?len|n?cmp|chr|rchr|str|n?cpy|spn|cspn|pbrk)'
harmless+='|strto(l|ul|ll|ull|imax|umax)|__isoc[0-9]+_strto(l|ul|ll|ull|imax|umax)|v?snprintf|qsort|bsearch'
harmless+='|strerror_r|strerror(desc|name)_np|__errno_location|__stack_chk_fail|__tls_get_addr|_GLOBAL_OFFSET_TABLE_|__popcount[sd]i2|__(atomic|aarch64)_.*'
unkind='abort|_?exit|_Exit|quick_exit|atexit|__assert_fail|signal|sigaction|v?f?printf|f?puts|f?putc|putchar|perror|setenv|setlocale'

for folder in "$build"/obj/lib/*/; do
    folder=$(basename "$folder")
    [ -d "lib/$folder" ] || continue
    allowed="$harmless|rill_.*"
    case $folder in
        base) allowed+='|malloc|realloc|free|XXH.*|LZ4.*|ZSTD.*' ;;
        meta) allowed+='|mdb_.*' ;;
    esac
    for source in lib/"$folder"/*.c; do
        object="$build/obj/${source%.c}.o"
        [ -e "$object" ] || continue
        # The checked variant of a function counts as the function.
        used=$("$nm" -u -P "$object" | sed -n 's/^\([^ ]*\) .*/\1/; s/^__\(.*\)_chk$/\1/; p' | sort -u)
        for name in $used; do
            if [ "$folder" = os ]; then
                [[ $name =~ ^($unkind)$ ]] && complain "$source uses $name: a guest does not"
            elif ! [[ $name =~ ^($allowed)$ ]]; then
                complain "$source uses $name, which goes round os/"
            fi
        done
    done
done
exit $bad
