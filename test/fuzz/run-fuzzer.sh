#!/bin/sh
# run-fuzzer.sh PROGRAM SEEDS: fuzzes for SINTER_FUZZ_SECONDS (60), starting from the seeds. New inputs
# go to a temporary corpus; an input that crashes is left beside the program.
set -eu
corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
log=$corpus.log
if "$1" -max_total_time="${SINTER_FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 -len_control=0 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$1-" "$corpus" "$2" >"$log" 2>&1; then
  tail -n 8 "$log"
  rm -f "$log"
else
  tail -n 60 "$log"
  rm -f "$log"
  exit 1
fi
