# bash completion for the programs of a SnowFox node. The options are those that each program's --help tells of.

# _snow_fox_matching WORD...: of these, those that begin as what is being typed.
_snow_fox_matching() {
  mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
}

_snow_fox_options() {
  _snow_fox_matching "$("$1" --help 2>/dev/null </dev/null | sed -n 's/^  \(-[^ ]*\).*/\1/p' | tr , ' ')"
}

# _snow_fox_files ACTION: -f, files, or -d, directories alone.
_snow_fox_files() {
  mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
  compopt -o filenames 2>/dev/null || true
}

# The option whose value is being typed, in $previous, and that value, in $cur; `--option=value` comes as three words.
_snow_fox_words() {
  cur=${COMP_WORDS[COMP_CWORD]}
  previous=${COMP_WORDS[COMP_CWORD - 1]}
  if [[ $cur == '=' ]]; then
    cur=
  elif [[ $previous == '=' ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
}

# _snow_fox_value: the value of an option that several programs have; fails if it is none of them.
_snow_fox_value() {
  case $previous in
    --config | --file | --pid-file | --socket) _snow_fox_files -f ;;
    --run-dir) _snow_fox_files -d ;;
    --user) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
    --group) mapfile -t COMPREPLY < <(compgen -g -- "$cur") ;;
    --log-level) _snow_fox_matching debug info warning error critical off ;;
    --log-format) _snow_fox_matching text json ;;
    --color | --colour) _snow_fox_matching auto always never ;;
    --*-timeout | --timeout | --trace | --memory) ;; # anybody's guess
    *) return 1 ;;
  esac
}

# _snow_fox_services CLIENT: the ids of the node's services, if it tells them at once.
_snow_fox_services() {
  local i socket=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    if [[ ${COMP_WORDS[i]} == --socket ]]; then
      [[ ${COMP_WORDS[i + 1]} != '=' ]] || ((++i))
      socket=(--socket "${COMP_WORDS[i + 1]}")
    fi
  done
  "$1" "${socket[@]}" --timeout 300ms --json --eval 'service.list()' 2>/dev/null </dev/null |
    grep -o '"id": *"[^"]*"' | sed 's/.*"\([^"]*\)"$/\1/'
}

# _snow_fox_code CLIENT: what --eval is given: a call, and its service. What is typed begins with a quote that is not yet
# closed, for a call has signs that mean something to the shell.
_snow_fox_code() {
  local quote='' id inner=\' code begun
  if [[ $cur == [\"\']* ]]; then
    quote=${cur:0:1}
    cur=${cur:1}
  fi
  [[ $quote != \' ]] || inner=\"
  # Only the last of several calls is being typed.
  begun=${cur%"${cur##*[; ]}"}
  code=${cur#"$begun"}
  COMPREPLY=()
  if [[ $code =~ ^(service\.(start|stop|restart|status|watch|unwatch)\()[\"\']?([^\"\']*)$ ]]; then
    local call=${BASH_REMATCH[1]} prefix=${BASH_REMATCH[3]}
    while read -r id; do
      [[ $id != "$prefix"* ]] || COMPREPLY+=("$begun$call$inner$id$inner)")
    done < <(_snow_fox_services "$1")
    return
  fi
  cur=$code
  _snow_fox_matching 'node.status()' 'node.status(true)' 'node.reload()' 'node.shutdown()' 'service.list()' \
    'service.start(' 'service.stop(' 'service.restart(' 'service.status(' 'service.watch(' 'service.unwatch(' \
    'client.version()' 'client.exit()'
  COMPREPLY=("${COMPREPLY[@]/#/$begun}")
  [[ ${COMPREPLY[0]-} != *'(' ]] || compopt -o nospace 2>/dev/null || true
}

_snow_fox_client() {
  local cur previous
  COMPREPLY=()
  _snow_fox_words
  if [[ $previous == --eval ]]; then
    _snow_fox_code "$1"
  else
    _snow_fox_value || _snow_fox_options "$1"
  fi
}

# Of the daemon, the manager and the spawner.
_snow_fox_part() {
  local cur previous
  COMPREPLY=()
  _snow_fox_words
  _snow_fox_value || _snow_fox_options "$1"
}

complete -F _snow_fox_client snow-fox-client
complete -F _snow_fox_part snow-fox-daemon snow-fox-manager snow-fox-spawner
