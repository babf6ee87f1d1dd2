//===- GraphGenerator.h - random legal xfmr graphs --------------*- C++ -*-===//
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <cstdint>

namespace sinter {

struct GeneratedGraph {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  int64_t vocab = 0;
  int64_t page = 1;
  bool argmax = false;  ///< returns value and index, not logits
  bool regular = false; ///< shaped like a real model: what import could have made
};

enum class GraphSizes {
  Tiny,   ///< thousands of graphs in seconds
  Native, ///< what kernels exist for: pages of 16, sizes around their tiles
};

/// One entry @step. The same seed gives the same graph. `regular` graphs vary sizes, biases, norms,
/// epsilons, tying and types; the others also break every habit that a fusion could rely on:
/// several users, swapped and doubled summands, residuals of any origin, missing and shared parts.
GeneratedGraph generateGraph(mlir::MLIRContext &context, uint64_t seed,
                             GraphSizes sizes = GraphSizes::Tiny);

} // namespace sinter
