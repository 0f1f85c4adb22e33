#!/bin/sh
# pkg_config.sh MAIN MODULE...: builds MAIN with what pkg-config says about the modules and runs it, first as everybody
# calls pkg-config, then with --static. CXX and CXXFLAGS come from the environment. Left out of the second are modules
# whose dependency names libraries there that Debian's package of it does not bring along: libcurl, libpq.
set -eu

main=$1
shift
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

with_static=
for module in "$@"; do
  case $module in
    snowfox-http_client | snowfox-postgres) ;;
    *) with_static="$with_static $module" ;;
  esac
done

for arguments in "$*" "--static$with_static"; do
  echo "pkg-config --cflags --libs $arguments"
  flags=$(pkg-config --cflags --libs $arguments)
  echo "  $flags"
  $CXX $CXXFLAGS -std=c++20 "$main" $flags -o "$directory/outside"
  "$directory/outside"
done
