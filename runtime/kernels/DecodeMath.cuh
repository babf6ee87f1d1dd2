//===- DecodeMath.cuh - a tile of 16 positions against the query rows --*- CUDA -*-===//
//
// The arithmetic of decode attention on one tile of K and one of V in shared memory. Roles are
// swapped against prefill: positions and head dimensions are the m16 side of the matrix
// instruction, query rows the n8 side, so that one to eight rows cost one instruction.
//
// Every policy has the register layout of mma.m16n8k16's accumulator, with g = lane / 4 and
// t = lane % 4:
//   scores  S[n][0..3]: positions g, g, g+8, g+8 of rows 8n + 2t, +1, +0, +1
//   output  O[n][i][0..3]: dimensions dim(i, 0), same, dim(i, 1), same of those rows
//
//===----------------------------------------------------------------------===//
#pragma once

#include "DecodeAttention.h"
#include "device.h"

namespace sinter::kernels {

constexpr int kTile = 16;

/// A tile of K or V in shared memory.
template <class Cache, int kDim> struct TileShape {
  static constexpr int kChunks = kDim * Cache::kBytes / 16;
  static constexpr int kRowBytes = decodeLayout(4, 1, Cache::kBytes, false, kDim, 1, 8).row_bytes;
};

/// bf16 and f16 caches: K through ldmatrix, V through ldmatrix.trans.
template <class Query, class Cache, int kDim, int kRowTiles> struct Mma16Math {
  using Shape = TileShape<Cache, kDim>;
  static constexpr int kOutTiles = kDim / 16;
  // bf16 probabilities would add an error as large as that of a bf16 result: they are split in two.
  static constexpr bool kSplit = IsSame<Cache, BF16>::value;
  static constexpr int kParts = kSplit ? 2 : 1;

  u32 query[kRowTiles][kDim / 16][2];
  u32 probability[kRowTiles][kParts][2];

  SINTER_DEVICE static int dim(int tile, int half, int g) { return tile * 16 + half * 8 + g; }

  SINTER_DEVICE static u32 convert(u32 pair) {
    if constexpr (IsSame<Query, Cache>::value)
      return pair;
    else
      return Cache::pack(Query::low(pair), Query::high(pair));
  }

  /// Row 8n + g of the block, null for a row that is not there.
  SINTER_DEVICE void setQuery(int n, const u16 *row, int t) {
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        query[n][i][j] =
            row ? convert(*reinterpret_cast<const u32 *>(row + i * 16 + j * 8 + 2 * t)) : 0u;
  }

  SINTER_DEVICE static void add(float (&to)[kRowTiles][4], const float (&from)[kRowTiles][4]) {
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        to[n][j] += from[n][j];
  }

  SINTER_DEVICE void scores(float (&s)[kRowTiles][4], u32 tile, int lane, const float *) const {
    const u32 from =
        tile + u32(((lane >> 3 & 1) * 8 + (lane & 7)) * Shape::kRowBytes + (lane >> 4) * 16);
    float odd[kRowTiles][4] = {};
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i) {
      u32 k[4];
      ldmatrix(k, from + u32(i * 32));
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n)
        mma16816<Cache>(i % 2 == 0 ? s[n] : odd[n], k, query[n][i][0], query[n][i][1]);
    }
    add(s, odd);
  }

  SINTER_DEVICE void setProbabilities(int n, const float (&p)[4], int, float *) {
    const u32 high[2] = {Cache::pack(p[0], p[1]), Cache::pack(p[2], p[3])};
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      probability[n][0][j] = transpose8x8(high[j]);
      if constexpr (kSplit)
        probability[n][kParts - 1][j] = transpose8x8(
            Cache::pack(p[2 * j] - Cache::low(high[j]), p[2 * j + 1] - Cache::high(high[j])));
    }
  }

  SINTER_DEVICE void accumulate(float (&o)[kRowTiles][kOutTiles][4], u32 tile, int lane,
                                const float *) const {
    const u32 from =
        tile + u32(((lane >> 4) * 8 + (lane & 7)) * Shape::kRowBytes + (lane >> 3 & 1) * 16);
#pragma unroll
    for (int i = 0; i < kOutTiles; ++i) {
      u32 v[4];
      ldmatrixTransposed(v, from + u32(i * 32));
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n)
#pragma unroll
        for (int part = 0; part < kParts; ++part)
          mma16816<Cache>(o[n][i], v, probability[n][part][0], probability[n][part][1]);
    }
  }
};

/// fp8 caches, widened to f16 (exact) on the way to the registers. Lane t's four neighbouring bytes
/// stand for columns 2t, 2t+1, 2t+8, 2t+9 of the instruction; queries are permuted alike. Lane g's
/// four neighbouring dimensions of V are rows g and g+8 of two output tiles.
template <class Query, class Cache, int kDim, int kRowTiles> struct Mma8Math {
  using Shape = TileShape<Cache, kDim>;
  static constexpr int kOutTiles = (kDim + 31) / 32 * 2; // dimensions past kDim are discarded

  u32 query[kRowTiles][kDim / 16][2];
  u32 probability[kRowTiles][2];

  SINTER_DEVICE static int dim(int tile, int half, int g) {
    return tile / 2 * 32 + 4 * g + tile % 2 * 2 + half;
  }

  SINTER_DEVICE void setQuery(int n, const u16 *row, int t) {
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const u32 x = row ? *reinterpret_cast<const u32 *>(row + i * 16 + 4 * t + 2 * j) : 0u;
        query[n][i][j] = packF16(Query::low(x), Query::high(x));
      }
  }

  SINTER_DEVICE void scores(float (&s)[kRowTiles][4], u32 tile, int lane, const float *) const {
    const u32 from = tile + u32((lane >> 2) * Shape::kRowBytes + (lane & 3) * 4);
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i) {
      const u32 upper = loadShared32(from + u32(i * 16));
      const u32 lower = loadShared32(from + u32(8 * Shape::kRowBytes + i * 16));
      const u32 k[4] = {Cache::toF16(upper), Cache::toF16(lower), Cache::toF16(upper >> 16),
                        Cache::toF16(lower >> 16)};
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n)
        mma16816<F16>(s[n], k, query[n][i][0], query[n][i][1]);
    }
  }

  SINTER_DEVICE void setProbabilities(int n, const float (&p)[4], int, float *) {
    probability[n][0] = transpose8x8(packF16(p[0], p[1]));
    probability[n][1] = transpose8x8(packF16(p[2], p[3]));
  }

  SINTER_DEVICE void accumulate(float (&o)[kRowTiles][kOutTiles][4], u32 tile, int lane,
                                const float *) const {
    const u32 from = tile + u32((lane & 3) * 2 * Shape::kRowBytes + (lane >> 2) * 4);
#pragma unroll
    for (int i = 0; i < kOutTiles / 2; ++i) {
      u32 w[4]; // four dimensions of positions 2t, 2t+1, 2t+8, 2t+9
#pragma unroll
      for (int j = 0; j < 4; ++j)
        w[j] = loadShared32(from + u32(((j & 1) + (j >> 1) * 8) * Shape::kRowBytes + i * 32));
      const u32 near[2] = {bytePermute(w[0], w[1], 0x5140), bytePermute(w[0], w[1], 0x7362)};
      const u32 far[2] = {bytePermute(w[2], w[3], 0x5140), bytePermute(w[2], w[3], 0x7362)};
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const u32 v[4] = {Cache::toF16(near[half]), Cache::toF16(near[half] >> 16),
                          Cache::toF16(far[half]), Cache::toF16(far[half] >> 16)};
#pragma unroll
        for (int n = 0; n < kRowTiles; ++n)
          mma16816<F16>(o[n][2 * i + half], v, probability[n][0], probability[n][1]);
      }
    }
  }
};

/// Everything else: f32 arithmetic, queries and probabilities in shared memory.
template <class Query, class Cache, int kDim, int kRowTiles> struct FmaMath {
  using Shape = TileShape<Cache, kDim>;
  static constexpr int kOutTiles = kDim / 16;
  static constexpr int kQueryStride = kDim + 4;

  SINTER_DEVICE static int dim(int tile, int half, int g) { return tile * 16 + half * 8 + g; }

  SINTER_DEVICE static const u8 *tileBytes(u32 tile) {
    return dynamicShared + (tile - sharedAddress(dynamicShared));
  }

  SINTER_DEVICE void scores(float (&s)[kRowTiles][4], u32 tile, int lane, const float *q) const {
    const u8 *k = tileBytes(tile) + (lane >> 2) * Shape::kRowBytes;
    const float *rows = q + 2 * (lane & 3) * kQueryStride;
    for (int d = 0; d < kDim; d += 2) {
      float a[2][2];
      Cache::load2(k + d * Cache::kBytes, a[0][0], a[0][1]);
      Cache::load2(k + 8 * Shape::kRowBytes + d * Cache::kBytes, a[1][0], a[1][1]);
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          float q0, q1;
          F32::load2(rows + (8 * n + r) * kQueryStride + d, q0, q1);
          s[n][r] += a[0][0] * q0 + a[0][1] * q1;
          s[n][2 + r] += a[1][0] * q0 + a[1][1] * q1;
        }
    }
  }

  /// scratch f32 [position][row].
  SINTER_DEVICE void setProbabilities(int n, const float (&p)[4], int lane, float *scratch) {
    float *to = scratch + (lane >> 2) * 8 * kRowTiles + 8 * n + 2 * (lane & 3);
    F32::store2(to, p[0], p[1]);
    F32::store2(to + 8 * 8 * kRowTiles, p[2], p[3]);
  }

  SINTER_DEVICE void accumulate(float (&o)[kRowTiles][kOutTiles][4], u32 tile, int lane,
                                const float *scratch) const {
    syncWarp(); // the probabilities of all lanes are in scratch
    const int g = lane >> 2;
    for (int key = 0; key < kTile; ++key) {
      const u8 *v = tileBytes(tile) + key * Shape::kRowBytes;
      float p[kRowTiles][2];
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n)
        F32::load2(scratch + key * 8 * kRowTiles + 8 * n + 2 * (lane & 3), p[n][0], p[n][1]);
#pragma unroll
      for (int i = 0; i < kOutTiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float x = loadOne(v, dim(i, half, g));
#pragma unroll
          for (int n = 0; n < kRowTiles; ++n) {
            o[n][i][2 * half] += p[n][0] * x;
            o[n][i][2 * half + 1] += p[n][1] * x;
          }
        }
    }
  }

  SINTER_DEVICE static float loadOne(const u8 *row, int d) {
    if constexpr (Cache::kBytes == 4) {
      return *reinterpret_cast<const float *>(row + d * 4);
    } else {
      float even, odd;
      Cache::load2(row + (d & ~1) * Cache::kBytes, even, odd);
      return d & 1 ? odd : even;
    }
  }
};

} // namespace sinter::kernels
