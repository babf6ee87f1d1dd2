#!/bin/sh
# must-fail.sh PROGRAM ARG...: passes when the program's tests ran and failed; a crash counts as well.
"$@" >"$1.log" 2>&1
status=$?
[ $status -ne 0 ] && [ $status -ne 127 ] && [ $status -ne 126 ] || { cat "$1.log"; echo "the mutant survived"; exit 1; }
