#!/usr/bin/env bash
# Builds the hand-written CUDA kernels and their test program, and runs it where there is a GPU.
#
#   run.sh build DIR [SM]     kernels (clang-22 to PTX, ptxas to cubin) and program into DIR
#   run.sh run DIR [PART...]  every part (test time) on this machine's GPU, then the mutants
#   run.sh all [PART...]      both, in a temporary folder
#   run.sh mutants DIR [SM]   the mutants into DIR
#   run.sh edits              that every mutant still changes its file; compiles nothing
#
# Needs a CUDA toolkit (ptxas, headers, libcudart_static); SINTER_CUDA names it (/usr/local/cuda).
# SINTER_KERNELS=nvcc compiles the kernels with nvcc instead of clang-22.
set -euo pipefail
ROOT=$(cd "$(dirname "$(readlink -f "$0")")/../../.." && pwd)
CUDA=${SINTER_CUDA:-/usr/local/cuda}
HERE=$ROOT/test/kernels/cuda
# File and group of every module: the groups of one file are compiled apart from each other.
UNITS=(DecodeAttention:0 DecodeAttention:1 DecodeAttention:2 DecodeAttention:3 DecodeAttention:4 QkNormRopeWrite:0
       PrefillAttention:0 Argmax:0 Sampling:0)

# One module. $1 source, $2 group, $3 SM, $4 output without extension
compile() {
  if [ "${SINTER_KERNELS:-clang}" = nvcc ]; then
    "$CUDA/bin/nvcc" -std=c++17 -cubin "-gencode=arch=compute_$3,code=sm_$3" "-DSINTER_GROUP=$2" \
      "$1" -o "$4.cubin"
  else
    "$HERE/ptx.sh" "$1" "$2" "sm_$3" "$4.ptx"
    "$CUDA/bin/ptxas" -arch="sm_$3" -O3 "$4.ptx" -o "$4.cubin"
  fi
}

# Every module of a kernel folder. $1 sources, $2 SM, $3 output folder, $4... units
modules() {
  local sources=$1 sm=$2 to=$3 unit
  shift 3
  mkdir -p "$to"
  for unit in "$@"; do
    compile "$sources/${unit%:*}.cu" "${unit#*:}" "$sm" "$to/${unit%:*}${unit#*:}"
  done
}

# Mutants: one edit each of a copy of the kernels; the quick test must fail on every one.
mutants() {
  local to=$1/mutants sm=${2:-90a} name file edit unit copy
  while IFS='|' read -r name file unit edit; do
    [ -n "$name" ] || continue
    copy=$to/$name.src
    mkdir -p "$copy"
    cp "$ROOT"/runtime/kernels/* "$copy"
    sed -i -E "$edit" "$copy/$file"
    if cmp -s "$copy/$file" "$ROOT/runtime/kernels/$file"; then
      echo "run.sh: error: mutant $name changes nothing" >&2
      exit 1
    fi
    [ "$sm" = none ] || modules "$copy" "$sm" "$to/$name" $unit
    rm -r "$copy"
  done <"$HERE/mutants.txt"
}

build() {
  local to=$1 sm=${2:-90a} f
  mkdir -p "$to/kernels" "$to/objects"
  modules "$ROOT/runtime/kernels" "$sm" "$to/kernels" "${UNITS[@]}"
  for f in "$HERE"/*.cpp "$ROOT"/runtime/engine/{Sampler,SamplingParams,TokenEdits,TokenScores}.cpp; do
    g++ -std=c++20 -O2 -I"$ROOT" -I"$ROOT/include" -isystem "$CUDA/include" -c "$f" \
      -o "$to/objects/$(basename "$f").o" &
  done
  wait
  g++ -static-libstdc++ -static-libgcc "$to"/objects/*.o -L"$CUDA/lib64" -lcudart_static -ldl -lrt \
    -lpthread -o "$to/gpu-kernels-test"
  rm -r "$to/objects"
}

run() {
  local from=$1 status=0 alive=0 dead=0 wanted mutant said part
  shift
  [ $# -gt 0 ] || set -- test time
  "$from/gpu-kernels-test" "$from/kernels" "$@" || status=1
  # What the mutants are to fail must pass on the kernels as they are.
  for part in $(sed -n 's/^\([a-z]*\)-.*|.*/\1/p' "$HERE/mutants.txt" | sort -u); do
    "$from/gpu-kernels-test" "$from/kernels" "quick:$part" >/dev/null || { echo "FAIL quick:$part"; status=1; }
  done
  for mutant in "$from"/mutants/*/; do
    # One that hangs is noticed, too; one without kernels is no mutant.
    if said=$(timeout 60 "$from/gpu-kernels-test" "$mutant" "quick:$(basename "$mutant" | sed 's/-.*//')" 2>&1) ||
      [[ $said == *"error: no kernel"* ]]; then
      echo "FAIL mutant survives: $(basename "$mutant")"
      alive=$((alive + 1))
    else
      dead=$((dead + 1))
    fi
  done
  wanted=$(grep -c '|' "$HERE/mutants.txt")
  echo "mutants: $dead of $wanted noticed, survivors: $alive"
  [ "$alive" = 0 ] && [ "$dead" = "$wanted" ] && return $status || return 1
}

case "${1:-}" in
  build) shift; build "$@" ;;
  mutants) shift; mutants "$@" ;;
  edits)
    DIR=$(mktemp -d)
    trap 'rm -rf "$DIR"' EXIT
    mutants "$DIR" none
    ;;
  run) shift; run "$@" ;;
  all)
    shift
    DIR=$(mktemp -d)
    trap 'rm -rf "$DIR"' EXIT
    build "$DIR"
    mutants "$DIR"
    run "$DIR" "$@"
    ;;
  *) sed -n '2,14p' "$0" >&2; exit 2 ;;
esac
