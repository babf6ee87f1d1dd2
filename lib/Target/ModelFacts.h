//===- ModelFacts.h - what a planned module says of its model ---*- C++ -*-===//
#pragma once

#include "sinter/Dialect/Xfmr.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseMap.h"

#include <string>
#include <utility>
#include <vector>

namespace sinter {

/// A checkpoint tensor, as far as the weights made of it tell.
struct TensorFacts {
  int64_t rows = 0;
  mlir::Type element;
};

/// Read from the module's `xfmr.model`; a graph without one is measured.
struct ModelFacts {
  std::string name;
  std::string architecture;
  int64_t layers = 0, hidden = 0, intermediate = 0, heads = 0, kvHeads = 0, headDim = 0, vocab = 0,
          maxPosition = 0;
  std::vector<int64_t> eos;
  int64_t window = 0; ///< the farthest that any layer's attention sees back; 0: one sees all
  xfmr::KvType kv;
  mlir::Type activation;
  bool kScale = false; ///< K is divided by a power of two before it is stored
  llvm::DenseMap<mlir::StringAttr, TensorFacts> tensors;

  /// Fails on a module that no runner could use, naming what it lacks.
  static mlir::FailureOr<ModelFacts> of(mlir::ModuleOp module, llvm::StringRef name);

  /// Under the names of docs/artifact.md.
  std::vector<std::pair<llvm::StringRef, int64_t>> sizes() const;
};

} // namespace sinter
