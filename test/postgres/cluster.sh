#!/usr/bin/env bash
# cluster.sh: a PostgreSQL server of its own, in a temporary directory, for tests. Prints the URI to connect to and goes on
# until its input ends, as it does when whoever has started it is gone, however that came about: then the server is stopped
# and the directory removed. Meanwhile it does what it is told, a word a line, and says "done" after each:
#
#   crash   ends the server at once, as a failure would, and waits for that
#   stop    the same in order: connections are ended, the database is closed
#   start   starts it again, on the same port
#
# As root, which PostgreSQL refuses, it runs as `postgres`, else as `nobody`. With --installed it only tells whether there
# is a PostgreSQL to start.
set -euo pipefail

bin=
for candidate in /usr/lib/postgresql/*/bin "$(dirname -- "$(command -v initdb || echo /none/initdb)")"; do
  if [[ -x $candidate/initdb && -x $candidate/postgres ]]; then bin=$candidate; fi
done
if [[ -z $bin ]]; then
  echo "cluster.sh: no PostgreSQL here; Debian: apt-get install postgresql" >&2
  exit 77
fi
[[ ${1-} != --installed ]] || exit 0

as=()
if ((EUID == 0)); then
  user=postgres
  id "$user" >/dev/null 2>&1 || user=nobody
  as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
fi

directory=$(mktemp -d "${TMPDIR:-/tmp}/snowfox-postgres-XXXXXX")
server=
end() {
  trap '' HUP INT TERM
  if [[ -n $server ]]; then
    kill -QUIT "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$directory"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

password=reynard-the-fox
mkdir "$directory/data"
printf '%s\n' "$password" >"$directory/password"
if ((EUID == 0)); then chown -R "$user" "$directory"; fi
cd "$directory"
if ! "${as[@]}" "$bin/initdb" --pgdata=data --username=snowfox --pwfile=password --auth-local=trust \
  --auth-host=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >initdb.log 2>&1; then
  cat initdb.log >&2
  exit 1
fi
cat >>data/postgresql.conf <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = '$directory'
max_connections = 60
shared_buffers = 16MB
fsync = on
jit = off
wal_level = minimal
max_wal_senders = 0
autovacuum_naptime = 1h
END

start() {
  "${as[@]}" "$bin/postgres" -D "$directory/data" -p "$port" >>log 2>&1 </dev/null &
  server=$!
  until [[ -e data/postmaster.pid && $(sed -n '1p;8p' data/postmaster.pid | tr -d ' \n') == "${server}ready" ]]; do
    if ! kill -0 "$server" 2>/dev/null; then
      wait "$server" || true
      server=
      return 1
    fi
    sleep 0.02
  done
}
stop() {
  kill "$1" "$server" 2>/dev/null || true
  wait "$server" || true
  server=
}

# The kernel knows of a free port; another may take it before we do.
for attempt in 1 2 3 4 5 6; do
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  if start; then break; fi
  if ((attempt == 6)); then
    tail -n 20 log >&2
    exit 1
  fi
done
echo "postgresql://snowfox:$password@127.0.0.1:$port/postgres"

while read -r word; do
  case $word in
    crash) stop -QUIT ;;
    stop) stop -INT ;;
    start) start || { tail -n 20 log >&2; exit 1; } ;;
    *) echo "cluster.sh: what is '$word'?" >&2; exit 2 ;;
  esac
  echo done
done
