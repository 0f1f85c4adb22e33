#!/bin/sh
# load_generator_test.sh LOAD_GENERATOR WRONG_ECHO WHAT: the load generator says that the server is wrong, or for `right`
# that it is not.
set -u
generator=$1 wrong_echo=$2 what=$3
directory=$(mktemp -d) || exit 1
trap 'kill "$server" 2>/dev/null; rm -rf "$directory"' EXIT

"$wrong_echo" "$what" --unix "$directory/socket" >"$directory/output" &
server=$!
tries=0
until grep -q listening "$directory/output"; do
  tries=$((tries + 1))
  [ "$tries" -lt 200 ] || { echo "the server does not start" >&2; exit 1; }
  sleep 0.05
done
"$generator" --unix "$directory/socket" --pid "$server" --depth 4 --answers 1000 --patience 1 2>"$directory/errors"
status=$?
cat "$directory/errors"
if [ "$what" = right ]; then
  [ "$status" -eq 0 ]
else
  [ "$status" -eq 1 ] && [ -s "$directory/errors" ]
fi
