#!/usr/bin/env bash
# systemd accepts the units of an installed tree: units.sh PREFIX. Skipped, 77, where there is no systemd.
set -euo pipefail

command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not there: package systemd brings it"; exit 77; }
units=$1/lib/systemd/system
grep -q "^ExecStart=$1/bin/snow-fox-daemon " "$units/snow-fox.service"
# Each with the other, of which it is a part; manual pages are looked for in the system's place, so not at all.
complaints=$(systemd-analyze verify --man=no "$units/snow-fox.service" "$units/snow-fox.socket" 2>&1) || {
  printf '%s\n' "$complaints" >&2
  exit 1
}
# It also tells of other units of this system.
complaints=$(grep snow-fox <<<"$complaints" || true)
[[ -z $complaints ]] || { printf '%s\n' "$complaints" >&2; exit 1; }
if command -v systemd-sysusers >/dev/null; then systemd-sysusers --dry-run "$1/lib/sysusers.d/snow-fox.conf"; fi
