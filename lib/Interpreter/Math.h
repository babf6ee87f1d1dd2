//===- Math.h - the equations of the xfmr ops, in f64 -----------*- C++ -*-===//
//
// One function per equation, written as the op descriptions state it, without a thought for speed.
// Nothing here rounds: the caller rounds a result when the op says so. Shared with nothing: these
// are what compiled code is compared with.
//
// T tokens, R rows, K and N columns, H and D heads and head size.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Interpreter/Batch.h"
#include "sinter/Interpreter/Tensor.h"

#include <optional>

namespace sinter::interp {

/// Rows of `table` [V, K] by token; ids outside [first, first + V) give zeros.
Tensor embed(const Tensor &tokens, const Tensor &table, int64_t first);

/// 1 / sqrt(mean(x^2) + eps) of `size` values.
double reciprocalRms(const double *x, int64_t size, double eps);

/// x [.., K], gamma [K].
Tensor rmsNorm(const Tensor &x, const Tensor &gamma, double eps);

/// x [T, K], w [N, K], bias [N] or null.
Tensor linear(const Tensor &x, const Tensor &w, const Tensor *bias);

/// rstd(x) * ((x * gamma) W^T) + bias.
/// x * gamma is rounded to `weighted`, if any.
Tensor normLinear(const Tensor &x, const Tensor &gamma, const Tensor &w, const Tensor *bias,
                  double eps, std::optional<DType> weighted);

Tensor add(const Tensor &a, const Tensor &b);

/// Gate and up are columns [0, N) and [N, 2N) of `gateUp`.
Tensor swiglu(const Tensor &gateUp);
Tensor swiglu(const Tensor &gate, const Tensor &up);

/// Columns [offset, offset + heads * size) of x [T, N] as [T, heads, size].
Tensor splitHeads(const Tensor &x, int64_t offset, int64_t heads, int64_t size);

/// Halves form. x [T, H, D], table [P, D] holds cos, then sin.
Tensor rope(const Tensor &x, const Tensor &table, const std::vector<int32_t> &positions);

Tensor selectRows(const Tensor &x, const Tensor &rows);

struct Argmax {
  Tensor value, index;
};
/// Lowest index of equal values; the first NaN of a row that has one.
Argmax argmax(const Tensor &x);

/// softmax(scale * q K^T, causal) V. q [T, Hq, D]; `scale` includes the K scale. A token sees the
/// last `window` positions up to its own; 0: all of them. Tokens of no sequence give zeros.
Tensor attention(const Tensor &q, const PagedCache &cache, const Batch &batch, double scale,
                 int64_t window);

} // namespace sinter::interp
