//===- Interpreter.h - the reference meaning of xfmr graphs -----*- C++ -*-===//
//
// Runs every xfmr op, unfused and fused, on simulated pages. Shares no code with the lowerings.
//
//   Exact     f64 and no rounding at all, but for fp8 caches, whose few values belong to the model:
//             what the graph means.
//   Declared  f64 inside an op, rounded where the op's description says so: results to their
//             element type, K and V to the cache's. What compiled code may differ from by the
//             order of its f32 sums only.
//
// A sharded module runs all its ranks in lockstep, op by op; each rank has its own caches.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Interpreter/Batch.h"
#include "sinter/Interpreter/Tensor.h"
#include "sinter/Interpreter/Weights.h"
#include "sinter/Support/Status.h"

#include "mlir/IR/BuiltinOps.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sinter::interp {

enum class Mode : int { Exact, Declared };

/// Caches of one rank, in the order of the entry's handles.
using RankCaches = std::vector<PagedCache>;
/// One per rank.
using Caches = std::vector<RankCaches>;

class Interpreter {
public:
  /// Called after each op on each rank with its tensor results, in order. A callee may overwrite
  /// the values: that is how a comparison is teacher-forced.
  using Observer =
      std::function<void(mlir::Operation *op, unsigned rank, llvm::ArrayRef<Tensor *> results)>;

  /// The module must outlive the interpreter and pass the verifier.
  static Result<Interpreter> create(mlir::ModuleOp module, std::shared_ptr<WeightProvider> weights,
                                    Mode mode);

  Mode mode() const { return mode_; }
  /// 1 unless the module was sharded.
  unsigned ranks() const { return ranks_; }
  void setObserver(Observer observer) { observer_ = std::move(observer); }
  /// Weights of this many bytes (as doubles) are kept between ops; 0 reads them at every use.
  void setWeightCacheLimit(size_t bytes) { weightCacheLimit_ = bytes; }

  /// In declared mode x * gamma of a fused norm and linear is rounded where x and W are bf16: what
  /// multipliers of bf16 are given. The ops leave that open (off).
  void setWeightedRounded(bool on) { weightedRounded_ = on; }
  bool weightedRounded() const { return weightedRounded_; }

  /// The values of the named xfmr.weight on one rank.
  Result<Tensor> weight(llvm::StringRef name, unsigned rank = 0) const;

  /// Caches of `pages` pages each for the handles that `function` takes.
  Result<Caches> makeCaches(llvm::StringRef function, int64_t pages) const;

  /// Runs a step: its tensor arguments are tokens and rows. Returns the tensor results, which must
  /// be the same on every rank.
  Result<std::vector<Tensor>> run(llvm::StringRef entry, const Batch &batch, Caches &caches);

  /// Runs any function of xfmr ops; `arguments` go to its tensor arguments in order, the same on
  /// every rank.
  Result<std::vector<Tensor>> call(llvm::StringRef function, const std::vector<Tensor> &arguments,
                                   const Batch &batch, Caches &caches);

private:
  friend class Execution;
  Interpreter(mlir::ModuleOp module, std::shared_ptr<WeightProvider> weights, Mode mode)
      : module_(module), weights_(std::move(weights)), mode_(mode) {}

  mlir::ModuleOp module_;
  std::shared_ptr<WeightProvider> weights_;
  Mode mode_;
  unsigned ranks_ = 1;
  bool weightedRounded_ = false;
  Observer observer_;
  size_t weightCacheLimit_ = size_t(2) << 30;
  size_t weightCacheBytes_ = 0;
  std::map<std::string, std::vector<std::shared_ptr<Tensor>>> weightCache_;
};

/// The op's location name ("layers.7.mlp.down"), or its mnemonic when it has none.
std::string opName(mlir::Operation *op);

} // namespace sinter::interp
