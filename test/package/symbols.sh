#!/bin/sh
# symbols.sh DIRECTORY: that no two of the static libraries in DIRECTORY define the same, for a program may use them all.
set -eu
# What is inline or a template's is defined weakly, and is meant to be.
twice=$(nm --defined-only "$1"/libsnowfox_*.a | awk '$2 ~ /^[TDBR]$/ { print $3 }' | sort | uniq -d | c++filt)
[ -z "$twice" ] || {
  echo "defined by more than one library:"
  echo "$twice"
  exit 1
}
