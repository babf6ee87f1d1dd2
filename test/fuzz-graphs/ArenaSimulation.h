//===- ArenaSimulation.h - a buffer plan played with real values -*- C++ -*-===//
//
// Watches an interpreter run a planned entry and does to its tensors what the plan would do to
// them in memory: a result that lands on a tensor with a later reader turns that tensor into NaN.
// Knows only docs/pipeline.md, not the planner.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Interpreter/Tensor.h"

#include "mlir/IR/Operation.h"

#include <string>
#include <vector>

namespace sinter {

class ArenaSimulation {
public:
  /// To be called after every op (rank 0 only).
  void observe(mlir::Operation *op, llvm::ArrayRef<interp::Tensor *> results);
  /// A new step begins.
  void reset() { live_.clear(); }
  /// An op that overwrites what it still reads; empty when there is none.
  const std::string &error() const { return error_; }

private:
  struct Placed {
    mlir::Value value;
    interp::Tensor *tensor;
    int64_t begin, end; ///< bytes at the largest T
  };
  void checkOperands(mlir::Operation *op, mlir::OpResult result, const Placed &placed);

  std::vector<Placed> live_;
  std::string error_;
};

} // namespace sinter
