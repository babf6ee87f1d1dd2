//===- AsyncCopy.cuh - sm_90: bulk copies and the barriers that count them -*- CUDA -*-===//
//
// One function per instruction.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "device.h"

namespace sinter::kernels {

//===--- copies ---===//

/// What other kernels stored can be read by bulk copies.
SINTER_DEVICE void fenceAsyncGlobal() { asm volatile("fence.proxy.async.global;" ::: "memory"); }

/// One piece of memory, a multiple of 16 bytes, counted by an mbarrier.
SINTER_DEVICE void copyBulk(u32 to, const void *from, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
               "[%3];" ::"r"(to),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
}

/// One box of a tensor map over groups of eight rows, from that group on, counted by an mbarrier.
SINTER_DEVICE void copyBox(u32 to, const void *map, int group, u32 barrier) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
               "[%0], [%1, {%2, %2, %2, %3}], [%4];" ::"r"(to),
               "l"(map), "r"(0), "r"(group), "r"(barrier)
               : "memory");
}
SINTER_DEVICE void prefetchTensorMap(const void *map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

//===--- mbarriers ---===//

SINTER_DEVICE void initBarrier(u32 barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
/// For copies that complete on it.
SINTER_DEVICE void fenceBarrierInit() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
/// Arrives, and has the phase wait for that many bytes of copies as well.
SINTER_DEVICE void expectBytes(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
SINTER_DEVICE void arriveBarrier(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
/// Arrives for several threads at once, and has the phase wait for that many bytes of copies.
SINTER_DEVICE void expectBytes(u32 barrier, u32 bytes, int arrivals) {
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;\n"
               "mbarrier.arrive.shared::cta.b64 _, [%0], %2;" ::"r"(barrier),
               "r"(bytes), "r"(arrivals)
               : "memory");
}
/// Whether the phase of that parity has ended.
SINTER_DEVICE bool passedBarrier(u32 barrier, u32 parity) {
  u32 passed;
  asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
               "selp.u32 %0, 1, 0, p; }"
               : "=r"(passed)
               : "r"(barrier), "r"(parity)
               : "memory");
  return passed != 0;
}
/// Seconds at most: a phase that does not end is a bug, not a reason to hang.
SINTER_DEVICE void waitBarrier(u32 barrier, u32 parity) {
#pragma unroll 1
  for (int spins = 0; !passedBarrier(barrier, parity); ++spins)
    if (spins == 1 << 24)
      asm volatile("trap;");
}

} // namespace sinter::kernels
