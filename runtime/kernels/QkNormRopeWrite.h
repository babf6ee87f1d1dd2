//===- QkNormRopeWrite.h - q/k norm, RoPE and the KV write: the contract -*- C++ -*-===//
//
//   q[t, h]               = rope(norm(qkv[t, h], q_gamma), positions[t])
//   cache[slots[t], h].k  = rope(norm(qkv[t, Hq + h], k_gamma), positions[t]) / (k_scale * kd[h])
//   cache[slots[t], h].v  = qkv[t, Hq + H + h] / vd[h]
//
// norm(x, g) = x * g / sqrt(mean(x^2) + eps); without gammas there is no norm. RoPE turns the pairs
// (i, i + D/2) by the table's angles.
//
// Symbols: T tokens, Hq query heads, H kv heads, D head size.
// Launch: 128 threads; a warp takes one (token, head) of T * (Hq + 2H), then the next one a grid of
// warps further. No shared memory. Registers aimed at: 40.
// Bytes: T * (2 * Hq + 2 * H) * D elements and the table's row per token. FLOPs: about 10 an
// element. Numerics: f32 from the rounded qkv to the one rounding of each result; fp8 saturates. A
// token with slot -1 writes no K and no V; its q is computed like every other.
//
// PDL: gammas are read before griddepcontrol.wait, everything else after.
//
//===----------------------------------------------------------------------===//
#pragma once

namespace sinter::kernels {

constexpr int kQkvThreads = 128;

/// Heads of a token that a warp takes together.
constexpr int qkvHeadsTogether(int dim) { return dim == 128 ? 4 : dim < 128 ? 2 : 1; }

struct QkvArgs {
  const void *qkv; ///< [T, (Hq + 2H) * D]: q, k, v side by side
  void *q;         ///< out [T, Hq, D], type of qkv
  void *k;         ///< the layer's K stream in page 0: [H, page, D], or [H, D/x, page, x] packed
  void *v;         ///< the layer's V stream in page 0: [H, page, D]
  unsigned long long page_bytes; ///< from page to page, both streams
  const float *table;            ///< f32 [positions, D]: cosines of D/2 angles, then sines
  const int *positions;          ///< i32 [T]
  const int *slots;              ///< i32 [T]: page * page size + offset, or -1
  const float *q_gamma;          ///< f32 [D] or null
  const float *k_gamma;          ///< f32 [D] or null, both or none
  const float *k_scale;          ///< f32 [1] or null (1)
  const float *k_dequant;        ///< f32 [H] or null (1): a stored K times this is K / k_scale
  const float *v_dequant;        ///< f32 [H] or null (1)
  float eps;
  int tokens;   ///< T
  int heads;    ///< Hq
  int kv_heads; ///< H
  int page_log2;
  int k_packed; ///< x = 16 / sizeof(element)
};

} // namespace sinter::kernels
