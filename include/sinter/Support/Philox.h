//===- Philox.h - Philox4x32-10 counter-based random numbers ----*- C++ -*-===//
//
// A pure function from (key, counter) to 128 random bits (Salmon et al., "Parallel random numbers:
// as easy as 1, 2, 3", SC 2011). No state: any number of a sequence can be asked for in any order
// and by any thread, which makes sampling and random weights reproducible.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <array>
#include <cstdint>

namespace sinter {

using PhiloxBlock = std::array<uint32_t, 4>;

inline PhiloxBlock philox4x32(PhiloxBlock counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t(0xd2511f53u) * counter[0];
    const uint64_t p1 = uint64_t(0xcd9e8d57u) * counter[2];
    counter = {uint32_t(p1 >> 32) ^ counter[1] ^ key[0], uint32_t(p1),
               uint32_t(p0 >> 32) ^ counter[3] ^ key[1], uint32_t(p0)};
    key[0] += 0x9e3779b9u;
    key[1] += 0xbb67ae85u;
  }
  return counter;
}

/// The four numbers of one (seed, position, block): lanes 4*block to 4*block + 3.
inline PhiloxBlock philoxBlock(uint64_t seed, uint64_t position, uint32_t block) {
  return philox4x32({uint32_t(position), uint32_t(position >> 32), block, 0},
                    {uint32_t(seed), uint32_t(seed >> 32)});
}

/// 24 random bits as a float in [0, 1).
inline float unitFloat(uint32_t bits) { return float(bits >> 8) * 0x1p-24f; }

/// Uniform in [0, 1), a pure function of its arguments.
inline float uniform(uint64_t seed, uint64_t position, uint32_t lane) {
  return unitFloat(philoxBlock(seed, position, lane / 4)[lane % 4]);
}

} // namespace sinter
