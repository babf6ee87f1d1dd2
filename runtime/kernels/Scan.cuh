//===- Scan.cuh - running sums over a block ----------------------------*- CUDA -*-===//
//
// The work lists of attention are laid out by them: their order does not depend on timing.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "device.h"

namespace sinter::kernels {

constexpr int kPlanThreads = 256;
constexpr int kPlanSharedBytes = kPlanThreads / 32 * 4;

/// The sum of `value` over this thread and those before it; `total`: over all kPlanThreads.
SINTER_DEVICE int runningSum(int value, int &total) {
  int *perWarp = reinterpret_cast<int *>(dynamicShared);
  const int lane = threadIndex() & 31, warp = threadIndex() >> 5;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int left = shuffleIndex(value, maxOf(lane - step, 0));
    value += lane >= step ? left : 0;
  }
  syncThreads(); // what the previous call left has been read
  if (lane == 31)
    perWarp[warp] = value;
  syncThreads();
  total = 0;
  int before = 0;
#pragma unroll
  for (int w = 0; w < kPlanThreads / 32; ++w) {
    before += w < warp ? perWarp[w] : 0;
    total += perWarp[w];
  }
  return before + value;
}

} // namespace sinter::kernels
