//===- Bars.h - what is asked of a machine ----------------------*- C++ -*-===//
#pragma once

#include <optional>
#include <string>

namespace sinter {

/// The bar of a row of results in the row's unit; none where none is set for this hardware.
std::optional<double> barOf(const std::string &row, const std::string &hardware);

} // namespace sinter
