# self.awk - adds up the instructions that callgrind saw in one object, called code not
# included: what libc and libxxhash do depends on the processor, what rill does not.
# usage: awk -v object=PATH -f self.awk callgrind.out
#
# Names are written out once, as "(id) name", and then are "(id)". The line behind a
# "calls=" is what the called function cost in all.

function id_of(text, id, path) {
    id = text
    sub(/\).*/, ")", id)
    path = substr(text, length(id) + 2)
    if (path != "") own[id] = path == object
    return id
}

/^ob=/ { current = id_of(substr($0, 4)); next }
/^cob=/ { id_of(substr($0, 5)); next }
/^calls=/ { called = 1; next }
/^[0-9+*-]/ {
    if (!called && own[current]) total += $2
    called = 0
}
END { print total + 0 }
