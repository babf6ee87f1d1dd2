//===- QkvCheck.h - what qk_norm_rope_write leaves, checked -----*- C++ -*-===//
//
// Rows of q, k and v as they go in, where their tokens stand and go to, and q and a pool of pages
// as they came out: every number against the reference, every other byte still poison.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "PagedCache.h"

#include "runtime/kernels/QkNormRopeWriteReference.h"

#include <string>

namespace sinter::test {

/// Codes as integers in the order of their values: neighbours differ by one.
inline int ordered(Type t, uint32_t bits) {
  const uint32_t sign = 1u << (8 * bytesOf(t) - 1);
  return bits & sign ? -int(bits & (sign - 1)) : int(bits);
}

/// Compares rounded numbers with what they should round to: at most one step apart, rarely.
struct Codes {
  int64_t count = 0, apart = 0, wrong = 0;
  /// Where a rotation cancels, f32 rounding of the head's other elements (of size `size`) shows.
  void add(Type t, uint32_t got, double want, double size) {
    ++count;
    if (t == Type::F32) {
      const double g = double(decode(t, got));
      wrong += !(std::fabs(g - want) <= 2e-6 * (std::fabs(want) + size));
      return;
    }
    if (std::fabs(double(decode(t, got)) - want) <= 1e-6 * size)
      return;
    const int distance = std::abs(ordered(t, got) - ordered(t, encode(t, want)));
    apart += distance == 1;
    wrong += distance > 1;
  }
  bool ok() const { return count > 0 && wrong == 0 && apart * 100 <= count; }
  std::string text() const {
    return ": " + std::to_string(wrong) + " wrong, " + std::to_string(apart) + " one step off of " +
           std::to_string(count);
  }
};

struct QkvRows {
  struct Finding {
    bool ok;
    std::string text;
  };

  Type type = Type::BF16; ///< of x and q
  CacheShape shape;
  int heads = 6, tokens = 19;
  bool norm = true;
  float kScale = 1;
  int pages = 0;
  std::vector<float> x, qGamma, kGamma, table;
  std::vector<float> kDequant, vDequant; ///< per kv head; empty: 1
  std::vector<int> positions, slots;
  std::vector<uint8_t> q, pool;

  int columns() const { return (heads + 2 * shape.kvHeads) * shape.dim; }

  /// Norm weights (those of K around `kGammaMean`), angles, and a place of its own for every token,
  /// but for some that go nowhere.
  void makePlaces(Random &random, float kGammaMean) {
    const size_t dim = size_t(shape.dim);
    for (size_t d = 0; d < dim; ++d) {
      qGamma.push_back(1 + 0.3f * random.value());
      kGamma.push_back(kGammaMean * (1 + 0.3f * random.value()));
    }
    const int maxPosition = 200;
    for (int p = 0; p < maxPosition; ++p)
      for (size_t i = 0; i < dim; ++i) {
        const double a = p * std::pow(1e4, -2.0 * double(i % (dim / 2)) / double(dim));
        table.push_back(float(i < dim / 2 ? std::cos(a) : std::sin(a)));
      }
    pages = tokens / shape.page() + 3;
    std::vector<int> all(size_t(pages * shape.page()));
    std::iota(all.begin(), all.end(), 0);
    for (int t = 0; t < tokens; ++t) {
      std::swap(all[size_t(t)], all[size_t(t + random.below(int(all.size()) - t))]);
      positions.push_back(random.below(maxPosition));
      slots.push_back(t % 5 == 3 ? -1 : all[size_t(t)]);
    }
  }

  /// What was written is right and nothing else was written. `count`: tokens that there were.
  std::vector<Finding> check(int count = -1) const {
    const int dim = shape.dim, kvHeads = shape.kvHeads;
    Codes queries, keys, values;
    std::vector<double> want(static_cast<size_t>(dim));
    std::vector<uint8_t> rest = pool;
    const int present = count < 0 ? tokens : count;
    for (int t = 0; t < present; ++t)
      for (int h = 0; h < heads + 2 * kvHeads; ++h) {
        const bool isQ = h < heads, isV = h >= heads + kvHeads;
        const int kv = isV ? h - heads - kvHeads : h - heads;
        if (!isQ && slots[size_t(t)] < 0)
          continue;
        const float *gamma = !norm || isV ? nullptr : isQ ? qGamma.data() : kGamma.data();
        const auto dequant = [&](const std::vector<float> &v) {
          return v.empty() ? 1.0 : double(v[size_t(kv)]);
        };
        const double divisor = isQ   ? 1.0
                               : isV ? dequant(vDequant)
                                     : double(kScale) * dequant(kDequant);
        kernels::qkNormRopeReference(x.data() + t * columns() + h * dim, gamma,
                                     isV ? nullptr : table.data() + positions[size_t(t)] * dim,
                                     1e-6, divisor, dim, want.data());
        double size = 0;
        for (double w : want)
          size = std::max(size, std::fabs(w));
        for (int d = 0; d < dim; ++d) {
          if (isQ) {
            const size_t index = size_t((t * heads + h) * dim + d);
            queries.add(type, fetch(type, q.data(), index), want[size_t(d)], size);
            continue;
          }
          const int slot = slots[size_t(t)], offset = slot & (shape.page() - 1);
          const size_t base = size_t(slot >> shape.pageLog2) * shape.pageBytes() +
                              size_t(kv) * shape.headBytes() +
                              (isV ? shape.vOffset() : shape.kOffset());
          const size_t index = isV ? shape.vIndex(offset, d) : shape.kIndex(offset, d);
          (isV ? values : keys)
              .add(shape.type, fetch(shape.type, pool.data() + base, index), want[size_t(d)], size);
          put(shape.type, rest.data() + base, index, 0xffffffffu);
        }
      }
    const auto poison = [](uint8_t b) { return b == 0xff; };
    const size_t written = size_t(present * heads * dim * bytesOf(type));
    const bool clean = std::all_of(rest.begin(), rest.end(), poison) &&
                       std::all_of(q.begin() + ptrdiff_t(written), q.end(), poison);
    const std::string what =
        " page " + std::to_string(shape.page()) + (shape.packed ? " packed" : "");
    return {{queries.ok(), what + " q" + queries.text()},
            {keys.ok(), what + " k" + keys.text()},
            {values.ok(), what + " v" + values.text()},
            {clean, what + ": wrote outside of its slots"}};
  }

  bool wrong() const {
    const std::vector<Finding> all = check();
    return std::any_of(all.begin(), all.end(), [](const Finding &f) { return !f.ok; });
  }
};

} // namespace sinter::test
