//===- QkNormRopeWriteReference.h - q/k norm, RoPE, KV write in plain f64 -*- C++ -*-===//
//
// The test oracle of QkNormRopeWrite.h: one head, before the rounding of the result.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cmath>

namespace sinter::kernels {

/// x [D], gamma [D] or null, table row [D] or null (V: neither), out [D].
inline void qkNormRopeReference(const float *x, const float *gamma, const float *angles, double eps,
                                double divisor, int dim, double *out) {
  double squares = 0;
  for (int d = 0; d < dim; ++d)
    squares += double(x[d]) * double(x[d]);
  for (int d = 0; d < dim; ++d)
    out[d] =
        gamma ? double(x[d]) * double(gamma[d]) / std::sqrt(squares / dim + eps) : double(x[d]);
  for (int i = 0; angles && i < dim / 2; ++i) {
    const double low = out[i], high = out[i + dim / 2];
    const double c = double(angles[i]), s = double(angles[i + dim / 2]);
    out[i] = low * c - high * s;
    out[i + dim / 2] = high * c + low * s;
  }
  for (int d = 0; d < dim; ++d)
    out[d] /= divisor;
}

} // namespace sinter::kernels
