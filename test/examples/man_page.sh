#!/usr/bin/env bash
# A manual page is sound, and tells of each option that its program has, and of no other:
# man_page.sh PAGE [PROGRAM]. Or of each key that a source reads from YAML: man_page.sh PAGE --keys SOURCE.
set -euo pipefail

page=$1
program=${2-}
status=0

if command -v groff >/dev/null; then
  complaints=$(groff -mandoc -ww -z -Tutf8 "$page" 2>&1)
  [[ -z $complaints ]] || { printf '%s\n' "$complaints" >&2; status=1; }
else
  echo "groff is not there: the page's markup is not checked"
fi
if command -v mandoc >/dev/null; then
  # That a page has none of BSD's marks, or refers to one that is not installed here, is no mistake.
  complaints=$(mandoc -T lint -W warning "$page" 2>&1 | grep -v 'operating system' || true)
  [[ -z $complaints ]] || { printf '%s\n' "$complaints" >&2; status=1; }
fi
if [[ $program == --keys ]]; then
  for key in $(tr -d '\n' <"$3" | grep -oE '(optional|required)\( *"[a-z_]+"' | sed 's/.*"\(.*\)"/\1/' | sort -u); do
    grep -qE "^\.(It Cm|Cm|Ss) (.*, )?$key( |$)" "$page" || { echo "$page does not tell of $key" >&2; status=1; }
  done
  exit "$status"
fi

has=$("$program" --help | grep -oE '^  [^ ]+' | tr , '\n' | grep -oE -- '--[a-z-]+' | sort -u)
tells=$(sed -n '/^\.It Fl/{s/Fl -/\n--/g;p}' "$page" | grep -oE -- '^--[a-z-]+' | sort -u)
missing=$(comm -23 <(echo "$has") <(echo "$tells"))
too_many=$(comm -13 <(echo "$has") <(echo "$tells"))
[[ -z $missing ]] || { echo "$page does not tell of:" $missing >&2; status=1; }
[[ -z $too_many ]] || { echo "$(basename "$program") has not, but $page tells of:" $too_many >&2; status=1; }
exit "$status"
