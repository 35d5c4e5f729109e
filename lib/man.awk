# man.awk - a manual page for every function of rill.h, and the lists of rill(7).
# usage: awk -v out=DIR -v version=V -f lib/man.awk include/rill.h lib/rill.7.in
#
# Writes DIR/NAME.3 for every function, DIR/rill.7 from its template. A function's page
# has its comment, its prototype, and the types that these two name. A declaration that
# follows another one without an empty line shares its comment. A function without any
# comment is an error: what is not described is not public.
#
# In comments an empty line ends a paragraph; "Errors: ..." and the like are sections of
# the page; lines that are indented by four more blanks are code.

# The header first, then the template.
FILENAME != header && FNR == 1 { if (header == "") header = FILENAME; else in_template = 1 }
in_template { template[++template_count] = $0; next }

# ---- Reading the header -------------------------------------------------------------

/^\/\* ---- .* -+ \*\/$/ {
    section = $0
    sub(/^\/\* -+ /, "", section)
    sub(/ -+ \*\/$/, "", section)
    comment = ""
    next
}
/^\/\*/ && !in_type {
    comment = ""
    in_comment = 1
}
in_comment {
    line = $0
    ended = line ~ /\*\/[ \t]*$/
    sub(/^[ ]?\/?\*+ ?/, "", line)
    sub(/[ \t]*\*\/[ \t]*$/, "", line)
    comment = comment line "\n"
    if (ended) in_comment = 0
    next
}
# Errors are rows of a macro.
/^#define RILL_ERRORS/ { in_errors = 1; next }
in_errors && /^[ \t]*X\(RILL_/ {
    line = $0
    sub(/^[ \t]*X\(/, "", line)
    name = line
    sub(/,.*/, "", name)
    value = line
    sub(/^[^,]*, */, "", value)
    sub(/,.*/, "", value)
    text = line
    sub(/^[^"]*"/, "", text)
    sub(/".*/, "", text)
    error_names[++error_count] = name
    error_values[name] = value
    error_texts[name] = text
}
in_errors && !/\\$/ { in_errors = 0; comment = "" }
/^[ \t]*$/ && !in_type && !in_function { comment = last_type = "" }
# Flags stand right behind the options that they are for.
/^#define RILL_/ && last_type != "" { in_flag = 1 }
in_flag {
    type_texts[last_type] = type_texts[last_type] $0 "\n"
    in_flag = $0 ~ /\\$/
    next
}

# Types: structs, enums, and pointers to functions.
!in_type && /^(typedef (struct|int|void|int32_t)|enum) ?.*/ && !/^typedef struct [a-z_]+ [a-z_]+;/ {
    in_type = 1
    type_text = ""
}
in_type {
    type_text = type_text $0 "\n"
    depth += gsub(/\{/, "{") - gsub(/\}/, "}")
    if ($0 ~ /;[ \t]*(\/\*.*)?$/ && depth == 0) end_type()
    next
}

/^RILL_API/ { in_function = 1; function_text = "" }
in_function {
    function_text = function_text $0 "\n"
    if ($0 ~ /;[ \t]*$/) end_function()
}

function end_type(   name) {
    in_type = 0
    name = type_text
    if (match(name, /\(\*[a-z_]+\)/)) name = substr(name, RSTART + 2, RLENGTH - 3)
    else if (name ~ /^enum/) { sub(/^enum /, "", name); sub(/[ {;].*/, "", name) }
    else {
        gsub(/\/\*[^*]*\*\//, "", name)
        gsub(/\n/, " ", name)
        sub(/;[ ]*$/, "", name)
        sub(/.*[ }]/, "", name)
    }
    last_type = name
    types[++type_count] = name
    type_texts[name] = type_text
    type_comments[name] = comment
}

function end_function(   name, text) {
    in_function = 0
    name = function_text
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
    sub(/^RILL_API /, "", function_text)
    gsub(/\n         /, "\n", function_text) # aligned without it, too
    functions[++function_count] = name
    prototypes[name] = function_text
    since[name] = "0.1"
    text = comment
    if (match(text, /Since 0\.[0-9]+\./)) {
        since[name] = substr(text, RSTART + 6, RLENGTH - 7)
        text = substr(text, 1, RSTART - 1) substr(text, RSTART + RLENGTH)
        sub(/[ \n]+$/, "\n", text)
    }
    comments[name] = text
    sections[name] = section
    if (summary(text) == "") {
        print "man.awk: " header " does not say what " name " does" >"/dev/stderr"
        failed = 1
    }
}

# ---- Writing roff ---------------------------------------------------------------------

function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    gsub(/`/, "\\(ga", text)
    if (text ~ /^[.']/) text = "\\&" text
    gsub(/\n'/, "\n\\\\\\&'", text)
    return text
}

# Text with the names of functions in bold and followed by their section.
function linked(text,   result, name) {
    result = ""
    while (match(text, /rill_[a-z_]+/)) {
        name = substr(text, RSTART, RLENGTH)
        result = result roff_part(substr(text, 1, RSTART - 1))
        text = substr(text, RSTART + RLENGTH)
        if (name in prototypes) {
            sub(/^\(\)/, "", text)
            result = result "\\fB" name "\\fR(3)"
        } else result = result roff_part(name)
    }
    result = result roff_part(text)
    if (result ~ /^[.']/) result = "\\&" result
    return result
}
function roff_part(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    gsub(/`/, "\\(ga", text)
    return text
}

function put_code(text, file,   lines, count, i) {
    print ".nf" >file
    count = split(text, lines, "\n")
    while (count > 0 && lines[count] == "") count--
    for (i = 1; i <= count; i++) print roff(lines[i]) >file
    print ".fi" >file
}

# The paragraphs of a comment; labelled ones are kept for later in labels[].
function put_comment(text, file,   lines, count, i, line, label, code, fresh) {
    delete labels
    label = ""
    code = 0
    fresh = 0
    count = split(text, lines, "\n")
    for (i = 1; i <= count; i++) {
        line = lines[i]
        if (line ~ /^(Durable|Errors|Threads|Lifetime|Cost): /) {
            label = line
            sub(/:.*/, "", label)
            sub(/^[A-Za-z]+: +/, "", line)
            if (label in labels) labels[label] = labels[label] "\n"
            labels[label] = labels[label] line "\n"
            continue
        }
        if (label != "" && line != "") {
            sub(/^ +/, "", line)
            labels[label] = labels[label] line "\n"
            continue
        }
        label = ""
        if (code && line !~ /^    /) { print ".fi\n.RE" >file; code = 0; fresh = 1; if (line == "") continue }
        if (line == "") { fresh = 1; continue }
        if (!code && line ~ /^    / && fresh) { print ".PP\n.RS 4\n.nf" >file; code = 1 }
        if (code) { sub(/^    /, "", line); print roff(line) >file; continue }
        if (fresh) print ".PP" >file
        fresh = 0
        sub(/^ +/, "", line)
        print linked(line) >file
    }
    if (code) print ".fi\n.RE" >file
}

# The first sentence, for the line that apropos(1) shows.
function summary(text) {
    sub(/(^|\n)(Durable|Errors|Threads|Lifetime|Cost): .*/, "", text)
    gsub(/\n/, " ", text)
    gsub(/ +/, " ", text)
    sub(/^ /, "", text)
    if (match(text, /\. |\.$/)) text = substr(text, 1, RSTART - 1)
    gsub(/ \([^)]*\)/, "", text)
    if (length(text) > 100) {
        text = substr(text, 1, 100)
        sub(/[,:;] [^,:;]*$/, "", text)
    }
    if (text ~ /^[A-Z][a-z ]/) text = tolower(substr(text, 1, 1)) substr(text, 2)
    return text
}

function put_label(label, title, file) {
    if (!(label in labels)) return
    print ".SH " title >file
    print linked_lines(labels[label]) >file
}
function linked_lines(text,   lines, count, i, result) {
    count = split(text, lines, "\n")
    result = ""
    for (i = 1; i <= count; i++) {
        if (lines[i] == "" && i < count) result = result ".PP\n"
        else if (lines[i] != "") result = result linked(lines[i]) "\n"
    }
    sub(/\n$/, "", result)
    return result
}

# The types that text names, and those that these name, each once.
function put_types(text, file,   i, name, any, changed) {
    delete wanted
    for (i = 1; i <= type_count; i++)
        if (text ~ ("(^|[^a-z_])" types[i] "([^a-z_]|$)")) wanted[types[i]] = 1
    for (i = 1; i <= type_count; i++) # and those that these name
        if (types[i] in wanted) text = text type_texts[types[i]]
    for (i = 1; i <= type_count; i++)
        if (text ~ ("(^|[^a-z_])" types[i] "([^a-z_]|$)")) wanted[types[i]] = 1
    any = 0
    for (i = 1; i <= type_count; i++) {
        name = types[i]
        if (!(name in wanted)) continue
        if (!any) print ".SH TYPES" >file
        else print ".PP" >file
        any = 1
        put_code((type_comments[name] != "" ? as_comment(type_comments[name]) : "") type_texts[name], file)
    }
}
function as_comment(text,   lines, count, i, result) {
    count = split(text, lines, "\n")
    while (count > 0 && lines[count] == "") count--
    result = "/* " lines[1]
    for (i = 2; i <= count; i++) result = result "\n *" (lines[i] != "" ? " " lines[i] : "")
    return result " */\n"
}

function put_see_also(name, file,   i, text, other, count) {
    print ".SH SEE ALSO" >file
    text = ".BR rill (7)"
    for (i = 1; i <= function_count; i++) {
        other = functions[i]
        if (other == name) continue
        if (sections[other] == sections[name] ||
            comments[name] ~ ("(^|[^a-z_])" other "([^a-z_]|$)"))
            text = text ",\n.BR " other " (3)"
    }
    print text >file
}

function put_page(name,   file, first) {
    file = out "/" name ".3"
    print ".\\\" Made from rill.h." >file
    print ".TH " name " 3 \"\" \"rill " version "\" \"rill\"\n.nh\n.ad l" >file
    print ".SH NAME" >file
    print name " \\- " roff_part(summary(comments[name])) >file
    print ".SH SYNOPSIS\n.nf\n#include <rill.h>\n.PP" >file
    put_code(prototypes[name], file)
    print ".SH DESCRIPTION" >file
    put_comment(comments[name], file)
    if (prototypes[name] ~ /^int / && comments[name] !~ /^Whether/)
        print ".SH RETURN VALUE\n0 on success, else a negative RILL_ERR_*;\n" \
              "\\fBrill_errmsg\\fR(3) has the detail. See \\fBrill\\fR(7)." >file
    put_label("Durable", "DURABILITY", file)
    put_label("Errors", "ERRORS", file)
    put_label("Threads", "THREADS", file)
    put_label("Lifetime", "LIFETIME", file)
    put_label("Cost", "COST", file)
    print ".SH HISTORY\nSince " since[name] "." >file
    put_types(prototypes[name] comments[name], file)
    put_see_also(name, file)
    close(file)
}

function put_functions(file,   i, last) {
    for (i = 1; i <= function_count; i++) {
        if (sections[functions[i]] != last) print ".SS " sections[functions[i]] >file
        last = sections[functions[i]]
        print ".TP\n.BR " functions[i] " (3)" >file
        print roff_part(summary(comments[functions[i]])) >file
    }
}
function put_errors(file,   i) {
    for (i = 1; i <= error_count; i++) {
        print ".TP\n.BR " error_names[i] " (\\" error_values[error_names[i]] ")" >file
        print roff_part(error_texts[error_names[i]]) >file
    }
}

END {
    if (failed) exit 1
    for (i = 1; i <= function_count; i++) put_page(functions[i])
    file = out "/rill.7"
    for (i = 1; i <= template_count; i++) {
        line = template[i]
        if (line == "@functions@") put_functions(file)
        else if (line == "@errors@") put_errors(file)
        else {
            gsub(/@version@/, version, line)
            print line >file
        }
    }
    close(file)
}
