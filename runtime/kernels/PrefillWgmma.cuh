//===- PrefillWgmma.cuh - prefill attention for sm_90a, head size 128 --*- CUDA -*-===//
//
// Contract in PrefillAttention.h. Three warpgroups: one copies, two compute on 64 of an item's 128
// query rows each. Tiles of 128 positions go through rings of two stages for K and three for V,
// items' queries through one of two. A tile of queries is two panels of 64 columns, one of K or V
// groups of eight rows, each in two panels: so a page is one piece. Tiles of an fp8 cache go through
// the copying threads' registers, where they are widened to the queries' type (Widen.cuh).
//
//   full   the bytes are there                           (every copying thread arrives)
//   empty  the computing warps have read the stage       (every computing warp arrives)
//
// Within a warpgroup the scores of tile j + 1 are under way together with the product of the
// probabilities of tile j and V; the softmax overlaps with the latter. Between the warpgroups,
// named barriers let one compute its softmax while the other has the tensor cores.
//
// Registers of a computing thread, g = lane / 4, t = lane % 4, for rows g and g + 8 of its warp:
//   scores  S[4n + 0..3]: rows g, g, g+8, g+8, positions 8n + 2t, +1, +0, +1; output O alike
//
//===----------------------------------------------------------------------===//
#pragma once

#include "AsyncCopy.cuh"
#include "Hooks.cuh"
#include "PrefillAttention.h"
#include "Widen.cuh"

namespace sinter::kernels {

template <class Type, class Cache, class Hooks> class PrefillWgmma {
  static constexpr int kDim = 128, kRows = 128, kKeys = kPrefillWgmmaKeys;
  static constexpr int kRowBytes = kDim * 2, kChunks = kRowBytes / 16;
  static constexpr u32 kPanel = kRows * 128, kTileBytes = 2 * kPanel, kGroup = 8 * 128;
  static constexpr int kWarpgroup = 128, kQueryStages = 2, kKeyStages = 2, kValueStages = 3;
  static constexpr int kTiles = kQueryStages + kKeyStages + kValueStages;
  static constexpr bool kWidens = Cache::kBytes == 1;
  static_assert(kWidens || IsSame<Type, Cache>::value, "16-bit caches have the queries' type");
  // As many as spill nothing; all three warpgroups together have 3 * 168.
  static constexpr int kCopyRegisters = kWidens ? 96 : 56, kMathRegisters = kWidens ? 200 : 224;
  static_assert(kKeys == kRows, "K, V and Q have tiles of one size");

public:
  SINTER_DEVICE static void run(const PrefillArgs &args) {
    launchDependents();
    if (!args.early)
      waitForPredecessors();
    PrefillWgmma self(args);
    self.initBarriers();
    self.items = *args.count * args.kv_heads;
    if (threadIndex() < kWarpgroup) {
      fewerRegisters<kCopyRegisters>();
      if constexpr (kWidens)
        self.copyWidened();
      else
        self.copy();
    } else {
      moreRegisters<kMathRegisters>();
      self.compute();
    }
  }

private:
  SINTER_DEVICE explicit PrefillWgmma(const PrefillArgs &args) : a(args) {
    shared = sharedAddress(dynamicShared);
  }

  //===--- shared memory: stages of Q, K and V, barriers ---===//

  SINTER_DEVICE u32 queries(int stage) const { return shared + u32(stage) * kTileBytes; }
  SINTER_DEVICE u32 keys(int stage) const { return queries(kQueryStages + stage); }
  SINTER_DEVICE u32 values(int stage) const { return keys(kKeyStages + stage); }
  /// Of stages in the order above: full, then empty.
  SINTER_DEVICE u32 barrier(int i) const { return shared + kTiles * kTileBytes + u32(8 * i); }
  SINTER_DEVICE u32 queriesFull(int stage) const { return barrier(stage); }
  SINTER_DEVICE u32 keysFull(int stage) const { return barrier(kQueryStages + stage); }
  SINTER_DEVICE u32 valuesFull(int stage) const {
    return barrier(kQueryStages + kKeyStages + stage);
  }
  SINTER_DEVICE static u32 emptyOf(u32 full) { return full + 8 * kTiles; }

  SINTER_DEVICE void initBarriers() const {
    static_assert(kTiles * (kTileBytes + 16) <= kPrefillWgmmaSharedBytes, "barriers have no room");
    if (threadIndex() == 0) {
      for (int i = 0; i < kTiles; ++i) {
        initBarrier(barrier(i), kWarpgroup);
        initBarrier(emptyOf(barrier(i)), 8);
      }
      fenceBarrierInit();
    }
    syncThreads();
  }

  //===--- items ---===//

  /// The block's i-th item, back and forth, so that every block gets as many long ones.
  SINTER_DEVICE int itemAt(int round) const {
    return round * gridSize() + ((round & 1) != 0 ? gridSize() - 1 - blockIndex() : blockIndex());
  }
  SINTER_DEVICE int group() const { return a.heads / a.kv_heads; }

  SINTER_DEVICE void readItem(int item) {
    asm volatile("" : "+r"(item)); // read where it says so
    head = item % a.kv_heads;
    work = a.work[item / a.kv_heads];
    rows = minOf(kRows, work.q_len * group() - work.row0);
    end = a.ctx[work.seq];
    const int last = a.positions[tokenOf(rows - 1)];
    tiles = maxOf(1, ceilDiv(Hooks::kCausal ? minOf(end, last + 1) : end, kKeys));
    if constexpr (Hooks::kWindow) {
      first = maxOf(0, a.positions[tokenOf(0)] + 1 - a.window) / kKeys;
      tiles = maxOf(1, tiles - first);
    }
  }
  /// Where tile j of the item begins.
  SINTER_DEVICE int keyOf(int j) const {
    if constexpr (Hooks::kWindow)
      j += first;
    return j * kKeys;
  }
  SINTER_DEVICE int tokenOf(int row) const {
    return work.first_token + (work.row0 + minOf(row, rows - 1)) / group();
  }
  SINTER_DEVICE int headOf(int row) const {
    const int r = work.row0 + minOf(row, rows - 1);
    return head * group() + r - r / group() * group();
  }
  SINTER_DEVICE u64 offsetOf(int row) const {
    return (u64(u32(tokenOf(row))) * u32(a.heads) + u32(headOf(row))) * kDim;
  }

  //===--- the copying warpgroup ---===//

  SINTER_DEVICE void copy() {
    if (threadIndex() == 0) {
      prefetchTensorMap(a.k_map);
      prefetchTensorMap(a.v_map);
    }
    int tile = 0; // of all items
    for (int round = 0; round * gridSize() < items; ++round) {
      const int item = itemAt(round);
      if (item >= items)
        continue;
      readItem(item);
      const int *table = a.block_table + u64(u32(work.seq)) * u32(a.block_table_stride);
      int now = readPages(table, keyOf(0)), next = readPages(table, keyOf(1));
      if (round == 0) {
        waitForPredecessors();
        fenceAsyncGlobal();
      }
      const u32 full = queriesFull(round % kQueryStages);
      awaitEmpty(full, round / kQueryStages);
      copyQueries(queries(round % kQueryStages));
      copyKeys(tile, keyOf(0), now);
      arriveWithCopies(full);
      for (int j = 0; j < tiles; ++j, ++tile) {
        if (j + 1 < tiles)
          copyKeys(tile + 1, keyOf(j + 1), next);
        copyTile(a.v, a.v_map, valuesFull(tile % kValueStages), values(tile % kValueStages),
                 tile / kValueStages, keyOf(j), now);
        now = next;
        next = readPages(table, keyOf(j + 2));
      }
    }
    waitForPredecessors(); // of whom has no item, too
  }

  /// The same through registers: each tile asks for the one after it in this order.
  SINTER_DEVICE void copyWidened() {
    WidenedTile<Type, Cache> narrow;
    int tile = 0; // of all items
    for (int round = 0; round * gridSize() < items; ++round) {
      const int item = itemAt(round);
      if (item >= items)
        continue;
      readItem(item);
      const int *table = a.block_table + u64(u32(work.seq)) * u32(a.block_table_stride);
      int now = readPages(table, keyOf(0)), next = readPages(table, keyOf(1));
      if (round == 0)
        waitForPredecessors();
      narrow.ask(rowsOf(a.k, 0, now));
      const u32 full = queriesFull(round % kQueryStages);
      awaitEmpty(full, round / kQueryStages);
      copyQueries(queries(round % kQueryStages));
      leaveKeys(narrow, tile, tiles > 1 ? rowsOf(a.k, 1, next) : rowsOf(a.v, 0, now));
      arriveWithCopies(full);
      for (int j = 0; j < tiles; ++j, ++tile) {
        const int after = readPages(table, keyOf(j + 2));
        if (j + 1 < tiles)
          leaveKeys(narrow, tile + 1, rowsOf(a.v, j, now));
        leaveValues(narrow, tile,
                    j + 2 < tiles   ? rowsOf(a.k, j + 2, after)
                    : j + 1 < tiles ? rowsOf(a.v, j + 1, next)
                                    : rowsOf(nullptr, j, now));
        now = next;
        next = after;
      }
    }
    waitForPredecessors(); // of whom has no item, too
  }

  using Rows = typename WidenedTile<Type, Cache>::Source;
  SINTER_DEVICE Rows rowsOf(const void *stream, int j, int pages) const {
    const u8 *own = static_cast<const u8 *>(stream);
    return {own ? own + u64(u32(head)) * u32(kDim << a.page_log2) : own, a.page_bytes, keyOf(j), end,
            pages, a.page_log2};
  }
  SINTER_DEVICE void leaveKeys(WidenedTile<Type, Cache> &narrow, int tile, const Rows &next) const {
    leave(narrow, keysFull(tile % kKeyStages), keys(tile % kKeyStages), tile / kKeyStages, next);
  }
  SINTER_DEVICE void leaveValues(WidenedTile<Type, Cache> &narrow, int tile,
                                 const Rows &next) const {
    leave(narrow, valuesFull(tile % kValueStages), values(tile % kValueStages), tile / kValueStages,
          next);
  }
  SINTER_DEVICE static void leave(WidenedTile<Type, Cache> &narrow, u32 full, u32 to, int phase,
                                  const Rows &next) {
    awaitEmpty(full, phase);
    narrow.leave(to, kGroup, next);
    fenceAsyncProxy();
    arriveBarrier(full);
  }

  SINTER_DEVICE static void awaitEmpty(u32 full, int phase) {
    waitBarrier(emptyOf(full), u32(phase & 1) ^ 1);
  }
  /// Copies of threads are ordinary writes, the matrix instructions read by another path.
  SINTER_DEVICE static void arriveWithCopies(u32 full) {
    cpAsyncCommit();
    cpAsyncWait<0>();
    fenceAsyncProxy();
    arriveBarrier(full);
  }

  SINTER_DEVICE void copyKeys(int tile, int key, int pages) const {
    copyTile(a.k, a.k_map, keysFull(tile % kKeyStages), keys(tile % kKeyStages), tile / kKeyStages,
             key, pages);
  }

  SINTER_DEVICE int readPages(const int *table, int key) const {
    const int lane = threadIndex() & 31, index = (key >> a.page_log2) + lane;
    return lane < kKeys >> a.page_log2 && (index << a.page_log2) < end ? table[index] : -1;
  }

  // Copies of threads: thread t takes chunk t % 16 of rows t / 16 + 8i. Below 128 and 8 by
  // construction, which the compiler is told.
  SINTER_DEVICE static int copyChunk() { return threadIndex() % kChunks; }
  SINTER_DEVICE static int copyRow() { return threadIndex() / kChunks & 7; }

  SINTER_DEVICE void copyQueries(u32 to) const {
    to += u32(copyChunk() / 8) * kPanel + swizzled(copyRow(), copyChunk() % 8);
    const u8 *q = static_cast<const u8 *>(a.q) + copyChunk() * 16;
#pragma unroll 4
    for (int i = 0; i < kRows / 8; ++i) {
      const int row = copyRow() + 8 * i;
      cpAsync16(to + u32(i * 1024), q + offsetOf(row) * 2, row < rows ? 16 : 0);
    }
  }

  SINTER_DEVICE void copyTile(const void *stream, const void *map, u32 full, u32 to, int phase,
                              int key, int pages) const {
    const bool holes = anyInWarp(key + kKeys > end || (lane() < kKeys >> a.page_log2 && pages < 0));
    awaitEmpty(full, phase);
    if (holes)
      copyRows(stream, full, to, key, pages);
    else
      copyPages(map, full, to, pages);
  }

  /// What there is of a tile; zeros for the rest.
  SINTER_DEVICE void copyRows(const void *stream, u32 full, u32 to, int key, int pages) const {
    int chunk = copyChunk();
    asm volatile("" : "+r"(chunk)); // nothing of this is worth a register elsewhere
    const int mask = (1 << a.page_log2) - 1;
    const u8 *base = static_cast<const u8 *>(stream) +
                     u64(u32(head)) * u32(kRowBytes << a.page_log2) + chunk * 16;
    to += u32(chunk / 8) * kGroup + swizzled(copyRow(), chunk % 8);
#pragma unroll 1
    for (int i = 0; i < kKeys / 8; ++i) {
      const int row = copyRow() + 8 * i, id = shuffleIndex(pages, row >> a.page_log2);
      cpAsync16(to + u32(i) * 2 * kGroup,
                base + u64(u32(maxOf(id, 0))) * a.page_bytes + u32((row & mask) * kRowBytes),
                key + row < end && id >= 0 ? 16 : 0);
    }
    arriveWithCopies(full);
  }

  /// A whole tile, a page a lane. The warps share the pages: one warp starts them one after the
  /// other.
  SINTER_DEVICE void copyPages(const void *map, u32 full, u32 to, int pages) const {
    const int count = kKeys >> a.page_log2, pageBytes = kRowBytes << a.page_log2;
    int page = threadIndex() / 32, mine = count >= 4 ? count / 4 : int(page < count);
    page += 4 * lane();
    asm volatile("" : "+r"(page)); // as above
    if (lane() == 0)
      expectBytes(full, u32(mine * pageBytes), 32);
    const int id = shuffleIndex(pages, page);
    if (lane() < mine)
      copyBox(to + u32(page * pageBytes), map,
              id * int(a.page_bytes / (8 * kRowBytes)) + (head << a.page_log2 >> 3), full);
  }

  //===--- the computing warpgroups ---===//

  SINTER_DEVICE static int mathGroup() { return threadIndex() / kWarpgroup - 1; }
  SINTER_DEVICE static int lane() { return threadIndex() & 31; }
  /// Row of the item of this thread's half 0 or 1.
  SINTER_DEVICE static int rowOf(int half) {
    return (threadIndex() - kWarpgroup) / 32 * 16 + half * 8 + (lane() >> 2);
  }
  SINTER_DEVICE static void release(u32 full) {
    if (lane() == 0)
      arriveBarrier(emptyOf(full));
  }
  /// The tensor cores are this warpgroup's, then the other's.
  SINTER_DEVICE static void takeTurn() {
    if (mathGroup() == 0)
      syncNamed<1>(2 * kWarpgroup);
    else
      syncNamed<2>(2 * kWarpgroup);
  }
  SINTER_DEVICE static void passTurn() {
    if (mathGroup() == 0)
      arriveNamed<2>(2 * kWarpgroup);
    else
      arriveNamed<1>(2 * kWarpgroup);
  }

  SINTER_DEVICE void compute() {
    factor = a.scale * (a.k_scale ? *a.k_scale : 1.0f) * kLog2e;
    if (mathGroup() == 1)
      passTurn();
    int tile = 0;
    for (int round = 0; round * gridSize() < items; ++round) {
      const int item = itemAt(round);
      if (item >= items)
        continue;
      readItem(item);
      int plain = Hooks::kCausal
                      ? minOf(a.positions[tokenOf(mathGroup() * 64)] + 1, end) / kKeys
                      : 0; // tiles that every row sees whole, or to their ends
      int cut = 0;         // tiles that a row does not see from their beginnings
      if constexpr (Hooks::kWindow) {
        plain -= first;
        cut = cutTiles(a.positions[tokenOf(mathGroup() * 64 + 63)]);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        position[half] = a.positions[tokenOf(rowOf(half))];
        maximum[half] = minusInfinity();
        sum[half] = 0;
      }
      if (round == 0)
        waitForPredecessors();
      stage = round % kQueryStages;
      await(queriesFull(stage), round / kQueryStages);
      scores(tile);
      wgmmaWait<0>();
      wgmmaOperand(s);
      release(keysFull(tile % kKeyStages));
      float alpha[2];
      bool masks = plain < 1;
      if constexpr (Hooks::kWindow)
        masks = bool(masks | (cut > 0));
      if (masks)
        modify(keyOf(0));
      softmax(alpha);
      pack();
      int j = 1;
      if constexpr (Hooks::kWindow)
        for (; j < minOf(cut, tiles); ++j, ++tile)
          step<true>(j, tile);
      for (; j < minOf(plain, tiles); ++j, ++tile)
        step<false>(j, tile);
      for (; j < tiles; ++j, ++tile)
        step<true>(j, tile);
      release(queriesFull(stage));
      accumulate(tile, tiles > 1);
      wgmmaWait<0>();
      wgmmaOperand(o);
      release(valuesFull(tile % kValueStages));
      ++tile;
      readItem(item); // again: meanwhile the registers had other uses
      close();
    }
    waitForPredecessors(); // of whom has no item, too
  }

  /// Tiles of the item before the one that a row at `last`, the warpgroup's last, sees whole.
  SINTER_DEVICE int cutTiles(int last) const {
    return ceilDiv(maxOf(0, last + 1 - a.window), kKeys) - first;
  }

  /// Scores of item tile j (`tile` + 1 of all) beside the output of the tile before it.
  template <bool kModify> SINTER_DEVICE void step(int j, int tile) {
    const int next = tile + 1;
    takeTurn();
    scores(next);
    accumulate(tile, j > 1);
    passTurn();
    wgmmaWait<1>();
    wgmmaOperand(s);
    release(keysFull(next % kKeyStages));
    if constexpr (kModify)
      modify(keyOf(j));
    float alpha[2];
    softmax(alpha);
    wgmmaWait<0>();
    wgmmaOperand(o);
    release(valuesFull(tile % kValueStages));
    if (anyInWarp(alpha[0] != 1.0f || alpha[1] != 1.0f)) // the more tiles, the rarer
#pragma unroll
      for (int i = 0; i < 64; ++i)
        o[i] *= alpha[i >> 1 & 1];
    pack();
  }

  SINTER_DEVICE static void await(u32 full, int phase) { waitBarrier(full, u32(phase & 1)); }

  SINTER_DEVICE void scores(int tile) {
    const int at = tile % kKeyStages;
    await(keysFull(at), tile / kKeyStages);
    const u32 q = queries(stage) + u32(mathGroup() * 64 * 128), k = keys(at);
    wgmmaOperand(s);
    wgmmaFence();
#pragma unroll
    for (int d = 0; d < kDim / 16; ++d) {
      const u32 half = u32(d / 4), within = u32(d % 4 * 32);
      wgmma<Type>(s, descriptorAlongK(q + half * kPanel + within, kGroup),
                  descriptorAlongK(k + half * kGroup + within, 2 * kGroup), d > 0);
    }
    wgmmaCommit();
  }

  SINTER_DEVICE void accumulate(int tile, bool add) {
    const int at = tile % kValueStages;
    await(valuesFull(at), tile / kValueStages);
    const u32 v = values(at);
    wgmmaOperand(o);
    wgmmaFence();
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k)
      wgmma<Type>(o, p[k], descriptorAcrossK(v + u32(k) * 4 * kGroup, kGroup, 2 * kGroup),
                  k > 0 || add);
    wgmmaCommit();
  }

  /// Score and mask hooks; scores stay in units of 1 / scale.
  SINTER_DEVICE void modify(int key) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int h = headOf(rowOf(half));
      const float scale = factor / kLog2e;
#pragma unroll
      for (int i = 0; i < 64; ++i) {
        if ((i >> 1 & 1) != half)
          continue;
        const int kvPos = key + i / 4 * 8 + 2 * (lane() & 3) + (i & 1);
        if constexpr (!Hooks::kCausal)
          s[i] = Hooks::score(s[i] * scale, work.seq, h, position[half], kvPos) / scale;
        bool seen = bool(Hooks::mask(work.seq, h, position[half], kvPos) & (kvPos < end));
        if constexpr (Hooks::kWindow)
          seen = bool(inWindow(a.window, position[half], kvPos) & seen);
        s[i] = seen ? s[i] : minusInfinity();
      }
    }
  }

  /// Scores to probabilities; `alpha` is what older sums and outputs shrink by.
  SINTER_DEVICE void softmax(float (&alpha)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = maximum[half];
#pragma unroll
      for (int n = 0; n < 16; ++n)
        top = maxOf(top, maxOf(s[4 * n + 2 * half], s[4 * n + 2 * half + 1]));
      top = maxOf(top, shuffleXor(top, 1));
      top = maxOf(top, shuffleXor(top, 2));
      const float base = top == minusInfinity() ? 0.0f : top * factor;
      // Exactly one where nothing moved: positions that a row does not see leave no trace in it.
      alpha[half] = top == maximum[half] ? 1.0f : exp2Approx(maximum[half] * factor - base);
      maximum[half] = top;
      float total = 0;
#pragma unroll
      for (int n = 0; n < 16; ++n)
#pragma unroll
        for (int i = 4 * n + 2 * half; i < 4 * n + 2 * half + 2; ++i) {
          s[i] = exp2Approx(s[i] * factor - base);
          total += s[i];
        }
      sum[half] = sum[half] * alpha[half] + total;
    }
  }

  SINTER_DEVICE void pack() {
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        p[k][i] = Type::pack(s[8 * k + 2 * i], s[8 * k + 2 * i + 1]);
  }

  SINTER_DEVICE void close() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = sum[half];
      total += shuffleXor(total, 1);
      total += shuffleXor(total, 2);
      const float inverse = total == 0.0f ? 0.0f : 1.0f / total; // a row that sees nothing is zero
      const int row = rowOf(half);
      u8 *to = static_cast<u8 *>(a.out) + (offsetOf(row) + u32(2 * (lane() & 3))) * 2;
      if (row < rows)
#pragma unroll
        for (int n = 0; n < 16; ++n)
          Type::store2(to + n * 16, o[4 * n + 2 * half] * inverse,
                       o[4 * n + 2 * half + 1] * inverse);
    }
  }

  const PrefillArgs &a;
  u32 shared;
  int items;
  PrefillWork work;
  int head, rows, end, tiles;
  int stage = 0; ///< of Q

  float factor;
  int position[2];
  float maximum[2], sum[2];
  float s[64], o[64];
  u32 p[kKeys / 16][4];
  int first; ///< tiles before those that a row sees, where there is a window
};

} // namespace sinter::kernels
