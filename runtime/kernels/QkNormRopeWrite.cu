//===- QkNormRopeWrite.cu - q/k norm, RoPE and the KV write: kernels ---*- CUDA -*-===//
#include "QkNormRopeWrite.cuh"

using namespace sinter::kernels;

#define SINTER_QKV(name, type, cache, dim)                                                         \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kQkvThreads, 8)                                               \
      name(const SINTER_GRID_CONSTANT QkvArgs args) {                                              \
    QkNormRopeWrite<type, cache, dim>::run(args);                                                  \
  }
#include "QkvVariants.def"
