#!/bin/sh
# mutate.sh FROM TO EDIT: a copy with one sed edit, which must change something.
set -eu
mkdir -p "$(dirname "$2")"
sed -E "$3" "$1" >"$2"
if cmp -s "$1" "$2"; then
  rm "$2"
  echo "mutate.sh: error: '$3' changes nothing in $1" >&2
  exit 1
fi
