#!/bin/sh
# pkg_config.sh MAIN MODULE...: builds MAIN with what pkg-config says about the modules and runs it, first as everybody
# calls pkg-config, then with --static. CXX and CXXFLAGS come from the environment.
set -eu

main=$1
shift
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

for static in "" --static; do
  echo "pkg-config $static --cflags --libs $*"
  flags=$(pkg-config $static --cflags --libs "$@")
  echo "  $flags"
  $CXX $CXXFLAGS -std=c++20 "$main" $flags -o "$directory/outside"
  "$directory/outside"
done
