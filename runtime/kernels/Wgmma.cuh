//===- Wgmma.cuh - sm_90a: warpgroup matrix instructions, barriers -----*- CUDA -*-===//
//
// One function per instruction. Operands in shared memory are panels of 64 16-bit elements (128
// bytes) a row, 16-byte chunk c of row r at chunk c ^ (r % 8): the 128-byte swizzle. Panels start
// at multiples of 1024 bytes.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "device.h"

namespace sinter::kernels {

//===--- operands ---===//

/// Byte of a 16-byte chunk (0..7) of a row of a panel.
SINTER_DEVICE u32 swizzled(int row, int chunk) {
  return u32(row * 128 + ((chunk ^ (row & 7)) * 16));
}

/// Rows are M or N, the 64 elements along K; each eight rows are `eight` bytes on.
SINTER_DEVICE u64 descriptorAlongK(u32 address, u32 eight) {
  return u64((address & 0x3ffffu) >> 4) | u64(1) << 16 | u64(eight >> 4) << 32 | u64(1) << 62;
}
/// Rows are K, the 64 elements along N; further panels `panel` bytes on.
SINTER_DEVICE u64 descriptorAcrossK(u32 address, u32 panel, u32 eight) {
  return u64((address & 0x3ffffu) >> 4) | u64(panel >> 4) << 16 | u64(eight >> 4) << 32 |
         u64(1) << 62;
}

//===--- instructions ---===//

SINTER_DEVICE void wgmmaFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
SINTER_DEVICE void wgmmaCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending> SINTER_DEVICE void wgmmaWait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
/// Pins accumulators to this place of the program.
template <int kCount> SINTER_DEVICE void wgmmaOperand(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i)
    asm volatile("" : "+f"(d[i])::"memory");
}

#define SINTER_OUT4(d, i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define SINTER_OUT16(d, i)                                                                         \
  SINTER_OUT4(d, i), SINTER_OUT4(d, (i) + 4), SINTER_OUT4(d, (i) + 8), SINTER_OUT4(d, (i) + 12)
#define SINTER_OUT64(d)                                                                            \
  SINTER_OUT16(d, 0), SINTER_OUT16(d, 16), SINTER_OUT16(d, 32), SINTER_OUT16(d, 48)
#define SINTER_REGISTERS64                                                                         \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "    \
  "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, "     \
  "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, "     \
  "%56, %57, %58, %59, %60, %61, %62, %63}"

/// d[64x128] = or += a[64x16] * b[16x128]; both from shared memory, along K.
template <class T> SINTER_DEVICE void wgmma(float (&d)[64], u64 a, u64 b, int add) {
  if constexpr (IsSame<T, BF16>::value)
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " SINTER_REGISTERS64
                 ", %64, %65, p, 1, 1, 0, 0; }"
                 : SINTER_OUT64(d)
                 : "l"(a), "l"(b), "r"(add)
                 : "memory");
  else
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 " SINTER_REGISTERS64
                 ", %64, %65, p, 1, 1, 0, 0; }"
                 : SINTER_OUT64(d)
                 : "l"(a), "l"(b), "r"(add)
                 : "memory");
}

/// d[64x128] = or += a[64x16] * b[16x128]; a from registers, b from shared memory, across K.
template <class T> SINTER_DEVICE void wgmma(float (&d)[64], const u32 (&a)[4], u64 b, int add) {
  if constexpr (IsSame<T, BF16>::value)
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " SINTER_REGISTERS64
                 ", {%64, %65, %66, %67}, %68, p, 1, 1, 1; }"
                 : SINTER_OUT64(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add)
                 : "memory");
  else
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 " SINTER_REGISTERS64
                 ", {%64, %65, %66, %67}, %68, p, 1, 1, 1; }"
                 : SINTER_OUT64(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add)
                 : "memory");
}
#undef SINTER_OUT4
#undef SINTER_OUT16
#undef SINTER_OUT64
#undef SINTER_REGISTERS64

template <int kCount> SINTER_DEVICE void moreRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount> SINTER_DEVICE void fewerRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

//===--- barriers ---===//

/// Named barriers (1..15) of a number of threads.
template <int kId> SINTER_DEVICE void syncNamed(int threads) {
  asm volatile("bar.sync %0, %1;" ::"n"(kId), "r"(threads) : "memory");
}
template <int kId> SINTER_DEVICE void arriveNamed(int threads) {
  asm volatile("bar.arrive %0, %1;" ::"n"(kId), "r"(threads) : "memory");
}

} // namespace sinter::kernels
