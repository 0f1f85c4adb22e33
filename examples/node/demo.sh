#!/usr/bin/env bash
# Shows a SnowFox node at work, from its start to its end: demo.sh DIRECTORY, where the programs are.
set -uo pipefail

programs=${1:?usage: demo.sh DIRECTORY-OF-THE-PROGRAMS}
for program in snow-fox-daemon snow-fox-spawner snow-fox-manager snow-fox-client; do
  [[ -x $programs/$program ]] || { echo "demo: no $program in $programs; try ./dev build" >&2; exit 1; }
done
programs=$(cd -- "$programs" && pwd)

place=$(mktemp -d "${TMPDIR:-/tmp}/snow-fox-demo-XXXXXX")
run=$place/run
socket=$run/public.sock
configuration=$place/node.yaml
log=$place/node.log
daemon=
others=

cleanup() {
  [[ -z $others ]] || kill "$others" 2>/dev/null
  if [[ -n $daemon ]] && kill -0 "$daemon" 2>/dev/null; then
    kill -TERM "$daemon"
    # The daemon itself ends within its shutdown time, killing what does not.
    wait "$daemon" 2>/dev/null
  fi
  rm -rf -- "$place"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

fail() {
  printf '\ndemo: %s\n' "$*" >&2
  if [[ -s $log ]]; then
    echo '--- the log of the node:' >&2
    cat -- "$log" >&2
  fi
  echo 'demo: failed' >&2
  exit 1
}

title() { printf '\n== %s\n' "$*"; }

# client ARGUMENT...: shows the command and what it prints, which is left in $answer and $complaint; the exit code in $code.
client() {
  local shown=() argument
  for argument in "$@"; do
    if [[ $argument == *\'* ]]; then
      argument="\"$argument\""
    elif [[ $argument == *[[:space:]\(\;]* ]]; then
      argument="'$argument'"
    fi
    shown+=("$argument")
  done
  echo "\$ snow-fox-client ${shown[*]}"
  answer=$("$programs/snow-fox-client" --socket "$socket" "$@" 2>"$place/complaint" </dev/null)
  code=$?
  complaint=$(<"$place/complaint")
  [[ -z $answer ]] || printf '%s\n' "$answer"
  [[ -z $complaint ]] || printf '%s\n' "$complaint"
}

# expect CODE TEXT WHERE: what the last client did must have this exit code, and TEXT must stand in WHERE.
expect() {
  [[ $code == "$1" ]] || fail "expected the exit code $1, it was $code"
  [[ $3 == *"$2"* ]] || fail "expected '$2' there"
}

# within SECONDS COMMAND...: looks every 20 ms whether COMMAND holds, until the time is over.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.02
  done
}
answers() { "$programs/snow-fox-client" --socket "$socket" --timeout 1s --eval 'node.status()' >/dev/null 2>&1; }
ready_or_dead() { answers || ! kill -0 "$daemon" 2>/dev/null; }

# children: the pids of the daemon's children, from /proc alone.
children() {
  local stat line
  for stat in /proc/[0-9]*/stat; do
    { line=$(<"$stat"); } 2>/dev/null || continue
    # pid (name) state parent ...
    set -- ${line##*) }
    [[ $2 == "$daemon" ]] && echo "${stat//[!0-9]/}"
  done
}

write_configuration() { printf '%s\n' "$@" >"$configuration"; }
good() { write_configuration 'node:' '  name: demo' 'api:' "  max_clients: $1"; }

title 'A node comes up'
good 100
sed 's/^/    /' "$configuration"
echo "\$ snow-fox-daemon --run-dir $run --config $configuration &"
"$programs/snow-fox-daemon" --run-dir "$run" --config "$configuration" 2>"$log" </dev/null &
daemon=$!
within 30 ready_or_dead && answers || fail 'the node does not come up'
client --eval 'node.status(true)'
expect 0 'Green: as desired' "$answer"
mapfile -t parts < <(children)
((${#parts[@]} == 2)) || fail "expected two children of the daemon, there are ${#parts[@]}"

title 'The same for programs'
client --json --eval 'node.status(true)'
expect 0 '"colour":"Green"' "$answer"

title '10,000 requests at once, every second one answered later than those after it'
cat >"$place/many.lua" <<'END'
local answered, failed, latest, disordered = 0, 0, 0, 0
local requests = tonumber(os.getenv("REQUESTS") or 10000)
for i = 1, requests do
  node.status(i % 2 == 1):on(function(status, failure)
    if failure then failed = failed + 1 else answered = answered + 1 end
    if i < latest then disordered = disordered + 1 end
    latest = math.max(latest, i)
    if answered + failed == requests then
      print(requests .. " requests at once: " .. answered .. " answered, " .. failed .. " failed, " .. disordered ..
            " out of order")
    end
  end)
end
END
cat "$place/many.lua"
client --file "$place/many.lua"
expect 0 '10000 requests at once: 10000 answered, 0 failed' "$answer"
[[ $answer != *' 0 out of order'* ]] || fail 'expected answers out of order'

title 'A good configuration is reloaded'
good 200
client --eval 'node.reload()'
expect 0 'reloaded' "$answer"
client --eval 'node.status()'
expect 0 'Green' "$answer"

title 'A bad one is refused, the one before goes on'
write_configuration 'node:' '  name: demo' 'api:' '  max_clients: many'
sed 's/^/    /' "$configuration"
client --eval 'node.reload()'
expect 1 'node.yaml:4:16: api.max_clients' "$complaint"
client --eval 'node.status()'
expect 0 'Yellow' "$answer"
good 200
client --eval 'node.reload(); node.status()'
expect 0 'Green' "$answer"

title 'One who sends nonsense is disconnected, others notice nothing'
write_configuration 'node:' '  name: demo' 'api:' '  listen: [tcp:127.0.0.1:0]'
client --eval 'node.reload()'
expect 0 'reloaded' "$answer"
client --json --eval 'node.status(true)'
[[ $answer =~ tcp:127\.0\.0\.1:([0-9]+) ]] || fail 'expected an address with a port'
port=${BASH_REMATCH[1]}
REQUESTS=20000 "$programs/snow-fox-client" --socket "$socket" --file "$place/many.lua" >"$place/others" 2>&1 &
others=$!
for _ in 1 2 3 4 5; do
  if exec 5<>"/dev/tcp/127.0.0.1/$port"; then
    # As a length, the first four bytes are too large in any case.
    { printf '\xff\xff\xff\xff'; head -c 100000 /dev/urandom; } >&5 2>/dev/null
    # This ends when the node has closed the connection.
    timeout 10 cat <&5 >/dev/null 2>&1
    (($? != 124)) || fail 'the node has not disconnected who sent nonsense'
    exec 5>&-
  else
    fail "nobody listens at port $port"
  fi
done
echo '5 times 100,000 random bytes, 5 times disconnected; meanwhile another client:'
wait "$others" || { cat "$place/others"; fail 'the other client was not served'; }
others=
cat "$place/others"
client --eval 'node.status()'
expect 0 'Green' "$answer"

# runs: whether the service does; $pid is its process then.
runs() {
  [[ $("$programs/snow-fox-client" --socket "$socket" --json --eval "service.status('web')" 2>/dev/null) \
    =~ \"state\":\"Running\".*\"pid\":([1-9][0-9]*) ]] && pid=${BASH_REMATCH[1]}
}
runs_anew() { runs && [[ $pid != "$former" ]]; }
two_children() { mapfile -t parts < <(children) && ((${#parts[@]} == 2)); }
recovered() { two_children && runs && [[ $("$programs/snow-fox-client" --socket "$socket" --eval 'node.status()') == *Green* ]]; }

title 'A service runs, is killed, and runs again'
write_configuration 'node:' '  name: demo' 'services:' '  - id: web' '    command: [sleep, "1000"]' '    backoff: 100ms'
sed 's/^/    /' "$configuration"
client --eval 'node.reload()'
expect 0 'reloaded' "$answer"
within 10 runs || fail 'the service does not run'
client --eval "service.status('web')"
expect 0 'Running' "$answer"
former=$pid
echo "\$ kill -KILL $former"
kill -KILL "$former"
within 10 runs_anew || fail 'the service was not started again'
client --eval "service.status('web')"
expect 0 'restarts: 1' "$answer"

title "The manager dies, and the spawner: the service notices nothing"
former=$pid
two_children
for part in "${parts[@]}"; do
  echo "\$ kill -KILL $part    # $(<"/proc/$part/comm")"
  kill -KILL "$part"
  within 30 recovered || fail 'the node does not recover'
done
client --eval "service.status('web')"
expect 0 'Running' "$answer"
[[ $pid == "$former" ]] || fail "expected the process $former, it is $pid"
client --eval 'node.status()'
expect 0 'Green' "$answer"
parts+=("$pid")

title 'It ends in order'
echo '$ kill -TERM the daemon'
kill -TERM "$daemon"
wait "$daemon"
code=$?
((code == 0)) || fail "the daemon ended with exit code $code"
daemon=
echo 'exit code 0'
for part in "${parts[@]}"; do
  [[ ! -e /proc/$part ]] || fail "process $part is left behind"
done
[[ ! -e $run ]] || fail "left behind: $(ls -A "$run")"
echo 'nothing is left behind: no process, no socket, no file'
client --eval 'node.status()'
expect 1 'cannot reach a node' "$complaint"

echo
echo 'demo: ok'
