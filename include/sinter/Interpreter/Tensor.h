//===- Tensor.h - the reference interpreter's values ------------*- C++ -*-===//
//
// Plain row-major tensors of doubles: every element type that xfmr has (f32, bf16, f16, i32) is a
// subset of double, so one container holds them all. What a value would look like in its own type
// is decided by roundTo.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/DType.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace sinter::interp {

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<double> data;

  Tensor() = default;
  /// Zeros.
  explicit Tensor(std::vector<int64_t> shape);
  Tensor(std::vector<int64_t> shape, std::vector<double> data);
  static Tensor ofInts(const std::vector<int32_t> &values);

  int64_t dim(size_t i) const { return shape[i]; }
  int64_t rows() const { return shape[0]; }
  /// Elements per step of the first dimension.
  int64_t rowSize() const;
  double *row(int64_t r) { return data.data() + r * rowSize(); }
  const double *row(int64_t r) const { return data.data() + r * rowSize(); }
  /// The same elements in another shape.
  Tensor reshaped(std::vector<int64_t> newShape) const { return Tensor(std::move(newShape), data); }
};

/// The nearest value of `type` (by way of f32 for the 16-bit types: accumulators are f32).
double roundTo(DType type, double value);
Tensor roundTo(DType type, Tensor tensor);

/// |got - want| / |want| in the Euclidean norm: how every numerical bound of Sinter is stated.
/// Infinite when a non-finite element is not matched by the same one, and when only `want` is zero.
template <typename A, typename B> double relativeL2(const A *got, const B *want, size_t count) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < count; ++i) {
    const double g = double(got[i]), w = double(want[i]);
    if (!std::isfinite(g) || !std::isfinite(w)) {
      if (!(g == w || (std::isnan(g) && std::isnan(w))))
        return std::numeric_limits<double>::infinity();
      continue;
    }
    error += (g - w) * (g - w);
    norm += w * w;
  }
  if (error == 0)
    return 0;
  return norm == 0 ? std::numeric_limits<double>::infinity() : std::sqrt(error / norm);
}

/// As above; infinite when the shapes differ.
double relativeL2(const Tensor &got, const Tensor &want);

} // namespace sinter::interp
