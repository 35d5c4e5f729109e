#!/bin/bash
# completion.sh - shells offer what rill knows: commands, options, topics and groups.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
tool=$(realpath "${RILL:-${RILL_BUILD:-$root/build}/examples/rill}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-completion.XXXXXX")
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/bin"
ln -s "$tool" "$dir/bin/rill"
PATH=$dir/bin:$PATH
export RILL_STORE=$dir/store
cd "$dir"
rill topic create orders clicks
seq 10 | rill produce orders
rill consume orders --group=billing >/dev/null

# shellcheck source=/dev/null
. "$root/examples/rill/completion/rill.bash"
complete -p rill | grep -q -- '-F _rill'

# offers LINE WORD...: at the end of LINE just these are offered, in any order.
offers() {
    local line=$1 want got
    shift
    # Words as bash makes them: = and : stand alone.
    local spaced=${line//=/ = }
    read -ra COMP_WORDS <<<"$spaced"
    [[ $line != *[[:blank:]] ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
    _rill
    want=$(printf '%s\n' "$@" | sort)
    got=$(printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"} | sort)
    [ "$want" = "$got" ] || {
        printf 'completion.sh: "%s" offers %s, not %s\n' "$line" "$(echo $got)" "$(echo $want)" >&2
        exit 1
    }
}
offers 'rill prod' produce
offers 'rill to' top topic
offers 'rill topic desc' describe
offers 'rill -s store topic del' delete
offers 'rill topic describe ' clicks orders
offers 'rill topic describe orders c' clicks
offers 'rill topic describe or' orders
offers 'rill topic describe --js' --json
offers 'rill topic --j' ''
offers 'rill nonsense x' ''
offers 'rill consume --gro' --group=
offers 'rill consume --group=' billing
offers 'rill consume --group=b' billing
offers 'rill consume -g ' billing
offers 'rill consume -g billing or' orders
offers 'rill group reset billing --topic=c' clicks
offers 'rill group describe ' billing
offers 'rill produce --acks=' none written durable
offers 'rill produce --acks=d' durable
offers 'rill --color=al' always
offers 'rill help topic li' list
offers 'rill consume -- o' orders
mkdir sub
touch some-file sub/other
offers 'rill produce orders so' some-file
offers 'rill topic list --store=s' store sub
offers 'rill group reset billing --csv=sub/' sub/other
RILL_STORE=$dir/nowhere
offers 'rill topic describe ' ''
offers 'rill -s store topic describe or' orders
offers "rill topic describe --store=$dir/store or" orders
[ ! -e nowhere ] || { echo 'completion.sh: completing made a store' >&2; exit 1; }

command -v zsh >/dev/null || { echo 'zsh is not installed: only bash was tried'; exit 0; }
zsh -n "$root/examples/rill/completion/_rill"
# A shell of its own on a pseudo-terminal, whose keys are typed.
RILL_STORE=$dir/store
cat >try.zsh <<'END'
zmodload zsh/zpty
zpty shell 'PS1=; stty -echo; zsh -f -i'
expect() { # KEYS TEXT
    local got= part
    zpty -w -n shell "$1"
    for i in {1..100}; do
        while zpty -r -t shell part; do got+=$part; done
        [[ $got != *$2* ]] || break
        sleep 0.1
    done
    [[ $got = *$2* ]] || { print -r -- "completion.sh: zsh: $1: no $2 in ${(V)got}" >&2; exit 1 }
    zpty -w -n shell $'\C-u'
}
zpty -w shell "PS1= PS2= ZLE_RPROMPT_INDENT=0; unsetopt zle_bracketed_paste; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; bindkey -e; print re''ady"
expect '' ready
expect $'rill prod\t' 'produce'
expect $'rill topic describe or\t' 'orders'
expect $'rill consume --group=b\t' 'billing'
expect $'rill topic cre\t' 'create'
expect $'rill consume --fol\t' 'follow'
END
zsh -f try.zsh "$root/examples/rill/completion"
