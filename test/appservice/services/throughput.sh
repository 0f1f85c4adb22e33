#!/usr/bin/env bash
# throughput.sh DIRECTORY: transactions of one event a second that each library takes, on 1 and 8 connections, its record
# written; DIRECTORY as for install.sh. Needs wrk.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
NODE_PATH=$("$here/install.sh" "${1:?usage: throughput.sh DIRECTORY}")
export NODE_PATH
place=$(mktemp -d)
service=
trap '[[ -z $service ]] || kill "$service"; rm -rf "$place"' EXIT

cat >"$place/load.lua" <<'END'
local number = 0
local body = '{"events":[{"event_id":"$1:example.org","type":"m.room.message","room_id":"!room:example.org",' ..
  '"sender":"@somebody:example.org","origin_server_ts":1700000000000,"content":{"msgtype":"m.text","body":"Hello"}}]}'
local headers = {["Authorization"] = "Bearer hs", ["Content-Type"] = "application/json"}
function request()
  number = number + 1
  return wrk.format("PUT", "/_matrix/app/v1/transactions/" .. os.time() .. number, headers, body)
end
END
for library in appservice bot_sdk; do
  for connections in 1 8; do
    node "$here/${library}_service.js" --hs-token hs --as-token as --record "$place/record" >"$place/port" &
    service=$!
    until [[ -s $place/port ]]; do sleep 0.05; done
    url=http://127.0.0.1:$(<"$place/port")
    wrk -t1 -c"$connections" -d2 -s "$place/load.lua" "$url" >/dev/null
    wrk -t1 -c"$connections" -d5 -s "$place/load.lua" "$url" >"$place/log"
    ! grep -q 'Non-2xx' "$place/log" || { cat "$place/log"; exit 1; }
    printf '%-10s %d connections: %s/s\n' "$library" "$connections" "$(awk '/Requests\/sec/ {print int($2)}' "$place/log")"
    kill "$service"
    wait "$service" 2>/dev/null || true
    service=
    rm -f "$place/port"
  done
done
