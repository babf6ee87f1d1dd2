//===- PagedCache.h - a random paged cache with poison around it -*- C++ -*-===//
//
// Keys and values of S sequences, once as dense floats for the reference and once scattered over
// permuted pages of a pool in which every byte that belongs to no position is 0xff: NaN in every
// element type. Pages of which a sequence sees nothing any more are gone: -1 in its table.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Gpu.h"
#include "Values.h"

#include <numeric>

namespace sinter::test {

struct CacheShape {
  Type type = Type::BF16;
  int kvHeads = 2, dim = 128, pageLog2 = 4;
  bool packed = false; ///< K as [D/x, page, x]

  int page() const { return 1 << pageLog2; }
  size_t headBytes() const { return size_t(page()) * size_t(dim) * size_t(bytesOf(type)); }
  size_t streamBytes() const { return size_t(kvHeads) * headBytes(); }
  /// Two layers, of which the second is used.
  size_t pageBytes() const { return 4 * streamBytes(); }
  size_t kOffset() const { return 2 * streamBytes(); }
  size_t vOffset() const { return 3 * streamBytes(); }

  /// Index of an element within a head of the K stream.
  size_t kIndex(int offset, int d) const {
    const int x = 16 / bytesOf(type);
    return packed ? size_t((d / x * page() + offset) * x + d % x) : vIndex(offset, d);
  }
  size_t vIndex(int offset, int d) const { return size_t(offset * dim + d); }
};

/// For every sequence the positions that its first query token does not see; 0: there is no window.
inline std::vector<int> hiddenBy(int window, const std::vector<int> &ctx,
                                 const std::vector<int> &query) {
  std::vector<int> hidden(ctx.size());
  for (size_t s = 0; s < ctx.size(); ++s)
    hidden[s] = window ? std::max(0, ctx[s] - (s < query.size() ? query[s] : 1) + 1 - window) : 0;
  return hidden;
}

struct PagedCache {
  CacheShape shape;
  std::vector<int> ctx;
  int stride = 0; ///< of the block table
  std::vector<int> table;
  std::vector<uint8_t> pool;
  std::vector<std::vector<float>> keys, values; ///< per sequence [ctx, H, D], as stored

  /// `hidden`: per sequence the positions before the first that is seen; empty: none.
  PagedCache(const CacheShape &shape, std::vector<int> contexts, uint64_t seed, float kMagnitude,
             const std::vector<int> &hidden = {})
      : shape(shape), ctx(std::move(contexts)) {
    int pages = 0;
    for (int c : ctx) {
      stride = std::max(stride, (c >> shape.pageLog2) + 2);
      pages += (c + shape.page() - 1) >> shape.pageLog2;
    }
    std::vector<int> free(size_t(pages) + 3);
    std::iota(free.begin(), free.end(), 0);
    Random random(seed);
    for (size_t i = free.size(); i > 1; --i)
      std::swap(free[i - 1], free[size_t(random.below(int(i)))]);
    pool.assign(free.size() * shape.pageBytes(), 0xff);
    table.assign(ctx.size() * size_t(stride), -1);
    size_t next = 0;
    for (size_t s = 0; s < ctx.size(); ++s)
      for (int p = hidden.empty() ? 0 : hidden[s] >> shape.pageLog2; p << shape.pageLog2 < ctx[s];
           ++p)
        table[s * size_t(stride) + size_t(p)] = free[next++];
    fill(seed, kMagnitude);
  }

private:
  void fill(uint64_t seed, float kMagnitude) {
    keys.resize(ctx.size());
    values.resize(ctx.size());
    for (size_t s = 0; s < ctx.size(); ++s) {
      const size_t row = size_t(shape.kvHeads) * size_t(shape.dim);
      keys[s].resize(size_t(ctx[s]) * row);
      values[s].resize(size_t(ctx[s]) * row);
      parallelFor(ctx[s], [&, s, row](int position) {
        Random random(seed * 1000003 + s * 65537 + uint64_t(position) + 17);
        const int page = table[s * size_t(stride) + size_t(position >> shape.pageLog2)];
        const int offset = position & (shape.page() - 1);
        uint8_t *base = page < 0 ? nullptr : pool.data() + size_t(page) * shape.pageBytes();
        for (int h = 0; h < shape.kvHeads; ++h)
          for (int d = 0; d < shape.dim; ++d) {
            const size_t at = size_t(position) * row + size_t(h * shape.dim + d);
            const uint32_t k = encode(shape.type, double(random.value() * kMagnitude));
            const uint32_t v = encode(shape.type, double(random.value()));
            const size_t head = size_t(h) * shape.headBytes();
            if (base) {
              put(shape.type, base + shape.kOffset() + head, shape.kIndex(offset, d), k);
              put(shape.type, base + shape.vOffset() + head, shape.vIndex(offset, d), v);
            }
            keys[s][at] = decode(shape.type, k);
            values[s][at] = decode(shape.type, v);
          }
      });
    }
  }
};

} // namespace sinter::test
