//===- Sampling.cpp - drawing tokens, hand-written ------------------------===//
//
// The order of the arguments is that of runtime/kernels/Bodies.cu.
//
//===----------------------------------------------------------------------===//
#include "Sampling.h"

#include "Wrapper.h"

#include "runtime/kernels/Sampling.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

static TilePlan launchOf(size_t sharedBytes) {
  TilePlan p;
  p.threads = kernels::kSampleThreads;
  p.sharedBytes = static_cast<int64_t>(sharedBytes);
  p.minCtasPerSm = 4;
  return p;
}

static TypedAttr constant(Operation *module, int64_t value) {
  return Builder(module->getContext()).getI32IntegerAttr(static_cast<int32_t>(value));
}

int64_t sinter::gpu::sampleListBytes(int64_t rows) {
  return rows * kernels::kSampleSlices * static_cast<int64_t>(sizeof(kernels::SampleList));
}

int64_t sinter::gpu::sampleTopGrid(int64_t rows) {
  return std::min<int64_t>(rows * kernels::kSampleSlices, 1024);
}

int64_t sinter::gpu::sampleDrawGrid(int64_t rows) { return std::min<int64_t>(rows, 512); }

FailureOr<GpuKernel> sinter::gpu::emitSampleTop(Operation *module, StringRef name,
                                                int64_t vocabulary) {
  return emitCall(module, name, "sinter_device_sample_top",
                  launchOf(sizeof(kernels::SampleTopShared)), {true, true, true},
                  {constant(module, vocabulary)});
}

FailureOr<GpuKernel> sinter::gpu::emitSampleDraw(Operation *module, StringRef name,
                                                 int64_t vocabulary) {
  return emitCall(module, name, "sinter_device_sample_draw",
                  launchOf(sizeof(kernels::SampleDrawShared)), {true, true, true, true, true, true},
                  {constant(module, vocabulary)});
}
