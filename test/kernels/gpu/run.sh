#!/usr/bin/env bash
# Checks and times the generated GPU kernels on this machine's GPU.
#
#   run.sh build DIR [BUILD]    kernels of kernels-device.txt and the program into DIR; BUILD is the
#                               CMake build folder that holds bin/gpu-kernel-gen (build)
#   run.sh run DIR [PART...]    check, stress, time (all)
#
# Needs a CUDA toolkit to build (ptxas, headers, libcudart_static); SINTER_CUDA names it.
set -euo pipefail
ROOT=$(cd "$(dirname "$(readlink -f "$0")")/../../.." && pwd)
CUDA=${SINTER_CUDA:-/usr/local/cuda}
HERE=$ROOT/test/kernels/gpu

build() {
  local to=$1 from=${2:-$ROOT/build} f
  mkdir -p "$to/objects"
  "$from/bin/gpu-kernel-gen" --chip="${SINTER_CHIP:-sm_90a}" --out="$to/kernels" \
    --list="$HERE/kernels-device.txt"
  for f in LinearCase RowCase WriteCase Chain main; do
    g++ -std=c++20 -O3 -march=x86-64-v3 -I"$ROOT" -I"$ROOT/include" -isystem "$CUDA/include" \
      -c "$HERE/$f.cpp" -o "$to/objects/$f.o"
  done
  g++ -static-libstdc++ -static-libgcc "$to"/objects/*.o -L"$CUDA/lib64" -lcudart_static -ldl -lrt \
    -lpthread -o "$to/gpu-kernels-run"
  rm -r "$to/objects" "$to"/kernels/*.ptx
}

case "${1:-}" in
  build) shift; build "$@" ;;
  run)
    shift
    DIR=$1
    shift
    exec "$DIR/gpu-kernels-run" "$DIR/kernels" "$@"
    ;;
  *) sed -n '2,8p' "$0" >&2; exit 2 ;;
esac
