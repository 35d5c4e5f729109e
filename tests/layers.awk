# layers.awk - checks every #include under lib/ against lib/LAYERS.
# usage: awk -f tests/layers.awk lib/LAYERS lib/*/*.[ch]
function complain(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; bad = 1 }
BEGIN {
    split("assert.h errno.h float.h inttypes.h limits.h stdalign.h stdarg.h " \
          "stdatomic.h stdbool.h stddef.h stdint.h string.h rill.h", iso, " ")
    for (i in iso) pure[iso[i]] = 1
}
FILENAME == ARGV[1] {                                  # the table
    sub(/#.*/, ""); if ($0 !~ /:/) next
    split($0, col, ":"); gsub(/ /, "", col[1])
    name = col[1]; if (sub(/!$/, "", name)) open[name] = 1
    if (name in known) complain("layer " name " stands twice")
    n = split(col[2], w, " "); for (i = 1; i <= n; i++) {
        if (!(w[i] in known)) complain("layer " name " reaches up to " w[i])
        may[name, w[i]] = 1
    }
    known[name] = 1
    n = split(col[3], w, " "); for (i = 1; i <= n; i++) sys[name, w[i]] = 1
    next
}
FNR == 1 {
    n = split(FILENAME, part, "/"); here = part[n - 1]
    if (!(here in known)) complain("folder " here " is not in " ARGV[1])
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, q, "\""); inc = q[2]
    if (split(inc, p, "/") != 2 || p[1] ~ /^\./) {
        complain("write \"folder/file.h\": " inc); next
    }
    to = p[1]
    if (to == here) next
    if (!((here, to) in may)) complain(here " may not reach " to ": " inc)
    else if (!(to in open) && p[2] != to ".h") complain(to " keeps " p[2] " private")
    next
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    h = $0; sub(/^[^<]*</, "", h); sub(/>.*/, "", h)
    if (h in pure || (here, h) in sys || (here, "*") in sys) next
    complain(here " may not use <" h ">")
    next
}
/^[ \t]*#[ \t]*include/ { complain("an include by macro cannot be checked") }
END { exit bad }
