//===- Argmax.cu - the largest logit of a row --------------------------*- CUDA -*-===//
//
// Contract in Argmax.h. The plain reference is std::max_element, as in test/kernels/cuda.
//
//===----------------------------------------------------------------------===//
#include "Argmax.h"
#include "device.h"

using namespace sinter::kernels;

namespace {

struct Best {
  float value;
  int index;
};

/// Whether b comes before a: NaN first, then the larger value, then the lower index.
SINTER_DEVICE bool before(const Best &b, const Best &a) {
  const bool bNan = b.value != b.value, aNan = a.value != a.value;
  const bool same = b.value == a.value || (bNan && aNan);
  return same ? b.index < a.index : bNan || (!aNan && b.value > a.value);
}
SINTER_DEVICE Best better(const Best &a, const Best &b) { return before(b, a) ? b : a; }

SINTER_DEVICE Best bestOfWarp(Best best) {
#pragma unroll
  for (int mask = 16; mask > 0; mask >>= 1) {
    const Best other{shuffleXor(best.value, mask), int(shuffleXor(u32(best.index), mask))};
    best = better(best, other);
  }
  return best;
}

__shared__ Best perWarp[kArgmaxThreads / 32];
__shared__ u32 isLast;

/// The block's best, in thread 0.
SINTER_DEVICE Best bestOfBlock(Best best) {
  const int warp = threadIndex() >> 5, lane = threadIndex() & 31;
  best = bestOfWarp(best);
  if (lane == 0)
    perWarp[warp] = best;
  syncThreads();
  if (threadIndex() == 0)
    for (int w = 1; w < kArgmaxThreads / 32; ++w)
      best = better(best, perWarp[w]);
  return best;
}

SINTER_DEVICE Best nothing() { return {minusInfinity(), 0x7fffffff}; }

SINTER_DEVICE Best bestOfPiece(const ArgmaxArgs &a, int row, int part) {
  const int piece = ceilDiv(a.vocabulary, a.parts);
  const int begin = part * piece, end = minOf(a.vocabulary, begin + piece);
  const float *x = a.x + u64(u32(row)) * u32(a.vocabulary);
  Best best = nothing();
  for (int i = begin + threadIndex(); i < end; i += kArgmaxThreads)
    best = better(best, {x[i], i});
  return bestOfBlock(best);
}

} // namespace

SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kArgmaxThreads, 4)
    sinter_argmax(const SINTER_GRID_CONSTANT ArgmaxArgs a) {
  launchDependents();
  waitForPredecessors();
  const int row = blockIndex() / a.parts, part = blockIndex() - row * a.parts;
  const Best piece = bestOfPiece(a, row, part);
  if (threadIndex() == 0) {
    a.part_value[blockIndex()] = piece.value;
    a.part_index[blockIndex()] = piece.index;
    fenceGpu();
    isLast = atomicAddGpu(a.counters + row, 1) + 1 == u32(a.parts);
    fenceGpu();
  }
  syncThreads();
  if (!isLast)
    return;
  Best best = nothing();
  for (int i = threadIndex(); i < a.parts; i += kArgmaxThreads)
    best = better(best, {loadL2(a.part_value + row * a.parts + i),
                         int(asBits(loadL2(reinterpret_cast<const float *>(
                             a.part_index + row * a.parts + i))))});
  syncThreads(); // perWarp has been read
  best = bestOfBlock(best);
  if (threadIndex() == 0) {
    a.value[row] = best.value;
    a.index[row] = best.index;
    a.counters[row] = 0;
  }
}
