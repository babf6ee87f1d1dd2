//===- TokenRange.h - how many tokens a step may have -----------*- C++ -*-===//
//
// The one place where cost models learn M. A decision holds for the whole range.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Dialect/Xfmr.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

#include <optional>

namespace sinter::xfmr {

struct TokenRange {
  int64_t lo = 0;      ///< least number of tokens
  int64_t hi = 0;      ///< greatest, inclusive
  int64_t maxQ = 0;    ///< most tokens of one sequence; 0: any number
  int64_t maxRows = 0; ///< most rows that the head is asked for; 0: what the target deems enough

  bool isStatic() const { return lo == hi; }

  /// The range of a step: its `xfmr.tokens`, else the static size of its first i32 vector argument.
  /// None: unknown, and a pass that would consult a cost model says that it did not.
  static std::optional<TokenRange> of(mlir::FunctionOpInterface func);
};

} // namespace sinter::xfmr
