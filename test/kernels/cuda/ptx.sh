#!/usr/bin/env bash
# One kernel source to PTX with clang-22 alone, no CUDA toolkit: ptx.sh SOURCE GROUP SM OUTPUT
set -euo pipefail
# sm_89 has the fp8 conversions from PTX 8.1 on; everything else needs 8.0.
case "$3" in sm_89) PTX=ptx81 ;; *) PTX=ptx80 ;; esac
exec "${SINTER_CLANG:-clang-22}" -x cuda -std=c++17 --cuda-device-only -nocudainc -nocudalib \
  "--cuda-gpu-arch=$3" "--cuda-feature=+$PTX" -Wno-unknown-cuda-version -Wall -Werror -O3 \
  "-DSINTER_GROUP=$2" "-I${0%/*}/../../../include" -S -o "$4" "$1"
