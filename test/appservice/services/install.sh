#!/usr/bin/env bash
# install.sh DIRECTORY: installs what the services need into DIRECTORY, once for each package-lock.json, and says where
# node_modules is then. Ends with 77, the code of a skipped test, if there is no Node.js, or if npm's registry cannot be
# reached: which is not tried again for two minutes, so that a suite does not wait for it with each test. Any number may
# run at once.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
directory=${1:?usage: install.sh DIRECTORY}
for tool in node npm; do
  command -v "$tool" >/dev/null || {
    echo "skipped: no $tool here (Debian: apt-get install nodejs npm)" >&2
    exit 77
  }
done

mkdir -p "$directory"
directory=$(cd -- "$directory" && pwd)
wanted=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum)
installed() { [[ -d $directory/node_modules && $(cat "$directory/installed" 2>/dev/null) == "$wanted" ]]; }

if ! installed; then
  exec 9>"$directory/lock"
  flock 9
  if ! installed; then
    failed=$(cat "$directory/failed" 2>/dev/null || echo 0)
    if (($(date +%s) - failed < 120)); then
      echo "skipped: npm could not install the services' packages; see $directory/log" >&2
      exit 77
    fi
    rm -rf "$directory/installed" "$directory/node_modules"
    cp "$here/package.json" "$here/package-lock.json" "$directory"
    # No package's own script is run: none here needs one, but a binary for encryption that nobody uses.
    npm --prefix "$directory" ci --ignore-scripts --no-audit --no-fund --no-update-notifier --fetch-retries=1 \
      >"$directory/log" 2>&1 </dev/null || {
      cat "$directory/log" >&2
      date +%s >"$directory/failed"
      echo "skipped: npm could not install the services' packages: see above; is the network there?" >&2
      exit 77
    }
    echo "$wanted" >"$directory/installed"
  fi
fi
echo "$directory/node_modules"
