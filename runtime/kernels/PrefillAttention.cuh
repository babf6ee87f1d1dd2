//===- PrefillAttention.cuh - paged prefill attention: the bodies ------*- CUDA -*-===//
//
// Contract in PrefillAttention.h, plain reference in DecodeAttentionReference.h. Registers in the
// layout of mma.m16n8k16's accumulator, g = lane / 4, t = lane % 4:
//   scores  S[m][n][0..3]: rows g, g, g+8, g+8 of the warp's row tile m, positions 8n + 2t, +1, +0,
//   +1 output  O[m][n][0..3]: the same rows, dimensions 8n + 2t, +1, +0, +1
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Hooks.cuh"
#include "PrefillAttention.h"
#include "Scan.cuh"
#include "Widen.cuh"

namespace sinter::kernels {

/// The entries of the sequences one after another, those of one sequence from its end, where the
/// rows see most.
SINTER_DEVICE void prefillPlan(const PrefillPlanArgs &a) {
  launchDependents();
  waitForPredecessors();
  int entries = 0;
  for (int first = 0; first < a.seqs; first += kPlanThreads) {
    const int seq = first + threadIndex();
    int begin = 0, query = 0, tiles = 0, total;
    if (seq < a.seqs) {
      begin = a.cu_q[seq];
      query = a.cu_q[seq + 1] - begin;
      tiles = query < a.min_q ? 0 : ceilDiv(query * a.group, a.rows);
    }
    const int start = entries + runningSum(tiles, total) - tiles;
    entries += total;
    for (int i = 0; i < tiles && start + i < a.max_entries; ++i)
      a.work[start + i] = {seq, begin, query, (tiles - 1 - i) * a.rows};
  }
  if (threadIndex() == 0)
    *a.count = minOf(entries, a.max_entries);
}

template <class Type, class Cache, int kDim, class Hooks> class PrefillAttention {
  static constexpr PrefillLayout kLayout = prefillLayout(kDim, Cache::kBytes);
  static constexpr int kRowTiles = kLayout.rows / 64; // 16 rows each, per warp
  static constexpr int kKeys = kLayout.keys, kRowBytes = kLayout.row_bytes;
  static constexpr int kChunks = kDim / 8;
  static constexpr int kKeyTiles = kKeys / 8, kOutTiles = kDim / 8;
  static constexpr bool kWidens = Cache::kBytes == 1;
  static_assert(kWidens || IsSame<Type, Cache>::value, "16-bit caches have the queries' type");
  static constexpr int kBytes = Cache::kBytes * kDim; // of a row of K or V in memory
  static constexpr int kCopies = kKeys * kBytes / 16; // of 16 bytes, for a tile

public:
  SINTER_DEVICE static void run(const PrefillArgs &args) {
    launchDependents();
    waitForPredecessors();
    PrefillAttention self(args);
    const int items = *args.count * args.kv_heads;
    for (self.item = blockIndex(); self.item < items; self.item += gridSize())
      self.attend();
  }

private:
  SINTER_DEVICE explicit PrefillAttention(const PrefillArgs &args) : a(args) {
    queries = sharedAddress(dynamicShared);
    scale = a.scale * (a.k_scale ? *a.k_scale : 1.0f);
  }

  // Asked for again and again rather than kept: the accumulators need the registers.
  SINTER_DEVICE static int thread() { return threadIndex(); }
  SINTER_DEVICE static int lane() { return threadIndex() & 31; }
  SINTER_DEVICE static int warp() { return threadIndex() >> 5; }
  SINTER_DEVICE int head() const { return item % a.kv_heads; }
  SINTER_DEVICE int group() const { return a.heads / a.kv_heads; }
  SINTER_DEVICE u32 keys() const { return queries + kLayout.rows * kRowBytes; }
  SINTER_DEVICE u32 values() const { return keys() + kKeys * kRowBytes; }
  SINTER_DEVICE u32 narrow() const { return values() + kKeys * kRowBytes; }

  SINTER_DEVICE void attend() {
    readWork();
    table = a.block_table + u64(u32(work.seq)) * u32(a.block_table_stride);
    const int last = a.positions[work.first_token + (work.row0 + rows - 1) / group()];
    end = a.ctx[work.seq];
    const int walk = Hooks::kCausal ? minOf(end, last + 1) : end;
    open();
    const int first = firstTile();
    syncThreads(); // the previous item has been read
    loadQueries();
    readPages(first);
    loadTile(keys(), a.k, first, a.k_packed != 0);
    for (int key = first; key < walk; key += kKeys) {
      cpAsyncWait<0>();
      widen(keys(), a.k_packed != 0);
      syncThreads(); // K is there; V of the previous tile has been read
      loadTile(values(), a.v, key, false);
      readPages(key + kKeys);
      scores();
      bool masks = !Hooks::kCausal || key + kKeys > plain;
      if constexpr (Hooks::kWindow)
        masks = bool(masks | !inWindow(a.window, last, key));
      if (masks)
        modify(key);
      softmax();
      cpAsyncWait<0>();
      widen(values(), false);
      syncThreads(); // V is there; K has been read
      if (key + kKeys < walk)
        loadTile(keys(), a.k, key + kKeys, a.k_packed != 0);
      accumulate();
    }
    cpAsyncWait<0>();
    close();
  }

  /// The entry is read again where it is needed, after copies and arithmetic that need its
  /// registers.
  SINTER_DEVICE void readWork() {
    work = a.work[item / a.kv_heads];
    rows = minOf(kLayout.rows, work.q_len * group() - work.row0);
  }

  /// Row of the work item, its token and its query head.
  SINTER_DEVICE int rowOf(int m, int half) const {
    return (warp() * kRowTiles + m) * 16 + half * 8 + (lane() >> 2);
  }
  SINTER_DEVICE int tokenOf(int row) const {
    return work.first_token + (work.row0 + minOf(row, rows - 1)) / group();
  }
  SINTER_DEVICE int headOf(int row) const {
    const int r = work.row0 + minOf(row, rows - 1);
    return head() * group() + r - r / group() * group();
  }
  SINTER_DEVICE u64 offsetOf(int row) const {
    return (u64(u32(tokenOf(row))) * u32(a.heads) + u32(headOf(row))) * kDim;
  }

  SINTER_DEVICE void open() {
    plain = minOf(a.positions[tokenOf(0)] + 1, end);
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        maximum[m][half] = minusInfinity();
        sum[m][half] = 0;
      }
#pragma unroll
      for (int n = 0; n < kOutTiles; ++n)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          out[m][n][j] = 0;
    }
  }

  /// Where the first tile begins that a row sees some of.
  SINTER_DEVICE int firstTile() const {
    if constexpr (Hooks::kWindow)
      return maxOf(0, a.positions[tokenOf(0)] + 1 - a.window) / kKeys * kKeys;
    else
      return 0;
  }

  //===--- copies ---===//

  SINTER_DEVICE void loadQueries() {
    const u8 *q = static_cast<const u8 *>(a.q);
    for (int i = thread(); i < kLayout.rows * kChunks; i += kPrefillThreads) {
      const int row = i / kChunks, chunk = i % kChunks;
      cpAsync16(queries + u32(row * kRowBytes + chunk * 16), q + offsetOf(row) * 2 + chunk * 16,
                row < rows ? 16 : 0);
    }
  }

  /// Page ids of the tile at `key`, one per lane; read a tile before they are used.
  SINTER_DEVICE void readPages(int key) {
    const int index = (key >> a.page_log2) + lane();
    pages = -1;
    // A tile may begin and end inside pages.
    if (lane() <= ((kKeys - 1) >> a.page_log2) + 1 && (index << a.page_log2) < end)
      pages = table[index];
  }

  SINTER_DEVICE void loadTile(u32 to, const void *stream, int key, bool packed) {
    const int page = 1 << a.page_log2, first = key >> a.page_log2;
    const u8 *base =
        static_cast<const u8 *>(stream) + u64(u32(head())) * u32(kBytes << a.page_log2);
#pragma unroll 1 // more at once would need registers that the accumulators hold
    for (int j = 0; j < (kCopies + kPrefillThreads - 1) / kPrefillThreads; ++j) {
      const int i = j * kPrefillThreads + thread();
      const int row = rowOfCopy(i, packed), chunk = chunkOfCopy(i, packed);
      const int at = key + row, offset = at & (page - 1);
      const int id = shuffleIndex(pages, (at >> a.page_log2) - first);
      const u8 *from =
          base + u64(u32(maxOf(id, 0))) * a.page_bytes +
          (packed ? u32((chunk << a.page_log2) + offset) * 16u : u32(offset * kBytes + chunk * 16));
      const u32 place = kWidens ? narrow() + u32(i * 16) : to + u32(row * kRowBytes + chunk * 16);
      if (kCopies % kPrefillThreads == 0 || i < kCopies)
        cpAsync16(place, from, at < end && id >= 0 ? 16 : 0);
    }
    cpAsyncCommit();
  }

  /// Neighbouring threads copy neighbouring 16 bytes of memory in either layout.
  SINTER_DEVICE static int rowOfCopy(int i, bool packed) {
    return packed ? i % kKeys : i / (kBytes / 16);
  }
  SINTER_DEVICE static int chunkOfCopy(int i, bool packed) {
    return packed ? i / kKeys : i % (kBytes / 16);
  }

  /// An fp8 tile that has arrived, to where 16-bit tiles are copied at once. Every thread takes
  /// what it copied itself, so nobody else need have arrived, and its next copies may follow.
  SINTER_DEVICE void widen(u32 to, bool packed) {
    if constexpr (kWidens) {
#pragma unroll 1
      for (int i = thread(); i < kCopies; i += kPrefillThreads) {
        const U32x4 raw = loadShared128(narrow() + u32(i * 16));
        const u32 at = to + u32(rowOfCopy(i, packed) * kRowBytes + chunkOfCopy(i, packed) * 32);
        storeShared128(at, widened<Type, Cache>(raw.v[0], raw.v[1]));
        storeShared128(at + 16, widened<Type, Cache>(raw.v[2], raw.v[3]));
      }
    }
  }

  //===--- arithmetic ---===//

  SINTER_DEVICE void scores() {
    const u32 fromQ =
        queries + u32((warp() * kRowTiles * 16 + (lane() & 15)) * kRowBytes + (lane() >> 4) * 16);
    const u32 fromK =
        keys() + u32(((lane() >> 4) * 8 + (lane() & 7)) * kRowBytes + (lane() >> 3 & 1) * 16);
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          s[m][n][j] = 0;
#pragma unroll
    for (int d = 0; d < kDim / 16; ++d) {
      u32 q[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m)
        ldmatrix(q[m], fromQ + u32(m * 16 * kRowBytes + d * 32));
#pragma unroll
      for (int n = 0; n < kKeyTiles; n += 2) {
        u32 k[4];
        ldmatrix(k, fromK + u32(n * 8 * kRowBytes + d * 32));
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          mma16816<Type>(s[m][n], q[m], k[0], k[1]);
          mma16816<Type>(s[m][n + 1], q[m], k[2], k[3]);
        }
      }
    }
  }

  /// Score and mask hooks; scores stay in units of 1 / scale.
  SINTER_DEVICE void modify(int key) {
    readWork();
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = rowOf(m, half), h = headOf(row), qPos = a.positions[tokenOf(row)];
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
          for (int j = 2 * half; j < 2 * half + 2; ++j) {
            const int kvPos = key + 8 * n + 2 * (lane() & 3) + (j & 1);
            if constexpr (!Hooks::kCausal)
              s[m][n][j] = Hooks::score(s[m][n][j] * scale, work.seq, h, qPos, kvPos) / scale;
            bool seen = bool(Hooks::mask(work.seq, h, qPos, kvPos) & (kvPos < end));
            if constexpr (Hooks::kWindow)
              seen = bool(inWindow(a.window, qPos, kvPos) & seen);
            s[m][n][j] = seen ? s[m][n][j] : minusInfinity();
          }
      }
  }

  SINTER_DEVICE void softmax() {
    const float factor = scale * kLog2e;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float top = maximum[m][half];
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n)
          top = maxOf(top, maxOf(s[m][n][2 * half], s[m][n][2 * half + 1]));
        top = maxOf(top, shuffleXor(top, 1));
        top = maxOf(top, shuffleXor(top, 2));
        const float base = top == minusInfinity() ? 0.0f : top * factor;
        // Exactly one where nothing moved: positions that a row does not see leave no trace in it.
        const float alpha =
            top == maximum[m][half] ? 1.0f : exp2Approx(maximum[m][half] * factor - base);
        maximum[m][half] = top;
        float total = 0;
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
          for (int j = 2 * half; j < 2 * half + 2; ++j) {
            s[m][n][j] = exp2Approx(s[m][n][j] * factor - base);
            total += s[m][n][j];
          }
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n)
          p[m][n / 2][n % 2 * 2 + half] = Type::pack(s[m][n][2 * half], s[m][n][2 * half + 1]);
        sum[m][half] = sum[m][half] * alpha + total;
#pragma unroll
        for (int n = 0; n < kOutTiles; ++n)
#pragma unroll
          for (int j = 2 * half; j < 2 * half + 2; ++j)
            out[m][n][j] *= alpha;
      }
  }

  SINTER_DEVICE void accumulate() {
    const u32 from =
        values() + u32(((lane() >> 3 & 1) * 8 + (lane() & 7)) * kRowBytes + (lane() >> 4) * 16);
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
#pragma unroll
      for (int n = 0; n < kOutTiles; n += 2) {
        u32 v[4];
        ldmatrixTransposed(v, from + u32(k * 16 * kRowBytes + n * 16));
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          mma16816<Type>(out[m][n], p[m][k], v[0], v[1]);
          mma16816<Type>(out[m][n + 1], p[m][k], v[2], v[3]);
        }
      }
    }
  }

  SINTER_DEVICE void close() {
    readWork();
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float total = sum[m][half];
        total += shuffleXor(total, 1);
        total += shuffleXor(total, 2);
        const float factor = total == 0.0f ? 0.0f : 1.0f / total; // a row that sees nothing is zero
        const int row = rowOf(m, half);
        u8 *to = static_cast<u8 *>(a.out) + (offsetOf(row) + u32(2 * (lane() & 3))) * 2;
        if (row < rows)
#pragma unroll
          for (int n = 0; n < kOutTiles; ++n)
            Type::store2(to + n * 16, out[m][n][2 * half] * factor,
                         out[m][n][2 * half + 1] * factor);
      }
  }

  const PrefillArgs &a;
  u32 queries; // shared memory: query rows, then a tile of K, then a tile of V
  float scale;

  PrefillWork work;
  const int *table; // the sequence's pages
  int item, rows, end;
  int plain; // below this position every row sees everything
  int pages; // of the tile whose K or V is copied next
  float maximum[kRowTiles][2], sum[kRowTiles][2];
  float s[kRowTiles][kKeyTiles][4];
  u32 p[kRowTiles][kKeys / 16][4]; // the probabilities of two of them, as an operand
  float out[kRowTiles][kOutTiles][4];
};

} // namespace sinter::kernels
