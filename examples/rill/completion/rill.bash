# Completion of rill for bash: commands, options, and what is in the store.
# rill itself knows the candidates: rill __complete WORD... LAST prints them.

_rill()
{
    local line=${COMP_LINE:0:COMP_POINT} current=${COMP_WORDS[COMP_CWORD]}
    local -a words=()
    local last before candidate

    # bash has cut words at = and :, rill wants them whole.
    read -ra words <<<"$line"
    [[ $line != *[[:blank:]] ]] || words+=('')
    words=("${words[@]/#\~\//$HOME/}")
    last=${words[${#words[@]} - 1]}
    [[ $current != [=:] ]] || current=
    [[ $COMP_POINT = "${#COMP_LINE}" ]] || current=${last##*[=:]}
    before=${last%"$current"}

    COMPREPLY=()
    while IFS= read -r candidate; do
        case $candidate in
            :files)
                compopt -o filenames 2>/dev/null || :
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current")
                ;;
            :dirs)
                compopt -o filenames 2>/dev/null || :
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$current")
                ;;
            *)
                candidate=${candidate%%$'\t'*}
                COMPREPLY+=("${candidate#"$before"}")
                ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null || :
}
complete -F _rill rill
