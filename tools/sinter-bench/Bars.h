//===- Bars.h - what is asked of a machine ----------------------*- C++ -*-===//
#pragma once

#include <optional>
#include <string>

namespace sinter {

/// The bar of a row of results in the row's unit; none where none is set for this hardware.
std::optional<double> barOf(const std::string &row, const std::string &hardware);

/// What its tensor cores have been seen to do in 16 bits, FLOP/s: the fastest GEMM of the vendor's
/// library (8192 x 8192 x 8192). Zero where nobody has measured it.
double tensorPeakOf(const std::string &hardware);

} // namespace sinter
