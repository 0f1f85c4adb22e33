#!/usr/bin/env bash
# What bash completes of the node's command lines: completion.sh PROGRAMS COMPLETION.
set -euo pipefail

programs=$1
completion=$2
place=$(mktemp -d)
daemon=
cleanup() {
  [[ -z $daemon ]] || { kill "$daemon" && wait "$daemon" || true; }
  rm -rf -- "$place"
}
trap cleanup EXIT

# complete_line WORD...: what there is for the last word, a line each; asked of a bash of its own, as users have it.
complete_line() {
  bash -c '
    source "$1"; shift
    cd "$1"; shift
    function_of=$(complete -p "$(basename "$1")" | sed "s/.*-F \([^ ]*\).*/\1/")
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    "$function_of" "$1"
    ((${#COMPREPLY[@]} == 0)) || printf "%s\n" "${COMPREPLY[@]}"
  ' bash "$completion" "$place" "$@"
}
failures=0
# expect TEXT WORD...: the last word is completed to these lines.
expect() {
  local expected=$1 found
  shift
  found=$(complete_line "$@")
  [[ $found == "$expected" ]] && return
  printf 'completing: %s\n  expected: %s\n     found: %s\n' "${*@Q}" "${expected@Q}" "${found@Q}" >&2
  failures=$((failures + 1))
}

touch "$place/node.yaml" "$place/nothing"
mkdir "$place/directory"
for program in daemon manager spawner client; do
  [[ -x $programs/snow-fox-$program ]]
  # All that it has: the completion asks the program itself.
  found=$(complete_line "$programs/snow-fox-$program" --)
  for option in $("$programs/snow-fox-$program" --help | grep -oE '^  [^ ]+' | tr , '\n' | grep -oE -- '--[a-z-]+'); do
    [[ $'\n'$found$'\n' == *$'\n'$option$'\n'* ]] || { echo "$program: $option is not completed" >&2; failures=1; }
  done
done
expect $'--daemonise\n--daemonize' "$programs/snow-fox-daemon" --daem
expect 'node.yaml' "$programs/snow-fox-daemon" --config node
expect 'node.yaml' "$programs/snow-fox-daemon" --config = node
expect 'directory' "$programs/snow-fox-daemon" --run-dir ''
expect 'root' "$programs/snow-fox-daemon" --user roo
expect 'critical' "$programs/snow-fox-manager" --log-level c
expect $'text\njson' "$programs/snow-fox-spawner" --log-format =
expect '' "$programs/snow-fox-daemon" --start-timeout ''
expect 'node.reload()' "$programs/snow-fox-client" --eval '"node.r'
expect 'node.status(); service.list()' "$programs/snow-fox-client" --eval '"node.status(); service.l'
# Nobody is there to ask: nothing, and at once.
expect '' "$programs/snow-fox-client" --socket "$place/nobody" --eval "\"service.start('"

cat >"$place/node.yaml" <<'END'
services:
- {id: web, command: a, autostart: false}
- {id: web-2, command: a, autostart: false}
- {id: mail, command: a, autostart: false}
END
"$programs/snow-fox-daemon" --run-dir "$place/run" --config "$place/node.yaml" 2>"$place/log" </dev/null &
daemon=$!
socket=$place/run/public.sock
for _ in {1..400}; do
  ! "$programs/snow-fox-client" --socket "$socket" --timeout 1s --eval 'node.status()' >/dev/null 2>&1 || break
  sleep 0.05
done
expect $'service.start(\'web\')\nservice.start(\'web-2\')' \
  "$programs/snow-fox-client" --socket "$socket" --eval "\"service.start('w"
expect 'service.stop("mail")' "$programs/snow-fox-client" --socket = "$socket" --eval "'service.stop(\"m"
exit "$failures"
