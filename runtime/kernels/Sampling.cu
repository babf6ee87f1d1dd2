//===- Sampling.cu - drawing tokens on the GPU -------------------------*- CUDA -*-===//
//
// Contract in Sampling.h. The plain reference is runtime/engine/Sampler.cpp.
//
//===----------------------------------------------------------------------===//
#include "Sampling.cuh"

using namespace sinter::kernels;

SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kSampleThreads, 4)
    sinter_sample_top(const SINTER_GRID_CONSTANT SampleArgs a) {
  sampleTop(a);
}

SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kSampleThreads, 4)
    sinter_sample_draw(const SINTER_GRID_CONSTANT SampleArgs a) {
  sampleDraw(a);
}
