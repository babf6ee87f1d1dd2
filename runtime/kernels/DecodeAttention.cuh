//===- DecodeAttention.cuh - paged decode attention: the kernel body ---*- CUDA -*-===//
//
// Contract in DecodeAttention.h, plain reference in DecodeAttentionReference.h.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "DecodeChoice.cuh"
#include "DecodeLoader.cuh"
#include "Hooks.cuh"
#include "QkNormRopeWrite.cuh"

namespace sinter::kernels {

/// Queries come from memory, K and V of this step from the cache.
struct ReadyQueries {
  static constexpr bool kRaw = false;
};

/// Queries, K and V of this step come raw from the qkv linear (16-bit types, the cache fp8 or of
/// the same type): an item norms and
/// turns its queries and the K of its new positions, writes new K and V to the cache, and takes
/// them from shared memory itself, so that nothing of this step is read back from the cache.
template <class Query, class Cache, int kDim> struct RawQkv {
  static constexpr bool kRaw = true;
  QkNormRopeWrite<Query, Cache, kDim> qkv;
};

template <class Query, class Cache, int kDim, int kRowTiles, class Hooks, int kRows = 8 * kRowTiles,
          int kLimit = kDecodeSharedLimit, class Source = ReadyQueries>
class DecodeAttention {
  using Choice = DecodeMath<Query, Cache, kDim, kRowTiles, kRows, kLimit>;
  using Math = typename Choice::Type;
  static constexpr DecodeLayout kLayout = Choice::kLayout;
  static constexpr int kWarps = kLayout.warps, kStages = kLayout.stages;
  static constexpr int kThreads = kLayout.threads(), kMergeRows = kRows < 8 ? kRows : 8;
  static constexpr int kOutTiles = Math::kOutTiles;
  static constexpr bool kBulk = kLayout.bulk;
  static constexpr int kSlot = kLayout.tile_bytes;
  static constexpr int kRing = 2 * kStages * kSlot;
  static constexpr int kMergeStride = kDim + 4;
  static constexpr int kPending = 2 * kStages - 1;
  static constexpr int kChunks = kDim * Cache::kBytes / 16; // 16 bytes of a row
  static constexpr int kAtOnce =
      Choice::kFma || kRows > 4 ? 8 : 16; // parts a thread reads at once when it merges

public:
  SINTER_DEVICE static void run(const DecodeArgs &args, Source source = {}) {
    launchDependents();
    if (!args.early)
      wait();
    DecodeAttention self(args, source);
    self.items();
  }

private:
  /// Predecessors may have stored K and V, unless this kernel does that itself.
  SINTER_DEVICE static void wait() {
    waitForPredecessors();
    if constexpr (kBulk && !Source::kRaw)
      fenceAsyncGlobal();
  }

  SINTER_DEVICE DecodeAttention(const DecodeArgs &args, const Source &source)
      : a(args), source(source), lane(threadIndex() & 31), warp(threadIndex() >> 5),
        group(args.heads / args.kv_heads) {
    u8 *p = dynamicShared;
    barriers = sharedAddress(p) + u32(warp * 2 * kStages * 8);
    p += kLayout.barrier_bytes;
    ring = sharedAddress(p + warp * kRing);
    p += kWarps * kRing;
    merge = reinterpret_cast<float *>(p);
    p += kLayout.merge_bytes;
    queries = reinterpret_cast<float *>(p);
    p += kLayout.query_bytes;
    scratch = reinterpret_cast<float *>(p + warp * kLayout.scratch_bytes);
  }

  SINTER_DEVICE void items() {
    next.read(a, blockIndex());
    const int count = *a.count * a.kv_heads;
    DecodeLoader<Cache, kDim, kWarps, kBulk, Hooks::kWindow> loader(a, count, warp, lane);
    fill(loader);
    layerScale = a.scale * (a.k_scale ? *a.k_scale : 1.0f);
    int stage = 0;
    u32 phase = 0;
    if constexpr (Source::kRaw)
      if (blockIndex() < count) { // what the first item needs besides qkv is read before the wait
        open(blockIndex());
        source.qkv.expect(work.first_token + work.row0 / group);
      }
    wait();
    for (int item = blockIndex();; item += gridSize()) {
      const bool more = item < count;
      if (more) {
        if (!Source::kRaw || item != blockIndex())
          open(item);
        loadQueries();
        for (int key = work.kv_begin + warp * kTile; key < work.kv_end; key += kWarps * kTile) {
          tile(key, stage, phase, loader);
          stage = stage + 1 == kStages ? 0 : stage + 1;
          phase ^= u32(stage == 0);
          announce(); // the previous item's part: its stores have arrived by now
        }
        close();
      }
      finish(); // the previous item
      if (!more)
        break;
      remember();
    }
    if constexpr (!kBulk)
      cpAsyncWait<0>();
  }

  SINTER_DEVICE u32 slotAt(int stage, int isValue) const {
    return ring + u32((2 * stage + isValue) * kSlot);
  }
  SINTER_DEVICE u32 barrierAt(int stage, int isValue) const {
    return barriers + u32((2 * stage + isValue) * 8);
  }

  SINTER_DEVICE void initBarriers() const {
    if (lane == 0) {
      for (int i = 0; i < 2 * kStages; ++i)
        initBarrier(barriers + u32(i * 8), 1);
      fenceBarrierInit();
      fenceAsyncProxy();
    }
    syncWarp();
  }

  /// The ring's first tiles. With `early` the cache of earlier steps is as constant as a weight and
  /// is read before the predecessor has finished; what a tile has of this step is replaced later.
  template <class Loader> SINTER_DEVICE void fill(Loader &loader) {
    if constexpr (Source::kRaw)
      source.qkv.readGammas();
    if constexpr (kBulk)
      initBarriers();
    constexpr int kUnrolled = kBulk ? 1 : kStages; // a copy is one instruction, or many
#pragma unroll kUnrolled
    for (int s = 0; s < kStages; ++s) {
      if (!Source::kRaw && a.early && !loader.isOld())
        wait();
      loader.loadK(slotAt(s, 0), barrierAt(s, 0));
      loader.loadV(slotAt(s, 1), barrierAt(s, 1));
      loader.advance();
    }
  }

  //===--- one item ---===//

  SINTER_DEVICE void open(int item) {
    head = item % a.kv_heads;
    work = next;
    next.read(a, item + gridSize());
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
  }

  /// Where row `row0` + `row` of a sequence stands in q and out.
  SINTER_DEVICE u64 rowOffset(int firstToken, int kvHead, int row) const {
    const int token = row / group;
    return (u64(u32(firstToken + token)) * u32(a.heads) +
            u32(kvHead * group + row - token * group)) *
           kDim;
  }
  SINTER_DEVICE u64 rowOffset(int row) const {
    return rowOffset(work.first_token, head, work.row0 + row);
  }

  SINTER_DEVICE void loadQueries() {
    const u8 *q = static_cast<const u8 *>(a.q);
    if constexpr (Source::kRaw) {
      prepareRows();
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
        const int row = 8 * n + (lane >> 2);
        math.setQuery(n, row < rows ? reinterpret_cast<const u16 *>(prepared(row)) : nullptr,
                      lane & 3);
      }
    } else if constexpr (!Choice::kFma) {
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

  //===--- raw queries, K and V ---===//

  /// Rows of D elements in the merge area, which is free while an item is computed: the queries,
  /// then K and V of each new position.
  SINTER_DEVICE u8 *prepared(int row) const {
    return reinterpret_cast<u8 *>(merge) + row * (kDim * 2);
  }
  SINTER_DEVICE int firstNew() const { return maxOf(work.kv_begin, work.old_end); }

  /// Items that share positions (blocks of rows) write the same bytes to the cache.
  SINTER_DEVICE void prepareRows() {
    static_assert(!Choice::kFma, "raw rows are for the matrix instructions");
    static_assert((kRows + 2 * kDecodeMaxQuery) * kDim * 2 <= kLayout.merge_bytes, "no room");
    syncThreads();
    const int fresh = maxOf(0, work.kv_end - firstNew()); // none where the part ends before them
    for (int i = warp; i < rows + 2 * fresh; i += kWarps) {
      if (i < rows) {
        const int row = work.row0 + i, token = row / group;
        source.qkv.query(work.first_token + token, head * group + row - token * group, prepared(i));
      } else {
        const int token = work.first_token + (firstNew() - work.old_end) + ((i - rows) >> 1);
        u8 *here = prepared(kRows + i - rows);
        if ((i - rows) & 1)
          source.qkv.writeValue(token, head, here);
        else
          source.qkv.writeKey(token, head, here);
      }
    }
    syncThreads();
  }

  /// Puts the new rows of K (`isValue` 0) or V (1) over what the tile has in their place.
  SINTER_DEVICE void replaceNew(int key, u32 slot, int isValue) {
    if constexpr (Source::kRaw)
      for (int position = maxOf(key, firstNew()); position < minOf(key + kTile, work.kv_end);
           ++position) {
        const u8 *row = prepared(kRows + 2 * (position - firstNew()) + isValue);
        if (lane < kChunks)
          storeShared128(slot + u32((position - key) * kLayout.row_bytes) + u32(lane * 16),
                         *reinterpret_cast<const U32x4 *>(row + lane * 16));
      }
  }

  /// Zeros in the rows of V past the end: what a page has there may be no number.
  SINTER_DEVICE void clearPast(int key, u32 slot) {
    if constexpr (kBulk)
      for (int position = maxOf(key, work.kv_end); position < key + kTile; ++position)
        if (lane < kChunks)
          storeShared128(slot + u32((position - key) * kLayout.row_bytes) + u32(lane * 16), {});
  }

  /// The first position that a row of the item may see.
  SINTER_DEVICE int firstSeen() const { return work.old_end + 1 - a.window; }

  /// Zeros in the rows of V that have left the window, whose page may have gone.
  SINTER_DEVICE void clearBefore(int key, u32 slot) {
    for (int position = key; position < minOf(key + kTile, firstSeen()); ++position)
      if (lane < kChunks)
        storeShared128(slot + u32((position - key) * kLayout.row_bytes) + u32(lane * 16), {});
  }

  /// The tile has arrived and is what it should be, for all lanes.
  SINTER_DEVICE void receive(int key, int stage, int isValue, u32 phase) {
    if constexpr (kBulk)
      waitBarrier(barrierAt(stage, isValue), phase);
    else
      cpAsyncWait<kPending>();
    syncWarp();
    if constexpr (kBulk || Source::kRaw) {
      const u32 slot = slotAt(stage, isValue);
      bool whole = key + kTile <= minOf(work.old_end, work.kv_end);
      if constexpr (kBulk && Hooks::kWindow)
        whole = bool(whole & (key >= firstSeen()));
      if (whole)
        return;
      replaceNew(key, slot, isValue);
      if (isValue)
        clearPast(key, slot);
      if constexpr (kBulk && Hooks::kWindow)
        if (isValue)
          clearBefore(key, slot);
      if constexpr (kBulk)
        fenceAsyncProxy(); // the next copy into the slot comes after these stores
      syncWarp();
    }
  }

  //===--- one tile ---===//

  template <class Loader>
  SINTER_DEVICE void tile(int key, int stage, u32 phase, Loader &loader) {
    float s[kRowTiles][4] = {};
    receive(key, stage, 0, phase);
    math.scores(s, slotAt(stage, 0), lane, queries);
    syncWarp();
    // The next K goes where this one was: the loader stands kStages tiles ahead.
    loader.loadK(slotAt(stage, 0), barrierAt(stage, 0));
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n)
      softmax(n, s[n], key);
    receive(key, stage, 1, phase);
    math.accumulate(out, slotAt(stage, 1), lane, scratch);
    syncWarp();
    loader.loadV(slotAt(stage, 1), barrierAt(stage, 1));
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
        bool seen = bool(Hooks::mask(work.seq, h, pos, kvPos) & (kvPos < work.kv_end));
        if constexpr (Hooks::kWindow)
          seen = bool(inWindow(a.window, pos, kvPos) & seen);
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

  /// Row r is merged by warp r % kWarps, over the warps and, if it is the last to announce its part
  /// of the row, over the splits.
  SINTER_DEVICE void close() {
    float *ml = merge + kWarps * kMergeRows * kMergeStride; // [warp][kMergeRows][2]
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n)
      if (8 * n < rows) {
        syncThreads(); // the merge area has been read
        publishWarp(n, ml);
        syncThreads();
        for (int row = warp; row < minOf(8, rows - 8 * n); row += kWarps)
          combineWarps(8 * n + row, ml + row * 2, merge + row * kMergeStride);
      }
  }

  SINTER_DEVICE void remember() {
    if (work.splits > 1 && warp < rows)
      pending = {u32(work.first * a.kv_heads + head),
                 u32(work.stride * a.kv_heads),
                 work.splits,
                 work.first_token,
                 work.row0,
                 rows,
                 head,
                 0,
                 kUnannounced};
  }

  SINTER_DEVICE void publishWarp(int n, float *ml) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float total = sum[n][r];
      total += shuffleXor(total, 4);
      total += shuffleXor(total, 8);
      total += shuffleXor(total, 16);
      const int row = warp * kMergeRows + 2 * (lane & 3) + r;
      if (2 * (lane & 3) + r >= kMergeRows)
        continue;
      if (lane < 4)
        F32::store2(ml + row * 2, maximum[n][r], total);
      float *to = merge + row * kMergeStride;
      if constexpr (kBulk) { // four neighbouring dimensions at a time
#pragma unroll
        for (int i = 0; i < kOutTiles; i += 2)
          *reinterpret_cast<U32x4 *>(to + Math::dim(i, 0, lane >> 2)) = {
              {asBits(out[n][i][r]), asBits(out[n][i][2 + r]), asBits(out[n][i + 1][r]),
               asBits(out[n][i + 1][2 + r])}};
        continue;
      }
#pragma unroll
      for (int i = 0; i < kOutTiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          if (Math::dim(i, half, lane >> 2) < kDim)
            to[Math::dim(i, half, lane >> 2)] = out[n][i][2 * half + r];
    }
  }

  SINTER_DEVICE void combineWarps(int row, const float *ml, const float *parts) {
    float top = minusInfinity(), total = 0, weight[kWarps];
    const u64 slot = u64(u32(work.slot * a.kv_heads + head)) * kRows + u32(row);
#pragma unroll
    for (int w = 0; w < kWarps; ++w)
      top = maxOf(top, ml[w * 2 * kMergeRows]);
    const float base = top == minusInfinity() ? 0.0f : top;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      weight[w] = exp2Approx(ml[w * 2 * kMergeRows] - base);
      total += weight[w] * ml[w * 2 * kMergeRows + 1];
    }
    for (int d = 4 * lane; d < kDim; d += 128) {
      float x[4] = {};
#pragma unroll
      for (int w = 0; w < kWarps; ++w)
        addScaled(x, weight[w],
                  *reinterpret_cast<const U32x4 *>(parts + w * kMergeRows * kMergeStride + d));
      if (work.splits == 1)
        store(rowOffset(row) + u32(d), head, x, total);
      else
        *reinterpret_cast<U32x4 *>(a.partial + slot * kDim + u32(d)) = {
            {asBits(x[0]), asBits(x[1]), asBits(x[2]), asBits(x[3])}};
    }
    if (work.splits > 1 && lane == 0)
      F32::store2(a.partial_ml + slot * 2, top, total);
  }

  SINTER_DEVICE static void addScaled(float (&x)[4], float weight, const U32x4 &part) {
#pragma unroll
    for (int j = 0; j < 4; ++j)
      x[j] += weight * asFloat(part.v[j]);
  }

  SINTER_DEVICE void store(u64 at, int kvHead, const float (&x)[4], float total) {
    float factor = total == 0.0f ? 0.0f : 1.0f / total; // a row that sees nothing is zero
    if (a.v_dequant)
      factor *= a.v_dequant[kvHead];
    u8 *to = static_cast<u8 *>(a.out) + at * Query::kBytes;
    Query::store2(to, x[0] * factor, x[1] * factor);
    Query::store2(to + 2 * Query::kBytes, x[2] * factor, x[3] * factor);
  }

  //===--- merging the splits ---===//

  /// Tells the others that this warp's rows of its part are stored. Deferred until after a tile of
  /// the next item, so that the atomic finds the stores done.
  SINTER_DEVICE void announce() {
    if (pending.state != kUnannounced)
      return;
    syncWarp();
    if (lane == 0)
      pending.ticket = atomicAddOrdered(a.counters + u64(pending.first) * kWarps + u32(warp), 1);
    pending.state = kAnnounced;
  }

  /// The warp that announces last merges; its arithmetic does not depend on which one that is.
  SINTER_DEVICE void finish() {
    announce();
    if (pending.state == kNothing)
      return;
    pending.state = kNothing;
    if (shuffleIndex(int(pending.ticket), 0) + 1 != pending.splits)
      return;
    syncWarp(); // what lane 0 knows now, all know
    if (lane == 0)
      a.counters[u64(pending.first) * kWarps + u32(warp)] = 0;
    for (int row = warp; row < pending.rows; row += kWarps)
      mergeRow(row);
  }

  SINTER_DEVICE void mergeRow(int row) {
    static_assert(kDecodeMaxSplits == 32, "a lane holds the weight of one split");
    const u64 from = u64(pending.first) * kRows + u32(row), step = u64(pending.step) * kRows;
    U32x4 part[kAtOnce]; // all loads of a group are under way before the first is used
    readParts(part, 0, from, step, 4 * lane);
    const float *ml = a.partial_ml + (from + u32(lane) * step) * 2;
    const bool has = lane < pending.splits;
    const float m = has ? loadL2(ml) : minusInfinity(), l = has ? loadL2(ml + 1) : 0.0f;
    float top = m;
#pragma unroll
    for (int mask = 1; mask < 32; mask *= 2)
      top = maxOf(top, shuffleXor(top, mask));
    const float weight = exp2Approx(m - (top == minusInfinity() ? 0.0f : top));
    const float total = warpSum(weight * l);
#pragma unroll 1
    for (int d = 4 * lane; d - 4 * lane < kDim; d += 128) {
      float x[4] = {};
#pragma unroll 1
      for (int group0 = 0; group0 < pending.splits; group0 += kAtOnce) {
        if (group0 > 0 || d >= 128)
          readParts(part, group0, from, step, d);
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) // weights past the last split are zero
          addScaled(x, broadcast(weight, group0 + j), part[j]);
      }
      if (d < kDim)
        store(rowOffset(pending.firstToken, pending.head, pending.row0 + row) + u32(d),
              pending.head, x, total);
    }
  }

  SINTER_DEVICE void readParts(U32x4 (&part)[kAtOnce], int first, u64 from, u64 step, int d) const {
    const float *at = a.partial + from * kDim + u32(minOf(d, kDim - 4));
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j)
      part[j] = loadL2x4(at + u64(u32(minOf(first + j, pending.splits - 1))) * step * kDim);
  }

  /// What is left to do for an item whose splits are merged.
  enum State { kNothing, kUnannounced, kAnnounced };
  struct Pending {
    u32 first, step;
    int splits, firstToken, row0, rows, head;
    u32 ticket;
    State state;
  };

  /// A work entry, read an item before it is used.
  struct Work : DecodeWork {
    SINTER_DEVICE void read(const DecodeArgs &a, int item) {
      const int entry = item / a.kv_heads;
      if (entry < a.max_entries)
        static_cast<DecodeWork &>(*this) = a.work[entry];
    }
  };

  const DecodeArgs &a;
  Source source;
  int lane, warp, group;
  u32 barriers, ring;
  float *merge, *queries, *scratch;
  Pending pending{};

  Work work{}, next{};
  int head, rows;
  float layerScale, scale;
  int qHead[kRowTiles][2], qPos[kRowTiles][2];
  float maximum[kRowTiles][2], sum[kRowTiles][2];
  float out[kRowTiles][kOutTiles][4];
  Math math;
};

} // namespace sinter::kernels
