//===- WeightMerger.h - several linears on one input -> one -----*- C++ -*-===//
#pragma once

#include "sinter/Dialect/Xfmr.h"

#include "mlir/IR/BuiltinOps.h"

#include <map>
#include <string>

namespace sinter::xfmr {

/// Merges groups of linears of a module; every entry point shares the merged symbol. First all
/// groups are announced with `add`, then each is asked about and merged.
class WeightMerger {
public:
  explicit WeightMerger(mlir::ModuleOp module);

  void add(llvm::ArrayRef<LinearOp> group) { ++groups[keyOf(group)]; }

  /// Why the group cannot become one linear; empty when it can.
  llvm::StringRef whyNot(llvm::ArrayRef<LinearOp> group) const;

  /// The one linear, in place of the first; its weight's rows are those of the group, in order. The
  /// name is that of the group's parent plus `last`. The old linears lose their users only.
  LinearOp merge(llvm::ArrayRef<LinearOp> group, llvm::StringRef last);

  /// Drops merged linears without users and weights that only they read.
  void eraseMerged();

private:
  std::string keyOf(llvm::ArrayRef<LinearOp> group) const;
  WeightOp mergedWeight(llvm::ArrayRef<mlir::Value> parts, llvm::StringRef last);

  mlir::ModuleOp module;
  mlir::SymbolTable symbols;
  std::map<std::string, int64_t> groups; ///< groups per list of weights
  std::map<std::string, int64_t> uses;   ///< reads of each weight in the module
  std::map<std::string, WeightOp> made;
  llvm::SmallVector<LinearOp> dead;
  llvm::SmallVector<WeightOp> replaced;
};

} // namespace sinter::xfmr
