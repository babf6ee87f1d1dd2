//===- PagedCache.h - the cache as kernels see it ---------------*- C++ -*-===//
#pragma once

#include "sinter/Support/DType.h"

#include <cstdint>

namespace sinter::gpu {

/// One layer's K and V in every page.
struct PagedCache {
  int64_t heads = 0;
  int64_t headDim = 0;
  int64_t page = 16; ///< tokens: 8, 16, 32, 64
  DType type = DType::BF16;
  bool kPacked = false;  ///< K as [heads, headDim / x, page, x], x = 16 / bytes
  int64_t pageBytes = 0; ///< from page to page, all layers
  /// K and V of one token, all heads.
  int64_t tokenBytes() const { return 2 * heads * headDim * int64_t(dtypeBytes(type)); }
};

/// xfmr.qk_norm_rope_write, xfmr.kv_write and xfmr.rope.
struct CacheWriteSpec {
  PagedCache cache; ///< rope: headDim only
  int64_t heads = 0;
  DType x = DType::BF16;
  bool norm = false;
  bool kScale = false;
  float eps = 1e-6f;
  int64_t maxTokens = 1;
  /// Of one token, norms and rotations.
  int64_t flops() const { return 7 * (heads + cache.heads) * cache.headDim; }
};

} // namespace sinter::gpu
