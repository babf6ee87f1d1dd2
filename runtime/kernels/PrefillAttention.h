//===- PrefillAttention.h - paged prefill attention: the contract -*- C++ -*-===//
//
//   out[t, h] = softmax_p(score(scale * k_scale * q[t, h] . K[p, h']), mask) V[p, h']
//
// for sequences with many query tokens: whole prompts, chunks of them, and prompts behind a cached
// prefix, all through the block table after this step's K and V have been written.
//
// Symbols: S sequences, T tokens, Hq query heads, H kv heads, h' = h / (Hq / H), G = Hq / H,
// D head size, P block table stride, E work entries, M rows of a tile, N positions of a tile.
//
// A query row is (token, head of the group): row r of a sequence is token r / G and head r % G, so
// that a group shares its tiles of K and V and short chunks fill their tiles. `sinter_prefill_plan`
// (1 block) writes one entry per M rows of every sequence with at least min_q tokens, the entries
// with the most positions first. An item is (entry, kv head), numbered entry * H + head; block b
// takes b, b + grid, ...: any grid is right, one as large as the number of items balances best.
//
// A block loads its M query rows once and walks over tiles of N positions, from the first to the
// last that its rows may see (tiles begin at multiples of N, whatever the window), K of the next
// tile and V of this one under way during the arithmetic (mma.sync m16n8k16, sm_80 and later).
// Tiles of an fp8 cache arrive in a buffer of their own and are widened to the queries' type
// (exact) by the threads that copied them. Launch: 128 threads, `prefillLayout(D, bytes of a cache
// element).shared_bytes`.
//
// Bytes: 2 * T * Hq * D * 2 + 2 * positions walked * H * D * cache bytes. FLOPs: 4 * sum over rows
// of positions * D. Numerics: f32 scores, online softmax in base 2, probabilities rounded to the
// queries' type for the second product, f32 accumulators, one rounding. Against f64 that is sqrt(2)
// of the error of the rounded result alone. A row that sees nothing is zero.
//
// PDL: everything is read after griddepcontrol.wait.
//
//===----------------------------------------------------------------------===//
#pragma once

namespace sinter::kernels {

constexpr int kPrefillThreads = 128;

struct PrefillLayout {
  int rows; ///< M
  int keys; ///< N
  int row_bytes;
  int shared_bytes;
};

/// 16-bit queries; `cache_bytes` of a cache element: 2, then the queries' type, or 1. Rows in
/// shared memory are an odd number of 16-byte chunks long: no bank conflicts.
constexpr PrefillLayout prefillLayout(int dim, int cache_bytes) {
  PrefillLayout l{};
  l.rows = dim <= 128 ? 128 : 64;
  l.keys = dim < 128 ? 64 : dim == 128 ? 48 : 32; // what the registers hold
  l.row_bytes = (dim / 8 | 1) * 16;
  l.shared_bytes = (l.rows + 2 * l.keys) * l.row_bytes + (cache_bytes == 1 ? l.keys * dim : 0);
  return l;
}

/// The kernel for sm_90a, D = 128, K not packed: M as above, N = 128, one block per SM. Tiles of
/// which every position is there come by tensor maps, others thread by thread, zeros for what is
/// not. Those of an fp8 cache come through registers, in which they are widened.
constexpr int kPrefillWgmmaThreads = 384;
constexpr int kPrefillWgmmaKeys = 128;
/// Two stages of Q, two of K, three of V, all of 16-bit numbers, barriers.
constexpr int kPrefillWgmmaSharedBytes = 7 * 128 * 256 + 128;

/// Query rows [row0, row0 + M) of one sequence. 16 bytes.
struct PrefillWork {
  int seq;
  int first_token; ///< cu_q[seq]
  int q_len;
  int row0;
};

struct PrefillPlanArgs {
  const int *cu_q;   ///< i32 [S+1]
  const int *ctx;    ///< i32 [S]
  int *count;        ///< out i32 [1]: E
  PrefillWork *work; ///< out [max_entries]
  int seqs;
  int max_entries; ///< E is at most sum over s of ceil(q_len * G / M)
  int group;       ///< G
  int rows;        ///< M
  int min_q;       ///< sequences with fewer tokens belong to decode attention
};

struct PrefillArgs {
  const void *q;                 ///< [T, Hq, D]
  void *out;                     ///< [T, Hq, D], type of q
  const void *k;                 ///< the layer's K stream in page 0: [H, page, D] or packed
  const void *v;                 ///< the layer's V stream in page 0: [H, page, D]
  unsigned long long page_bytes; ///< from page to page, both streams
  const int *block_table;        ///< i32 [S, P]; -1: not there, every position must be masked
  const int *positions;          ///< i32 [T], rising within a sequence
  const int *ctx;                ///< i32 [S]
  const float *k_scale;          ///< f32 [1] or null (1)
  const int *count;              ///< i32 [1]: E
  const PrefillWork *work;       ///< [E]
  float scale;
  int heads;    ///< Hq
  int kv_heads; ///< H
  int block_table_stride;
  int page_log2; ///< pages of 8, 16, 32, 64 positions
  int k_packed;  ///< [H, D/x, page, x], x = 16 / sizeof(element)
  int early;     ///< sm_90a: a full edge lies between the last write of the work list, block table,
             ///< positions and ctx, and this launch's predecessor: they are read before the wait
  int window; ///< a token sees the last `window` positions up to its own; 0 in kernels without one
  /// sm_90a, 16-bit caches: CUtensorMap of k and of v as a matrix [any, D], from page 0 on,
  /// 128-byte swizzle, in boxes of a page of one head, [page / 8, 2, 8, 64]: groups of eight rows
  /// in two panels.
  const void *k_map, *v_map;
};

/// With its maps, as one parameter.
struct PrefillMapped {
  alignas(64) unsigned char k_map[128];
  alignas(64) unsigned char v_map[128];
  PrefillArgs args;
};

} // namespace sinter::kernels
