//===- DecodeBulk.cuh - tiles as they lie in memory --------------------*- CUDA -*-===//
//
// Arithmetic on tiles of 16-bit rows of 256 bytes that were copied in one piece. No padding keeps
// rows out of each other's banks, so lanes read 16 bytes at a time, and neighbours in different
// order: of K without conflicts, of V with two lanes at a bank.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "DecodeMath.cuh"

namespace sinter::kernels {

/// Two chunks that were read in the other order where `crossed`.
SINTER_DEVICE void uncross(U32x4 (&x)[2], bool crossed) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const u32 a = x[0].v[i], b = x[1].v[i];
    x[0].v[i] = crossed ? b : a;
    x[1].v[i] = crossed ? a : b;
  }
}

/// Lane t's chunks of K, 8 elements each, stand for columns 2t, 2t+1, 2t+8, 2t+9 of two
/// instructions; queries are permuted alike. Lane g's two chunks of V are rows g and g+8 of four
/// output tiles each.
template <class Type, int kRowTiles> struct BulkMath : Mma16Math<Type, Type, 128, kRowTiles> {
  using Base = Mma16Math<Type, Type, 128, kRowTiles>;
  using Base::kOutTiles, Base::kParts, Base::query, Base::probability;
  static constexpr int kDim = 128, kRow = kDim * Type::kBytes;

  SINTER_DEVICE static int dim(int tile, int half, int g) {
    return (2 * g + tile / 4) * 8 + tile % 4 * 2 + half;
  }

  SINTER_DEVICE void setQuery(int n, const u16 *row, int t) {
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        query[n][i][j] = row ? *reinterpret_cast<const u32 *>(row + (i / 2 * 4 + t) * 8 +
                                                              i % 2 * 4 + 2 * j)
                             : 0u;
  }

  SINTER_DEVICE void scores(float (&s)[kRowTiles][4], u32 tile, int lane, const float *) const {
    const bool crossed = (lane >> 2 & 1) != 0;
    const u32 from = tile + u32((lane >> 2) * kRow + (lane & 3) * 16);
    const u32 near = from + (crossed ? 64u : 0u), far = from + (crossed ? 0u : 64u);
    float odd[kRowTiles][4] = {};
#pragma unroll
    for (int i = 0; i < kDim / 16; i += 4) {
      U32x4 upper[2] = {loadShared128(near + u32(i * 32)), loadShared128(far + u32(i * 32))};
      U32x4 lower[2] = {loadShared128(near + u32(8 * kRow + i * 32)),
                        loadShared128(far + u32(8 * kRow + i * 32))};
      uncross(upper, crossed);
      uncross(lower, crossed);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const u32 first[4] = {upper[j].v[0], lower[j].v[0], upper[j].v[1], lower[j].v[1]};
        const u32 second[4] = {upper[j].v[2], lower[j].v[2], upper[j].v[3], lower[j].v[3]};
#pragma unroll
        for (int n = 0; n < kRowTiles; ++n) {
          mma16816<Type>(s[n], first, query[n][i + 2 * j][0], query[n][i + 2 * j][1]);
          mma16816<Type>(odd[n], second, query[n][i + 2 * j + 1][0], query[n][i + 2 * j + 1][1]);
        }
      }
    }
    Base::add(s, odd);
  }

  SINTER_DEVICE void accumulate(float (&o)[kRowTiles][kOutTiles][4], u32 tile, int lane,
                                const float *) const {
    const int g = lane >> 2, t = lane & 3;
    const bool crossed = (t & 1) != 0;
    const u32 from = tile + u32(2 * t * kRow + g * 32);
    const u32 near = from + (crossed ? 16u : 0u), far = from + (crossed ? 0u : 16u);
    U32x4 w[4][2]; // twice eight dimensions of the positions of rows 2t, 2t+1, 2t+8, 2t+9
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const u32 row = u32(((j & 1) + (j >> 1) * 8) * kRow);
      w[j][0] = loadShared128(near + row);
      w[j][1] = loadShared128(far + row);
      uncross(w[j], crossed);
    }
#pragma unroll
    for (int i = 0; i < kOutTiles; ++i) {
      const int s = i / 4, e = i % 4;
      const u32 v[4] = {bytePermute(w[0][s].v[e], w[1][s].v[e], 0x5410),
                        bytePermute(w[0][s].v[e], w[1][s].v[e], 0x7632),
                        bytePermute(w[2][s].v[e], w[3][s].v[e], 0x5410),
                        bytePermute(w[2][s].v[e], w[3][s].v[e], 0x7632)};
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n)
#pragma unroll
        for (int part = 0; part < kParts; ++part)
          mma16816<Type>(o[n][i], v, probability[n][part][0], probability[n][part][1]);
    }
  }
};

} // namespace sinter::kernels
