//===- QkNormRopeWrite.cuh - q/k norm, RoPE and the KV write: the body -*- CUDA -*-===//
//
// Contract in QkNormRopeWrite.h, plain reference in QkNormRopeWriteReference.h. A lane holds two
// neighbouring elements of the first half of a head and the two they are rotated with.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "QkNormRopeWrite.h"
#include "device.h"

namespace sinter::kernels {

template <class Type, class Cache, int kDim> class QkNormRopeWrite {
  static constexpr int kHalf = kDim / 2;
  static constexpr int kSteps = (kHalf + 63) / 64;
  static constexpr int kTogether = qkvHeadsTogether(kDim); // heads of a token that a warp takes

public:
  SINTER_DEVICE static void run(const QkvArgs &args) {
    QkNormRopeWrite self(args);
    self.readGammas();
    launchDependents();
    waitForPredecessors();
    self.heads();
  }

  /// The cache write alone: rows of K and V [T, H, D], nothing turned.
  SINTER_DEVICE static void runWrite(const QkvArgs &args, const void *k, const void *v) {
    QkNormRopeWrite self(args);
    launchDependents();
    waitForPredecessors();
    const int warps = gridSize() * (kQkvThreads / 32), perToken = 2 * args.kv_heads;
    for (int item = blockIndex() * (kQkvThreads / 32) + (threadIndex() >> 5);
         item < args.tokens * perToken; item += warps) {
      const int token = item / perToken, half = item - token * perToken;
      const bool isKey = half < args.kv_heads;
      const int h = isKey ? half : half - args.kv_heads;
      Values x;
      self.template read<Type>(x, static_cast<const u8 *>(isKey ? k : v) +
                                      u64(u32(token * args.kv_heads + h)) * (kDim * Type::kBytes));
      self.write(x, isKey ? args.k : args.v, token, h,
                 isKey && args.k_scale ? 1.0f / *args.k_scale : 1.0f, isKey && args.k_packed);
    }
  }

  SINTER_DEVICE explicit QkNormRopeWrite(const QkvArgs &args) : a(args), lane(threadIndex() & 31) {}

  //===--- for kernels that do this as a part of theirs: each call takes a whole warp ---===//

  SINTER_DEVICE void readGammas() {
    if (a.q_gamma) {
      read<F32>(qGamma, a.q_gamma);
      read<F32>(kGamma, a.k_gamma);
    }
  }

  /// Reads what a token of the step will need besides its row of qkv: all of it is there before the
  /// step's first kernel starts.
  SINTER_DEVICE void expect(int token) {
    expected = token;
    read<F32>(expectedAngle, angleOf(token));
    expectedSlot = a.slots ? a.slots[token] : -1;
    keyScale = a.k_scale ? *a.k_scale : 1.0f;
  }

  /// The query of a token and a head, to D elements.
  SINTER_DEVICE void query(int token, int head, u8 *to) const {
    Values x;
    readHead(x, token, head);
    finishQuery(x, token, to);
  }

  /// K of a token to the cache and, where `copy` is not null, to D elements there.
  SINTER_DEVICE void writeKey(int token, int h, u8 *copy = nullptr) const {
    Values x;
    readHead(x, token, a.heads + h);
    finishKey(x, token, h, copy);
  }

  SINTER_DEVICE void writeValue(int token, int h, u8 *copy = nullptr) const {
    Values x;
    readHead(x, token, a.heads + a.kv_heads + h);
    finishValue(x, token, h, copy);
  }

private:
  struct Values {
    float low[kSteps][2], high[kSteps][2]; // elements i, i + 1 and i + D/2, i + 1 + D/2
  };

  /// First element of the lane in a step, and whether it exists.
  SINTER_DEVICE int at(int step) const { return 64 * step + 2 * lane; }
  SINTER_DEVICE bool has(int step) const { return kHalf % 64 == 0 || at(step) < kHalf; }

  SINTER_DEVICE void finishQuery(Values &x, int token, u8 *to) const {
    normAndTurn(x, qGamma, token);
#pragma unroll
    for (int s = 0; s < kSteps; ++s)
      if (has(s)) {
        Type::store2(to + at(s) * Type::kBytes, x.low[s][0], x.low[s][1]);
        Type::store2(to + (at(s) + kHalf) * Type::kBytes, x.high[s][0], x.high[s][1]);
      }
  }

  SINTER_DEVICE void finishKey(Values &x, int token, int h, u8 *copy = nullptr) const {
    normAndTurn(x, kGamma, token);
    const float scale = expected >= 0 ? keyScale : a.k_scale ? *a.k_scale : 1.0f;
    write(x, a.k, token, h, 1.0f / (scale * (a.k_dequant ? a.k_dequant[h] : 1.0f)), a.k_packed != 0,
          copy);
  }

  SINTER_DEVICE void finishValue(const Values &x, int token, int h, u8 *copy = nullptr) const {
    write(x, a.v, token, h, a.v_dequant ? 1.0f / a.v_dequant[h] : 1.0f, false, copy);
  }

  SINTER_DEVICE const float *angleOf(int token) const {
    return a.table + u64(u32(a.positions[token])) * kDim;
  }

  template <class T> SINTER_DEVICE void read(Values &x, const void *row) const {
    const u8 *p = static_cast<const u8 *>(row);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      x.low[s][0] = x.low[s][1] = x.high[s][0] = x.high[s][1] = 0;
      if (has(s)) {
        T::load2(p + at(s) * T::kBytes, x.low[s][0], x.low[s][1]);
        T::load2(p + (at(s) + kHalf) * T::kBytes, x.high[s][0], x.high[s][1]);
      }
    }
  }

  SINTER_DEVICE void readHead(Values &x, int token, int head) const {
    const int item = token * (a.heads + 2 * a.kv_heads) + head;
    read<Type>(x, static_cast<const u8 *>(a.qkv) + u64(u32(item)) * (kDim * Type::kBytes));
  }

  /// A warp takes a few heads of a token: what they share is read once, and their rows are all
  /// under way before the first is used.
  SINTER_DEVICE void heads() {
    const int perToken = a.heads + 2 * a.kv_heads, groups = (perToken + kTogether - 1) / kTogether;
    const int warps = gridSize() * (kQkvThreads / 32);
    for (int item = blockIndex() * (kQkvThreads / 32) + (threadIndex() >> 5);
         item < a.tokens * groups; item += warps) {
      const int token = item / groups, first = (item - token * groups) * kTogether;
      Values x[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i)
        readHead(x[i], token, minOf(first + i, perToken - 1));
      expect(token);
#pragma unroll
      for (int i = 0; i < kTogether; ++i)
        if (first + i < perToken)
          finishHead(x[i], token, first + i);
    }
  }

  SINTER_DEVICE void finishHead(Values &x, int token, int head) const {
    if (head < a.heads)
      finishQuery(x, token,
                  static_cast<u8 *>(a.q) +
                      (u64(u32(token)) * u32(a.heads) + u32(head)) * (kDim * Type::kBytes));
    else if (head < a.heads + a.kv_heads)
      finishKey(x, token, head - a.heads);
    else
      finishValue(x, token, head - a.heads - a.kv_heads);
  }

  SINTER_DEVICE void normAndTurn(Values &x, const Values &gamma, int token) const {
    if (a.q_gamma) {
      float squares = 0;
#pragma unroll
      for (int s = 0; s < kSteps; ++s)
#pragma unroll
        for (int j = 0; j < 2; ++j)
          squares += x.low[s][j] * x.low[s][j] + x.high[s][j] * x.high[s][j];
      const float factor = rsqrtApprox(warpSum(squares) * (1.0f / kDim) + a.eps);
#pragma unroll
      for (int s = 0; s < kSteps; ++s)
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          x.low[s][j] *= factor * gamma.low[s][j];
          x.high[s][j] *= factor * gamma.high[s][j];
        }
    }
    Values angle = expectedAngle; // cosines in low, sines in high
    if (token != expected)
      read<F32>(angle, angleOf(token));
#pragma unroll
    for (int s = 0; s < kSteps; ++s)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const float low = x.low[s][j], high = x.high[s][j];
        x.low[s][j] = low * angle.low[s][j] - high * angle.high[s][j];
        x.high[s][j] = high * angle.low[s][j] + low * angle.high[s][j];
      }
  }

  SINTER_DEVICE void write(const Values &x, void *stream, int token, int head, float factor,
                           bool packed, u8 *copy = nullptr) const {
    constexpr int kX = 16 / Cache::kBytes;
    const int slot = token == expected ? expectedSlot : a.slots[token];
    const int page = 1 << a.page_log2, offset = slot & (page - 1);
    u8 *to = static_cast<u8 *>(stream) + u64(u32(slot >> a.page_log2)) * a.page_bytes +
             u64(u32(head)) * (u64(u32(page)) * (kDim * Cache::kBytes));
#pragma unroll
    for (int s = 0; s < kSteps; ++s)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        if (has(s)) {
          const int d = at(s) + half * kHalf;
          const int index = packed ? (d / kX * page + offset) * kX + d % kX : offset * kDim + d;
          const float *pair = half ? x.high[s] : x.low[s];
          if (slot >= 0)
            Cache::store2(to + index * Cache::kBytes, pair[0] * factor, pair[1] * factor);
          if (copy)
            Cache::store2(copy + d * Cache::kBytes, pair[0] * factor, pair[1] * factor);
        }
  }

  const QkvArgs &a;
  int lane;
  Values qGamma, kGamma;
  int expected = -1, expectedSlot = -1; ///< a token read ahead; -1: none
  Values expectedAngle;
  float keyScale = 1;
};

} // namespace sinter::kernels
