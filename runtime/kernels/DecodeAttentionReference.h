//===- DecodeAttentionReference.h - decode attention in plain f64 ----*- C++ -*-===//
//
// The test oracle of DecodeAttention.h and PrefillAttention.h: no paging, no splits, no packing, no
// online softmax. Keys and values are the numbers the cache holds after its rounding.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace sinter::kernels {

/// One query row. q [D], keys and values [ctx, H, D] of the sequence, out [D]. `scale` includes
/// every factor of the scores; the row sees positions 0 .. position below ctx, with a window (not
/// 0) the last `window` up to its own.
inline void attentionRowReference(const float *q, const float *keys, const float *values, int ctx,
                                  int position, int window, int kvHead, int kvHeads, int dim,
                                  double scale, double valueScale, double *out) {
  const int seen = std::min(ctx, position + 1);
  const int first = window ? std::max(0, position + 1 - window) : 0;
  std::vector<double> p(size_t(std::max(seen, 0)));
  double top = -std::numeric_limits<double>::infinity(), total = 0;
  for (int i = first; i < seen; ++i) {
    const float *k = keys + (size_t(i) * size_t(kvHeads) + size_t(kvHead)) * size_t(dim);
    double dot = 0;
    for (int d = 0; d < dim; ++d)
      dot += double(q[d]) * double(k[d]);
    p[size_t(i)] = dot * scale;
    top = std::max(top, p[size_t(i)]);
  }
  std::fill(out, out + dim, 0.0);
  for (int i = first; i < seen; ++i) {
    const float *v = values + (size_t(i) * size_t(kvHeads) + size_t(kvHead)) * size_t(dim);
    const double weight = std::exp(p[size_t(i)] - top);
    total += weight;
    for (int d = 0; d < dim; ++d)
      out[d] += weight * double(v[d]);
  }
  for (int d = 0; d < dim && seen > 0; ++d)
    out[d] *= valueScale / total;
}

} // namespace sinter::kernels
