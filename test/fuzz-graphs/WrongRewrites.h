//===- WrongRewrites.h - fusions with a bug each ----------------*- C++ -*-===//
//
// What a careless fusion would do. They exist in this test only and show that the fuzzer sees the
// difference.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace sinter {

struct WrongRewrite {
  std::string name;
  /// Rewrites one place of the module; false when there is none.
  bool (*apply)(mlir::ModuleOp module);
};

std::vector<WrongRewrite> wrongRewrites();

} // namespace sinter
