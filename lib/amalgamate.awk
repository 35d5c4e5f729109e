# amalgamate.awk - all of lib/ as one C file, to stand beside rill.h.
# usage: awk -v version=V -f lib/amalgamate.awk lib/base/error.c ... >rill.c
#
# Sources come in layer order. Each internal header is put where it is first
# included. In one file all names meet: two files that give the same name to a
# static, a type or an enum constant are refused, with both named. Macros of a
# .c file end with it.
function refuse(where, why)
{
    printf "%s: %s\n", where, why >"/dev/stderr"
    bad = 1
}
function claim(name, path)
{
    if (name in owner && owner[name] != path)
        refuse(path, "\"" name "\" is also a name in " owner[name] "; one of them must change")
    else
        owner[name] = path
}
function strip(line)
{
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    gsub(/\/\*[^*]*\*+([^\/*][^*]*\*+)*\//, " ", line)
    sub(/\/\*.*/, "", line)
    while (match(line, /__attribute__ *\(\([^()]*(\([^()]*\))?[^()]*\)\)/))
        line = substr(line, 1, RSTART - 1) " " substr(line, RSTART + RLENGTH)
    gsub(/_Atomic *\([^()]*\)|_Alignas *\([^()]*\)|alignas *\([^()]*\)/, "", line)
    return line
}
# The word at the end of text.
function last_word(text)
{
    sub(/[^A-Za-z0-9_]+$/, "", text)
    sub(/.*[^A-Za-z0-9_]/, "", text)
    return text
}
# Enum constants: the first word of each piece between commas.
function claim_constants(line, path,    piece, i, n, braces)
{
    gsub(/\([^()]*\)/, "", line)
    n = split(line, piece, ",")
    for (i = 1; i <= n; i++)
        if (match(piece[i], /^[ \t]*[A-Za-z_][A-Za-z0-9_]*[ \t]*(=|$)/)) {
            sub(/^[ \t]*/, "", piece[i])
            match(piece[i], /^[A-Za-z0-9_]+/)
            claim(substr(piece[i], 1, RLENGTH), path)
        }
}
function note_names(line, path,    head, tag, p)
{
    line = strip(line)
    if (in_enum) {
        p = index(line, "}")
        claim_constants(p ? substr(line, 1, p - 1) : line, path)
        if (p) in_enum = 0
        return
    }
    if (line ~ /^static_assert|^_Static_assert/) return
    if (line ~ /^static[ \t]/) {
        head = line
        if (match(head, /\(\*[ \t]*(const[ \t]+)?[A-Za-z_0-9]+/)) head = substr(head, 1, RSTART + RLENGTH - 1)
        else sub(/[(=;\[].*/, "", head)
        claim(last_word(head), path)
    } else if (line ~ /^typedef[ \t].*;/) {
        head = line
        if (match(head, /\(\*[ \t]*[A-Za-z_0-9]+/)) head = substr(head, 1, RSTART + RLENGTH - 1)
        claim(last_word(head), path)
    }
    if (match(line, /^(typedef |static )?(const )?(struct|union|enum) +[A-Za-z_0-9]+ *\{/)) {
        tag = substr(line, RSTART, RLENGTH)
        claim(last_word(tag), path)
    }
    if (match(line, /^(typedef )?enum[ A-Za-z_0-9]*\{/)) {
        head = substr(line, RSTART + RLENGTH)
        p = index(head, "}")
        claim_constants(p ? substr(head, 1, p - 1) : head, path)
        if (!p) in_enum = 1
    }
}
# The parameters after path are locals.
function emit(path,    line, is_header, depth, q, inc, macros, name, i, list, n, status, opened)
{
    is_header = path ~ /\.h$/
    printf "\n/* ---- %s %s */\n", path, substr("------------------------------------------------------------", 1, 66 - length(path))
    while ((status = (getline line < path)) > 0) {
        opened = 1
        if (line ~ /^[ \t]*#[ \t]*if/) depth++
        if (line ~ /^[ \t]*#[ \t]*endif/) depth--
        if (line ~ /^[ \t]*#[ \t]*include[ \t]*["<]/) {
            split(line, q, /["<>]/)
            inc = q[2]
            if (inc == "rill.h") {
                if (!public++) print "#include \"rill.h\""
                continue
            }
            if (line ~ /"/) {
                # Inlined under a condition, it would be missing elsewhere.
                if (depth > is_header) refuse(path, "#include \"" inc "\" stands under an #if")
                if (!(inc in seen)) {
                    seen[inc] = 1
                    emit("lib/" inc)
                    printf "\n/* ---- %s, continued */\n", path
                }
                continue
            }
        }
        if (match(line, /^[ \t]*#[ \t]*define[ \t]+[A-Za-z_][A-Za-z0-9_]*/)) {
            name = last_word(substr(line, 1, RLENGTH))
            if (is_header) claim(name, path)
            else macros = macros " " name
        } else note_names(line, path)
        print line
    }
    if (status < 0) refuse(path, "cannot be read")
    close(path)
    n = split(macros, list, " ")
    for (i = 1; i <= n; i++) print "#undef " list[i]
}
BEGIN {
    print "/*"
    print " * rill.c - rill " version " in one file; rill.h belongs beside it."
    print " *"
    print " * Made from the sources by `make amalgamation`: change those, not this."
    print " * Build it with: cc -std=c11 -O2 -c rill.c   and link -llmdb -lxxhash -lpthread"
    print " * With compression: -DRILL_HAVE_LZ4 and -llz4, -DRILL_HAVE_ZSTD and -lzstd."
    print " */"
    print "#ifndef _GNU_SOURCE"
    print "#define _GNU_SOURCE"
    print "#endif"
    # Inlined headers are part of the main file, where clang expects every function used.
    print "#ifdef __clang__"
    print "#pragma clang diagnostic ignored \"-Wunused-function\""
    print "#endif"
    for (i = 1; i < ARGC; i++) emit(ARGV[i])
    exit bad
}
