//===- Execution.h - one run of one function --------------------*- C++ -*-===//
#pragma once

#include "sinter/Dialect/Xfmr.h"
#include "sinter/Interpreter/Interpreter.h"

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/DenseMap.h"

namespace sinter::interp {

/// The values of weight `op` on `rank` (Weight.cpp).
Result<Tensor> materialiseWeight(xfmr::WeightOp op, WeightProvider &provider, unsigned rank,
                                 unsigned ranks, Mode mode);

/// Element type of a tensor value.
DType elementOf(mlir::Value value);

/// Values of SSA names while a function runs; a tensor dies after its last use.
class Execution {
public:
  using Tensors = Result<std::vector<Tensor>>;

  Execution(Interpreter &interpreter, const Batch &batch, Caches &caches)
      : interpreter_(interpreter), batch_(batch), caches_(caches) {}

  Tensors run(mlir::FunctionOpInterface function, const std::vector<Tensor> &arguments);

private:
  Status bindArguments(mlir::FunctionOpInterface function, const std::vector<Tensor> &arguments);
  Status execute(mlir::Operation *op);
  Status executeCollective(mlir::Operation *op);
  Tensors collectReturned(mlir::Operation *op);
  Tensors evaluate(mlir::Operation *op);
  /// Rounds, checks shapes, shows the results to the observer and names them.
  Status store(mlir::Operation *op, std::vector<Tensor> results);
  Status getWeight(xfmr::GetWeightOp op);
  void release(mlir::Operation *op);

  Tensors eval(xfmr::EmbeddingOp op);
  Tensors eval(xfmr::RmsNormOp op);
  Tensors eval(xfmr::LinearOp op);
  Tensors eval(xfmr::AddOp op);
  Tensors eval(xfmr::SwigluOp op);
  Tensors eval(xfmr::SplitHeadsOp op);
  Tensors eval(xfmr::MergeHeadsOp op);
  Tensors eval(xfmr::RopeOp op);
  Tensors eval(xfmr::SelectRowsOp op);
  Tensors eval(xfmr::ArgmaxOp op);
  Tensors eval(xfmr::KvWriteOp op);
  Tensors eval(xfmr::AttentionOp op);
  Tensors eval(xfmr::RmsNormLinearOp op);
  Tensors eval(xfmr::RmsNormSwigluOp op);
  Tensors eval(xfmr::LinearAddOp op);
  Tensors eval(xfmr::AddRmsNormOp op);
  Tensors eval(xfmr::QkNormRopeWriteOp op);
  Tensors eval(xfmr::LinearArgmaxOp op);

  /// Tensor of `value` on the current rank; null for an absent operand.
  const Tensor *find(mlir::Value value);
  const Tensor &in(mlir::Value value) { return *find(value); }
  PagedCache &cacheOf(mlir::Value handle) { return caches_[rank_][layers_.lookup(handle)]; }
  /// The handle `from` lives on as `to`.
  void pass(mlir::Value from, mlir::Value to) { layers_[to] = layers_.lookup(from); }
  double kScale(mlir::Value scale) { return scale ? in(scale).data[0] : 1; }
  /// What a reader of `value` gets: rounded to its element type in declared mode.
  Tensor rounded(mlir::Value value, Tensor tensor) const;
  Tensor normed(mlir::Value x, mlir::Value gamma, mlir::Value w, mlir::Value bias, double eps);
  void writeCache(PagedCache &cache, DType type, const Tensor &k, const Tensor &v, double scale);
  Status checkPositions(const Tensor &table) const;

  Interpreter &interpreter_;
  const Batch &batch_;
  Caches &caches_;
  unsigned rank_ = 0;
  llvm::DenseMap<mlir::Value, std::vector<std::shared_ptr<Tensor>>> tensors_; ///< by rank
  llvm::DenseMap<mlir::Value, unsigned> layers_; ///< cache number of each handle
};

} // namespace sinter::interp
