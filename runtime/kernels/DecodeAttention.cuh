//===- DecodeAttention.cuh - paged decode attention: the kernel body ---*- CUDA -*-===//
//
// Contract in DecodeAttention.h, plain reference in DecodeAttentionReference.h.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "DecodeLoader.cuh"

namespace sinter::kernels {

/// What the compiler replaces for masks and score modifiers: pure, inlined, called without
/// branches. `b` is the sequence, `h` the query head.
struct CausalHooks {
  SINTER_DEVICE static bool mask(int, int, int qPos, int kvPos) { return kvPos <= qPos; }
  SINTER_DEVICE static float score(float s, int, int, int, int) { return s; }
};

template <class Query, class Cache, int kDim, int kRowTiles, class Hooks> class DecodeAttention {
  using Choice = DecodeMath<Query, Cache, kDim, kRowTiles>;
  using Math = typename Choice::Type;
  static constexpr DecodeLayout kLayout = Choice::kLayout;
  static constexpr int kWarps = kLayout.warps, kStages = kLayout.stages;
  static constexpr int kThreads = kLayout.threads(), kRows = 8 * kRowTiles;
  static constexpr int kOutTiles = Math::kOutTiles;
  static constexpr int kSlot = TileShape<Cache, kDim>::kBytes;
  static constexpr int kRing = 2 * kStages * kSlot;
  static constexpr int kMergeStride = kDim + 4;
  static constexpr int kPending = 2 * kStages - 1;
  static constexpr int kAtOnce = 16; // parts a thread reads at once when it merges

public:
  SINTER_DEVICE static void run(const DecodeArgs &args) {
    launchDependents();
    waitForPredecessors();
    DecodeAttention self(args);
    self.items();
  }

private:
  SINTER_DEVICE explicit DecodeAttention(const DecodeArgs &args)
      : a(args), lane(threadIndex() & 31), warp(threadIndex() >> 5),
        group(args.heads / args.kv_heads) {
    u8 *p = dynamicShared;
    ring = sharedAddress(p + warp * kRing);
    p += kWarps * kRing;
    merge = reinterpret_cast<float *>(p);
    p += kLayout.merge_bytes;
    queries = reinterpret_cast<float *>(p);
    p += kLayout.query_bytes;
    scratch = reinterpret_cast<float *>(p + warp * kLayout.scratch_bytes);
    layerScale = a.scale * (a.k_scale ? *a.k_scale : 1.0f);
  }

  SINTER_DEVICE void items() {
    const int count = *a.count * a.kv_heads;
    DecodeLoader<Cache, kDim, kWarps> loader(a, count, warp, lane);
    for (int s = 0; s < kStages; ++s) {
      loader.loadK(ring + u32(2 * s * kSlot));
      loader.loadV(ring + u32((2 * s + 1) * kSlot));
      loader.advance();
    }
    int stage = 0;
    for (int item = blockIndex(); item < count; item += gridSize()) {
      open(item);
      for (int key = work.kv_begin + warp * kTile; key < work.kv_end; key += kWarps * kTile) {
        tile(key, ring + u32(2 * stage * kSlot), loader);
        stage = stage + 1 == kStages ? 0 : stage + 1;
      }
      close(item);
    }
    cpAsyncWait<0>();
  }

  //===--- one item ---===//

  SINTER_DEVICE void open(int item) {
    const int entry = item / a.kv_heads;
    head = item - entry * a.kv_heads;
    work = a.work[entry];
    rows = minOf(kRows, work.q_len * group - work.row0);
    // K-unscale and softmax scale in one factor; scores are in natural units for the hook.
    scale = layerScale * (a.k_dequant ? a.k_dequant[head] : 1.0f);
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int row = 8 * n + 2 * (lane & 3) + r;
        const int token = (work.row0 + minOf(row, rows - 1)) / group;
        qHead[n][r] = head * group + (work.row0 + minOf(row, rows - 1)) - token * group;
        qPos[n][r] = a.positions[work.first_token + token];
        maximum[n][r] = minusInfinity();
        sum[n][r] = 0;
      }
#pragma unroll
      for (int i = 0; i < kOutTiles; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          out[n][i][j] = 0;
    }
    loadQueries();
  }

  SINTER_DEVICE u64 rowOffset(int row) const {
    const int r = work.row0 + row, token = r / group;
    return (u64(u32(work.first_token + token)) * u32(a.heads) +
            u32(head * group + r - token * group)) *
           kDim;
  }

  SINTER_DEVICE void loadQueries() {
    const u8 *q = static_cast<const u8 *>(a.q);
    if constexpr (!Choice::kFma) {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
        const int row = 8 * n + (lane >> 2);
        math.setQuery(n, row < rows ? reinterpret_cast<const u16 *>(q) + rowOffset(row) : nullptr,
                      lane & 3);
      }
    } else {
      // Since the last barrier in close() nobody reads the previous item's queries.
      for (int i = threadIndex(); i < kRows * kDim / 2; i += kThreads) {
        const int row = i / (kDim / 2), d = i % (kDim / 2) * 2;
        float x = 0, y = 0;
        if (row < rows)
          Query::load2(q + (rowOffset(row) + u32(d)) * Query::kBytes, x, y);
        F32::store2(queries + row * Math::kQueryStride + d, x, y);
      }
      syncThreads();
    }
  }

  //===--- one tile ---===//

  template <class Loader> SINTER_DEVICE void tile(int key, u32 slot, Loader &loader) {
    float s[kRowTiles][4] = {};
    cpAsyncWait<kPending>();
    syncWarp();
    math.scores(s, slot, lane, queries);
    syncWarp();
    // The next K goes where this one was: the loader stands kStages tiles ahead.
    loader.loadK(slot);
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n)
      softmax(n, s[n], key);
    cpAsyncWait<kPending>();
    syncWarp();
    math.accumulate(out, slot + kSlot, lane, scratch);
    syncWarp();
    loader.loadV(slot + kSlot);
    loader.advance();
  }

  SINTER_DEVICE void softmax(int n, float (&s)[4], int key) {
    float alpha[2];
    bool moved = false;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const int kvPos = key + (lane >> 2) + 8 * k, h = qHead[n][r], pos = qPos[n][r];
        const float x = Hooks::score(s[2 * k + r] * scale, work.seq, h, pos, kvPos) * kLog2e;
        const bool seen = bool(Hooks::mask(work.seq, h, pos, kvPos) & (kvPos < work.kv_end));
        s[2 * k + r] = seen ? x : minusInfinity();
      }
      float top = maxOf(s[r], s[2 + r]);
      top = maxOf(top, shuffleXor(top, 4));
      top = maxOf(top, shuffleXor(top, 8));
      top = maxOf(top, shuffleXor(top, 16));
      top = maxOf(top, maximum[n][r]);
      const float base = top == minusInfinity() ? 0.0f : top; // nothing visible so far
      alpha[r] = exp2Approx(maximum[n][r] - base);
      moved = moved | (top != maximum[n][r]);
      maximum[n][r] = top;
      s[r] = exp2Approx(s[r] - base);
      s[2 + r] = exp2Approx(s[2 + r] - base);
      sum[n][r] = sum[n][r] * alpha[r] + (s[r] + s[2 + r]);
    }
    if (anyInWarp(moved))
#pragma unroll
      for (int i = 0; i < kOutTiles; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          out[n][i][j] *= alpha[j & 1];
    math.setProbabilities(n, s, lane, scratch);
  }

  //===--- merging the warps ---===//

  SINTER_DEVICE void close(int item) {
    float *ml = merge + kWarps * 8 * kMergeStride; // [warp][8][2]
    // One warp finishes the item while the others go on; they take turns.
    const bool closes = warp == turn;
    turn = turn + 1 == kWarps ? 0 : turn + 1;
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n)
      if (8 * n < rows) {
        syncThreads(); // the merge area has been read
        publishWarp(n, ml);
        syncThreads();
        if (closes)
          combineWarps(item, n, ml);
      }
    if (closes && work.splits > 1)
      finishSplit(item);
  }

  SINTER_DEVICE void publishWarp(int n, float *ml) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float total = sum[n][r];
      total += shuffleXor(total, 4);
      total += shuffleXor(total, 8);
      total += shuffleXor(total, 16);
      const int row = warp * 8 + 2 * (lane & 3) + r;
      if (lane < 4)
        F32::store2(ml + row * 2, maximum[n][r], total);
#pragma unroll
      for (int i = 0; i < kOutTiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          if (Math::dim(i, half, lane >> 2) < kDim)
            merge[row * kMergeStride + Math::dim(i, half, lane >> 2)] = out[n][i][2 * half + r];
    }
  }

  SINTER_DEVICE void combineWarps(int item, int n, const float *ml) {
    for (int i = lane; i < minOf(8, rows - 8 * n) * (kDim / 4); i += 32) {
      const int row = i / (kDim / 4), d = i % (kDim / 4) * 4;
      float top = minusInfinity();
#pragma unroll
      for (int w = 0; w < kWarps; ++w)
        top = maxOf(top, ml[(w * 8 + row) * 2]);
      const float base = top == minusInfinity() ? 0.0f : top;
      float total = 0, x[4] = {};
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        const float weight = exp2Approx(ml[(w * 8 + row) * 2] - base);
        total += weight * ml[(w * 8 + row) * 2 + 1];
        const U32x4 part =
            *reinterpret_cast<const U32x4 *>(merge + (w * 8 + row) * kMergeStride + d);
#pragma unroll
        for (int j = 0; j < 4; ++j)
          x[j] += weight * asFloat(part.v[j]);
      }
      if (work.splits == 1) {
        store(8 * n + row, d, x, total);
        continue;
      }
      const u64 part = u64(u32(item)) * kRows + u32(8 * n + row);
      *reinterpret_cast<U32x4 *>(a.partial + part * kDim +
                                 d) = {{asBits(x[0]), asBits(x[1]), asBits(x[2]), asBits(x[3])}};
      if (d == 0)
        F32::store2(a.partial_ml + part * 2, top, total);
    }
  }

  SINTER_DEVICE void store(int row, int d, const float (&x)[4], float total) {
    float factor = total == 0.0f ? 0.0f : 1.0f / total; // a row that sees nothing is zero
    if (a.v_dequant)
      factor *= a.v_dequant[head];
    u8 *to = static_cast<u8 *>(a.out) + (rowOffset(row) + u32(d)) * Query::kBytes;
    Query::store2(to, x[0] * factor, x[1] * factor);
    Query::store2(to + 2 * Query::kBytes, x[2] * factor, x[3] * factor);
  }

  //===--- merging the splits ---===//

  /// The warp that finishes last merges; its arithmetic does not depend on which one that is.
  SINTER_DEVICE void finishSplit(int item) {
    const int first = work.first * a.kv_heads + head;
    u32 before = 0;
    syncWarp();
    if (lane == 0) {
      fenceGpu();
      before = atomicAddGpu(a.counters + first, 1);
    }
    if (u32(shuffleIndex(int(before), 0)) + 1 != u32(work.splits))
      return;
    fenceGpu();
    if (lane == 0)
      a.counters[first] = 0;
    for (int row = 0; row < rows; ++row)
      mergeRow(u64(u32(first)) * kRows + u32(row), u64(u32(work.stride * a.kv_heads)) * kRows, row);
  }

  /// Row `from` + split * `step` of the workspace, over all splits.
  SINTER_DEVICE void mergeRow(u64 from, u64 step, int row) {
    float *ml = merge; // [split][2]: the merge area is this warp's until the next barrier
    float top = minusInfinity();
    syncWarp();
    for (int i = lane; i < work.splits; i += 32) {
      const float *part = a.partial_ml + (from + u32(i) * step) * 2;
      const float m = loadL2(part);
      F32::store2(ml + 2 * i, m, loadL2(part + 1));
      top = maxOf(top, m);
    }
#pragma unroll
    for (int mask = 1; mask < 32; mask *= 2)
      top = maxOf(top, shuffleXor(top, mask));
    const float base = top == minusInfinity() ? 0.0f : top;
    syncWarp();
    for (int d = 4 * lane; d < kDim; d += 128) {
      const float *at = a.partial + from * kDim + u32(d);
      float total = 0, x[4] = {};
      for (int s0 = 0; s0 < work.splits; s0 += kAtOnce) {
        U32x4 part[kAtOnce]; // all loads are under way before the first is used
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j)
          part[j] = loadL2x4(at + u64(u32(minOf(s0 + j, work.splits - 1))) * step * kDim);
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) {
          if (s0 + j < work.splits) {
            const float weight = exp2Approx(ml[2 * (s0 + j)] - base);
            total += weight * ml[2 * (s0 + j) + 1];
#pragma unroll
            for (int k = 0; k < 4; ++k)
              x[k] += weight * asFloat(part[j].v[k]);
          }
        }
      }
      store(row, d, x, total);
    }
  }

  const DecodeArgs &a;
  int lane, warp, group;
  u32 ring;
  float *merge, *queries, *scratch;
  int turn = 0; // the warp that closes this item

  DecodeWork work;
  int head, rows;
  float layerScale, scale;
  int qHead[kRowTiles][2], qPos[kRowTiles][2];
  float maximum[kRowTiles][2], sum[kRowTiles][2];
  float out[kRowTiles][kOutTiles][4];
  Math math;
};

} // namespace sinter::kernels
