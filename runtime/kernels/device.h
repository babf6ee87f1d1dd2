//===- device.h - what the hand-written kernels need from the device ---*- CUDA -*-===//
//
// The only header these kernels include besides each other: no CUDA toolkit, no C library.
// clang-22 turns them into bitcode or PTX with
//   -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-feature=+ptx80
// and nvcc compiles the same files where there is a toolkit. Instructions that need inline PTX are
// wrapped here, one function each, named after the instruction.
//
// asm volatile keeps its order among other asm volatile; "memory" is added where ordinary loads and
// stores must not move across as well.
//
//===----------------------------------------------------------------------===//
#pragma once

#if defined(__clang__)
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define SINTER_GRID_CONSTANT __attribute__((grid_constant))
#define SINTER_LAUNCH_BOUNDS(threads, blocks) __attribute__((launch_bounds(threads, blocks)))
#else
#define SINTER_GRID_CONSTANT __grid_constant__
#define SINTER_LAUNCH_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
#endif
#define SINTER_DEVICE __device__ inline __attribute__((always_inline))
#define SINTER_KERNEL extern "C" __global__ void

namespace sinter::kernels {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;

struct alignas(16) U32x4 {
  u32 v[4];
};
struct alignas(8) U32x2 {
  u32 v[2];
};

/// One array for all kernels of a module, under the name that generated kernels give it.
#if defined(__clang__)
extern __shared__
    __attribute__((aligned(1024))) unsigned char dynamicShared[] __asm__("dynamic_shared");
#else
extern __shared__ __align__(1024) unsigned char dynamicShared[];
#endif

//===--- where a thread is ---===//

#if defined(__clang__)
SINTER_DEVICE int threadIndex() { return __nvvm_read_ptx_sreg_tid_x(); }
SINTER_DEVICE int blockIndex() { return __nvvm_read_ptx_sreg_ctaid_x(); }
SINTER_DEVICE int blockSize() { return __nvvm_read_ptx_sreg_ntid_x(); }
SINTER_DEVICE int gridSize() { return __nvvm_read_ptx_sreg_nctaid_x(); }
SINTER_DEVICE void syncThreads() { __nvvm_bar_sync(0); }
#else
SINTER_DEVICE int threadIndex() { return threadIdx.x; }
SINTER_DEVICE int blockIndex() { return blockIdx.x; }
SINTER_DEVICE int blockSize() { return blockDim.x; }
SINTER_DEVICE int gridSize() { return gridDim.x; }
SINTER_DEVICE void syncThreads() { __syncthreads(); }
#endif
SINTER_DEVICE void syncWarp() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }

//===--- order between kernels and between blocks ---===//

/// Before this only weights and tables may be read; every block executes it on every path.
SINTER_DEVICE void waitForPredecessors() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

SINTER_DEVICE void launchDependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

SINTER_DEVICE void fenceGpu() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

SINTER_DEVICE u32 atomicAddGpu(u32 *p, u32 value) {
  u32 old;
  asm volatile("atom.add.relaxed.gpu.global.u32 %0, [%1], %2;"
               : "=r"(old)
               : "l"(p), "r"(value)
               : "memory");
  return old;
}

/// The same, ordered after what this thread knows of and before what it does next.
SINTER_DEVICE u32 atomicAddOrdered(u32 *p, u32 value) {
  u32 old;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], %2;"
               : "=r"(old)
               : "l"(p), "r"(value)
               : "memory");
  return old;
}

//===--- numbers ---===//

SINTER_DEVICE float asFloat(u32 bits) {
  float f;
  asm("mov.b32 %0, %1;" : "=f"(f) : "r"(bits));
  return f;
}
SINTER_DEVICE u32 asBits(float f) {
  u32 bits;
  asm("mov.b32 %0, %1;" : "=r"(bits) : "f"(f));
  return bits;
}

constexpr float kLog2e = 1.4426950408889634f;
SINTER_DEVICE float minusInfinity() { return asFloat(0xff800000u); }

/// 2^x, relative error 2^-22; exp2(-infinity) = 0.
SINTER_DEVICE float exp2Approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
SINTER_DEVICE float rsqrtApprox(float x) {
  float y;
  asm("rsqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// One instruction; of a number and a NaN the number.
SINTER_DEVICE float maxOf(float a, float b) {
  float r;
  asm("max.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}
SINTER_DEVICE int minOf(int a, int b) { return a < b ? a : b; }
SINTER_DEVICE int maxOf(int a, int b) { return a > b ? a : b; }
SINTER_DEVICE int ceilDiv(int a, int b) { return (a + b - 1) / b; }

/// {low, high} as a pair of 16-bit numbers in one register, rounded to nearest even.
SINTER_DEVICE u32 packBf16(float low, float high) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
SINTER_DEVICE u32 packF16(float low, float high) {
  u32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
SINTER_DEVICE float bf16Low(u32 pair) { return asFloat(pair << 16); }
SINTER_DEVICE float bf16High(u32 pair) { return asFloat(pair & 0xffff0000u); }
SINTER_DEVICE float f16Low(u32 pair) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(u16(pair)));
  return f;
}
SINTER_DEVICE float f16High(u32 pair) { return f16Low(pair >> 16); }

/// Two e4m3 numbers (low 16 bits of `pair`) as two f16 numbers; exact.
SINTER_DEVICE u32 e4m3ToF16(u32 pair) {
  u32 r;
#if __CUDA_ARCH__ >= 890
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"(u16(pair)));
#else
  // Exponent and mantissa moved into place are the number times 2^-8, subnormals included. The one
  // NaN pattern (0x7f) becomes 480 that way, so it is put back.
  const u32 spread = (pair & 0xffu) | ((pair & 0xff00u) << 8);
  const u32 shifted = ((spread & 0x00800080u) << 8) | ((spread & 0x007f007fu) << 7);
  asm("{ .reg .b32 s; mov.b32 s, 0x5c005c00; mul.rn.f16x2 %0, %1, s; }" : "=r"(r) : "r"(shifted));
  if ((spread & 0x7fu) == 0x7fu)
    r |= 0x7e00u;
  if ((spread & 0x7f0000u) == 0x7f0000u)
    r |= 0x7e000000u;
#endif
  return r;
}

/// Two e5m2 numbers as two f16 numbers: e5m2 is the upper half of an f16.
SINTER_DEVICE u32 e5m2ToF16(u32 pair) { return ((pair & 0xffu) << 8) | ((pair & 0xff00u) << 16); }

/// f32 to an 8-bit float with `kMantissa` bits of mantissa and exponent bias `kBias`, nearest even,
/// saturating at `largest`; NaN stays NaN. For chips without the instruction.
template <int kMantissa, int kBias> SINTER_DEVICE u32 toFp8(float x, float largest) {
  const u32 bits = asBits(x), sign = (bits >> 24) & 0x80u;
  float a = asFloat(bits & 0x7fffffffu);
  if (a != a)
    return sign | 0x7fu;
  a = a < largest ? a : largest;
  // Adding 1.5 * 2^(23 + e) rounds a at bit e; below the smallest normal number e stops falling.
  const int exponent = maxOf(int(asBits(a) >> 23) - 127, 1 - kBias);
  const float magic = asFloat(u32(exponent - kMantissa + 23 + 127) << 23) * 1.5f;
  float rounded;
  asm("{ .reg .f32 t; add.rn.f32 t, %1, %2; sub.rn.f32 %0, t, %2; }"
      : "=f"(rounded)
      : "f"(a), "f"(magic));
  const u32 r = asBits(rounded);
  const int e = int(r >> 23) - 127;
  if (e < 1 - kBias) // subnormal: a multiple of 2^(1 - bias - mantissa)
    return sign | u32(rounded * asFloat(u32(kBias - 1 + kMantissa + 127) << 23));
  return sign | u32((e + kBias) << kMantissa) | ((r >> (23 - kMantissa)) & ((1u << kMantissa) - 1));
}

SINTER_DEVICE u32 packE4m3(float low, float high) {
#if __CUDA_ARCH__ >= 890
  u16 r;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(high), "f"(low));
  return r;
#else
  return toFp8<3, 7>(low, 448.0f) | (toFp8<3, 7>(high, 448.0f) << 8);
#endif
}
SINTER_DEVICE u32 packE5m2(float low, float high) {
#if __CUDA_ARCH__ >= 890
  u16 r;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(r) : "f"(high), "f"(low));
  return r;
#else
  return toFp8<2, 15>(low, 57344.0f) | (toFp8<2, 15>(high, 57344.0f) << 8);
#endif
}

/// Bytes of a and b chosen by the nibbles of `selector`.
SINTER_DEVICE u32 bytePermute(u32 a, u32 b, u32 selector) {
  u32 r;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(selector));
  return r;
}

//===--- element types: two neighbours at a time ---===//

struct F32 {
  static constexpr int kBytes = 4;
  SINTER_DEVICE static void load2(const void *p, float &a, float &b) {
    const U32x2 x = *static_cast<const U32x2 *>(p);
    a = asFloat(x.v[0]);
    b = asFloat(x.v[1]);
  }
  SINTER_DEVICE static void store2(void *p, float a, float b) {
    *static_cast<U32x2 *>(p) = {{asBits(a), asBits(b)}};
  }
};
struct BF16 {
  static constexpr int kBytes = 2;
  SINTER_DEVICE static u32 pack(float a, float b) { return packBf16(a, b); }
  SINTER_DEVICE static float low(u32 pair) { return bf16Low(pair); }
  SINTER_DEVICE static float high(u32 pair) { return bf16High(pair); }
  SINTER_DEVICE static void load2(const void *p, float &a, float &b) {
    const u32 x = *static_cast<const u32 *>(p);
    a = low(x);
    b = high(x);
  }
  SINTER_DEVICE static void store2(void *p, float a, float b) {
    *static_cast<u32 *>(p) = pack(a, b);
  }
};
struct F16 {
  static constexpr int kBytes = 2;
  SINTER_DEVICE static u32 pack(float a, float b) { return packF16(a, b); }
  SINTER_DEVICE static float low(u32 pair) { return f16Low(pair); }
  SINTER_DEVICE static float high(u32 pair) { return f16High(pair); }
  SINTER_DEVICE static void load2(const void *p, float &a, float &b) {
    const u32 x = *static_cast<const u32 *>(p);
    a = low(x);
    b = high(x);
  }
  SINTER_DEVICE static void store2(void *p, float a, float b) {
    *static_cast<u32 *>(p) = pack(a, b);
  }
};
struct E4M3 {
  static constexpr int kBytes = 1;
  SINTER_DEVICE static u32 toF16(u32 pair) { return e4m3ToF16(pair); }
  SINTER_DEVICE static void load2(const void *p, float &a, float &b) {
    const u32 x = toF16(*static_cast<const u16 *>(p));
    a = f16Low(x);
    b = f16High(x);
  }
  SINTER_DEVICE static void store2(void *p, float a, float b) {
    *static_cast<u16 *>(p) = u16(packE4m3(a, b));
  }
};
struct E5M2 {
  static constexpr int kBytes = 1;
  SINTER_DEVICE static u32 toF16(u32 pair) { return e5m2ToF16(pair); }
  SINTER_DEVICE static void load2(const void *p, float &a, float &b) {
    const u32 x = toF16(*static_cast<const u16 *>(p));
    a = f16Low(x);
    b = f16High(x);
  }
  SINTER_DEVICE static void store2(void *p, float a, float b) {
    *static_cast<u16 *>(p) = u16(packE5m2(a, b));
  }
};

template <class A, class B> struct IsSame {
  static constexpr bool value = false;
};
template <class A> struct IsSame<A, A> {
  static constexpr bool value = true;
};

//===--- within a warp ---===//

SINTER_DEVICE u32 shuffleXor(u32 value, int mask) {
  u32 r;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;"
               : "=r"(r)
               : "r"(value), "r"(mask));
  return r;
}
SINTER_DEVICE float shuffleXor(float value, int mask) {
  return asFloat(shuffleXor(asBits(value), mask));
}
SINTER_DEVICE int shuffleIndex(int value, int lane) {
  int r;
  asm volatile("shfl.sync.idx.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(r) : "r"(value), "r"(lane));
  return r;
}
SINTER_DEVICE float broadcast(float value, int lane) {
  return asFloat(u32(shuffleIndex(int(asBits(value)), lane)));
}
SINTER_DEVICE bool anyInWarp(bool predicate) {
  int r;
  asm volatile("{ .reg .pred p, q; setp.ne.s32 p, %1, 0; vote.sync.any.pred q, p, 0xffffffff; "
               "selp.s32 %0, 1, 0, q; }"
               : "=r"(r)
               : "r"(int(predicate)));
  return r != 0;
}
SINTER_DEVICE float warpSum(float x) {
#pragma unroll
  for (int mask = 16; mask > 0; mask >>= 1)
    x += shuffleXor(x, mask);
  return x;
}

/// Transposes an 8x8 matrix of 16-bit numbers held as one register per lane.
SINTER_DEVICE u32 transpose8x8(u32 x) {
  u32 r;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(x));
  return r;
}

//===--- shared memory and asynchronous copies ---===//

/// What was written to shared memory is seen by copies into it and by the matrix instructions.
SINTER_DEVICE void fenceAsyncProxy() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

SINTER_DEVICE u32 sharedAddress(const void *p) {
  u32 r;
  asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(r) : "l"(p));
  return r;
}

/// Copies 16 bytes past the L1 cache; `bytes` (0 or 16) of them from memory, the rest zeros.
SINTER_DEVICE void cpAsync16(u32 to, const void *from, int bytes) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(bytes)
               : "memory");
}
SINTER_DEVICE void cpAsync16(u32 to, const void *from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(from)
               : "memory");
}
SINTER_DEVICE void cpAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending> SINTER_DEVICE void cpAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

SINTER_DEVICE void ldmatrix(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
SINTER_DEVICE void ldmatrixTransposed(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
SINTER_DEVICE u32 loadShared32(u32 address) {
  u32 r;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(r) : "r"(address) : "memory");
  return r;
}

SINTER_DEVICE U32x4 loadShared128(u32 address) {
  U32x4 x;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.v[0]), "=r"(x.v[1]), "=r"(x.v[2]), "=r"(x.v[3])
               : "r"(address)
               : "memory");
  return x;
}
SINTER_DEVICE void storeShared128(u32 address, const U32x4 &x) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(x.v[0]), "r"(x.v[1]),
               "r"(x.v[2]), "r"(x.v[3])
               : "memory");
}

//===--- global memory written by other blocks of the same launch ---===//

/// Reads from L2, where the writes of other blocks are.
SINTER_DEVICE float loadL2(const float *p) {
  float r;
  asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(r) : "l"(p) : "memory");
  return r;
}
/// Zeros where it is not `there`, without a branch.
SINTER_DEVICE U32x4 loadL2x4(const void *p, bool there) {
  U32x4 r;
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %5, 0; mov.b32 %0, 0; mov.b32 %1, 0; mov.b32 %2, 0; "
               "mov.b32 %3, 0; @p ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4]; }"
               : "=&r"(r.v[0]), "=&r"(r.v[1]), "=&r"(r.v[2]), "=&r"(r.v[3])
               : "l"(p), "r"(int(there))
               : "memory");
  return r;
}
SINTER_DEVICE U32x4 loadL2x4(const void *p) {
  U32x4 r;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(r.v[0]), "=r"(r.v[1]), "=r"(r.v[2]), "=r"(r.v[3])
               : "l"(p)
               : "memory");
  return r;
}

//===--- tensor cores ---===//

/// d[16x8] += a[16x16] * b[16x8], f32 accumulators.
template <class T> SINTER_DEVICE void mma16816(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  if constexpr (IsSame<T, BF16>::value)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

} // namespace sinter::kernels
