//===- DecodeChoice.cuh - which arithmetic a variant uses --------------*- CUDA -*-===//
#pragma once

#include "DecodeBulk.cuh"

namespace sinter::kernels {

template <bool kFirst, class A, class B> struct Choose {
  using Type = A;
};
template <class A, class B> struct Choose<false, A, B> {
  using Type = B;
};

/// The arithmetic and the layout of a pair of element types.
template <class Query, class Cache, int kDim, int kRowTiles, int kRows = 8 * kRowTiles,
          int kLimit = kDecodeSharedLimit>
struct DecodeMath {
  static constexpr bool kFma = decodeUsesFma(
      Query::kBytes, Cache::kBytes, IsSame<Query, F16>::value &&IsSame<Cache, BF16>::value);
  static constexpr DecodeLayout kLayout =
      decodeLayout(Cache::kBytes, kFma, kDim, kRowTiles, kRows, kLimit);
  static_assert(kLayout.shared_bytes <= kLimit, "too large");
  using Mma = typename Choose<Cache::kBytes == 1, Mma8Math<Query, Cache, kDim, kRowTiles>,
                              Mma16Math<Query, Cache, kDim, kRowTiles>>::Type;
  using Plain = typename Choose<kFma, FmaMath<Query, Cache, kDim, kRowTiles>, Mma>::Type;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  static_assert(!kLayout.bulk, "bulk copies are of sm_90");
#endif
  using Type = typename Choose<kLayout.bulk, BulkMath<Cache, kRowTiles>, Plain>::Type;
};

} // namespace sinter::kernels
