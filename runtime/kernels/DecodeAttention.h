//===- DecodeAttention.h - paged decode attention: the contract -*- C++ -*-===//
//
//   out[t, h] = softmax_p(score(scale * k_scale * kd[h'] * q[t, h] . K[p, h']), mask) V[p, h'] *
//   vd[h']
//
// for the 1..8 newest tokens of each sequence, over a paged cache. One pass per (sequence, kv
// head): every query head of the group and every query token shares each load of K and V.
//
// Symbols: S sequences, T tokens, Hq query heads, H kv heads, h' = h / (Hq / H), G = Hq / H,
// D head size, P block table stride, E work entries, R query rows of an entry: 8 * row tiles of the
// variant, or fewer where a variant gives up the rest for a deeper ring.
//
// Two kernels. `sinter_decode_plan` runs once a step, when ctx is known, and writes the work list;
// the attention kernels of all layers read it. A sequence's split depends on its own ctx only and
// begins and ends at multiples of its own chunk, so a sequence gets the same bits in every batch
// that leaves it slots; the first sequences whose parts fit `max_slots` are split, the others stay
// whole. With a window a sequence begins with the 64 positions in which its first query token
// begins to see: a tile then falls to the same warp whatever the step brings, and one that a row
// does not see leaves no trace in it. A plan is for one window. Grids are fixed (plan: 1 block;
// attention: blocks per SM times SMs): both fit a CUDA graph.
//
// A work item is (entry, kv head), numbered entry * H + head; block b takes b, b + grid, ... The
// warps of a block take the item's tiles of 16 positions in turn; each has its own ring of shared
// memory, filled by cp.async or bulk copies ahead of the arithmetic and across items. The warps'
// results are merged in shared memory in warp order, row r by warp r % warps. With more than one
// split that warp stores its part of the row, and the last one to do so merges the parts in split
// order: which one that is varies, the arithmetic does not.
//
// Numerics: f32 scores, online softmax in base 2, f32 accumulators, one rounding. 16-bit and fp8
// caches use mma.sync; probabilities enter it as a bf16 pair (high + low part, 16 bits of mantissa)
// or as f16. f32 queries or caches, and f16 queries on a bf16 cache, use f32 FMA. Queries of
// magnitude over 65504 overflow on fp8 and f16 caches. A row without any visible position is 0.
//
// Launch: block `threads`, dynamic shared memory `shared_bytes` of the variant (at most 99 KB: two
// blocks fit an SM of an H200, one fits a consumer card).
// Bytes: 2 * sum(ctx) * H * D * cache bytes. FLOPs: 4 * sum(q_len * ctx) * Hq * D; with a window
// ctx is at most window + q_len - 1 here.
//
// PDL: everything is read after griddepcontrol.wait. With `early` the work list, the block table,
// the positions and tiles of K and V that earlier steps wrote are read before it.
//
//===----------------------------------------------------------------------===//
#pragma once

namespace sinter::kernels {

/// The largest number of parts a sequence is cut into, and of query tokens it may bring.
constexpr int kDecodeMaxSplits = 32;
constexpr int kDecodeMaxQuery = 8;
/// Parts begin at multiples of this: a turn of the warps, or two.
constexpr int kDecodeAlign = 64;
constexpr int kPlanHeader = 64; // bytes before the entries where count and work list are one buffer
constexpr int kDecodeSharedLimit = 99 * 1024; // a block of a consumer card
// Of an H100 or H200. What a ring does not take is L1, where the loads of linears beside it are in
// flight: deeper rings feed attention no faster and slow its neighbours down.
constexpr int kDecodeSharedLimitSm90 = 80 * 1024;
constexpr int kDecodeSharedLimitOne = 45 * 1024; // beside linears of one token

/// Whether tiles come by bulk copies, in one piece of a page. On an H200 pieces of 4 KB all over
/// the memory arrive at 4.5 TB/s, smaller ones at 4.15, by cp.async or through tensor maps as well.
constexpr bool decodeUsesBulk(int cache_bytes, bool fma, int dim, int limit) {
  return limit <= kDecodeSharedLimitSm90 && !fma && cache_bytes == 2 && dim == 128;
}

/// Positions [kv_begin, kv_end) of one sequence for query rows [row0, row0 + R); row r is query
/// token r / G and head r % G of the group. 48 bytes.
struct DecodeWork {
  int seq;
  int first_token; ///< cu_q[seq]
  int q_len;
  int kv_begin;
  int kv_end;
  int row0;
  int split;   ///< which part of the sequence
  int splits;  ///< of how many
  int first;   ///< slot of part 0 of the same rows
  int stride;  ///< slots between neighbouring parts
  int old_end; ///< positions below were in the cache before this step
  int slot;    ///< place of this part's numbers in the workspace, where splits > 1
};

struct DecodePlanArgs {
  const int *cu_q;  ///< i32 [S+1]
  const int *ctx;   ///< i32 [S]
  int *count;       ///< out i32 [1]: E
  DecodeWork *work; ///< out [max_entries]
  int seqs;
  int max_entries;   ///< at least max_slots + sum over s of ceil(q_len * G / R)
  int max_slots;     ///< parts of split sequences at most: sequences past them stay whole
  int group;         ///< G
  int rows;          ///< R
  int max_q;         ///< sequences with more tokens, or none, get no entry
  int min_chunk;     ///< smallest part in positions, a multiple of 64
  int max_chunk;     ///< longer parts are cut further, as far as kDecodeMaxSplits allows
  int target_splits; ///< parts that sequences between the two are cut into
  int fixed_chunk;   ///< not 0: the part's size, whatever ctx is (batch-invariant artefacts)
  int window;        ///< that of DecodeArgs
};

struct DecodeArgs {
  const void *q; ///< [T, Hq, D]
  void *out;     ///< [T, Hq, D], type of q
  const void *k; ///< the layer's K stream in page 0: [H, page, D], or [H, D/x, page, x] packed
  const void *v; ///< the layer's V stream in page 0: [H, page, D]
  unsigned long long page_bytes; ///< from page to page, both streams
  const int *block_table;        ///< i32 [S, P]; -1: not there, every position must be masked (with
                                 ///< bulk copies: past the end, or before the window)
  const int *positions;          ///< i32 [T]
  const float *k_scale;          ///< f32 [1] or null (1): what K was divided by before the store
  const float *k_dequant;        ///< f32 [H] or null (1): a stored K times this is K / k_scale
  const float *v_dequant;        ///< f32 [H] or null (1)
  const int *count;              ///< i32 [1]: E
  const DecodeWork *work;        ///< [E]
  float *partial;                ///< workspace f32 [max_slots * H, R, D]
  float *partial_ml;             ///< workspace f32 [max_slots * H, R, 2]: maximum, sum
  unsigned *counters; ///< [max_slots * H * 4], zero before the first launch, left zero by each
  float scale;
  int heads;    ///< Hq
  int kv_heads; ///< H
  int block_table_stride;
  int page_log2; ///< pages of 8, 16, 32, 64 positions
  int k_packed;  ///< x = 16 / sizeof(element)
  int max_entries;
  int early;  ///< a full edge lies between the last write of the work list, block table, positions
              ///< and cached positions of earlier steps, and this launch's predecessor
  int window; ///< a token sees the last `window` positions up to its own; 0: all
};

/// Shared memory of a block, from its start: mbarriers, the warps' rings, the merge area, the
/// queries and the warps' probabilities (both empty where the matrix instructions are used).
struct DecodeLayout {
  bool bulk; ///< tiles come by bulk copies; K is not packed then
  int warps;
  int stages;        ///< pairs of a K and a V tile in a warp's ring
  int row_bytes;     ///< one position of a tile in shared memory
  int tile_bytes;    ///< 16 of them
  int barrier_bytes; ///< an mbarrier for each tile of the rings
  int merge_bytes;
  int query_bytes;   ///< per block
  int scratch_bytes; ///< per warp
  int shared_bytes;
  constexpr int threads() const { return 32 * warps; }
};

constexpr DecodeLayout decodeLayout(int warps, int stages, int cache_bytes, bool fma, int dim,
                                    int row_tiles, int rows, bool bulk = false) {
  DecodeLayout l{};
  l.bulk = bulk;
  l.warps = warps;
  l.stages = stages;
  // An odd number of 16-byte chunks: eight rows at the same column lie in different banks.
  l.row_bytes = bulk ? dim * cache_bytes : (dim * cache_bytes / 16 | 1) * 16;
  l.tile_bytes = 16 * l.row_bytes;
  l.barrier_bytes = bulk ? (warps * 2 * stages * 8 + 127) / 128 * 128 : 0;
  l.merge_bytes = warps * (rows < 8 ? rows : 8) * (dim + 4 + 2) * 4;
  l.query_bytes = fma ? 8 * row_tiles * (dim + 4) * 4 : 0;
  l.scratch_bytes = fma ? 16 * 8 * row_tiles * 4 : 0;
  l.shared_bytes = l.barrier_bytes + warps * (2 * stages * l.tile_bytes + l.scratch_bytes) +
                   l.merge_bytes + l.query_bytes;
  return l;
}

/// The deepest ring that fits `limit` bytes, with four warps if two stages do (beside linears of
/// one token one stage will do). `rows` is R, at most 8 * row_tiles.
constexpr DecodeLayout decodeLayout(int cache_bytes, bool fma, int dim, int row_tiles, int rows,
                                    int limit) {
  const int least = limit == kDecodeSharedLimitOne ? 1 : 2;
  for (int warps = 4; warps >= 2; warps -= 2)
    for (int stages = 4; stages >= least; --stages) {
      const DecodeLayout l = decodeLayout(warps, stages, cache_bytes, fma, dim, row_tiles, rows,
                                          decodeUsesBulk(cache_bytes, fma, dim, limit));
      if (l.shared_bytes <= limit)
        return l;
    }
  return decodeLayout(2, 1, cache_bytes, fma, dim, row_tiles, rows);
}

/// Whether a pair of element types uses f32 FMA instead of the matrix instructions.
constexpr bool decodeUsesFma(int query_bytes, int cache_bytes, bool f16_query_bf16_cache) {
  return query_bytes == 4 || cache_bytes == 4 || f16_query_bf16_cache;
}

} // namespace sinter::kernels
