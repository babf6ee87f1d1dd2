//===- StepLowering.h - what lowerings to every target share ----*- C++ -*-===//
#pragma once

#include "sinter/Conversion/StepProgram.h"
#include "sinter/Dialect/Xfmr.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringMap.h"

namespace sinter {

/// Walks entries in order and gives every tensor a place; a target gives every op its kernels.
class StepLowering {
public:
  StepLowering(mlir::ModuleOp planned, mlir::ModuleOp lowered);
  virtual ~StepLowering() = default;
  mlir::LogicalResult run();
  StepProgram program;

protected:
  using Tensor = mlir::TypedValue<mlir::RankedTensorType>;

  //--- what a target adds ---
  /// Before the first entry, when the planned arena's size is known.
  virtual mlir::LogicalResult prepare() { return mlir::success(); }
  /// Before the ops of an entry: its limits, launches that come once a step.
  virtual mlir::LogicalResult beginEntry(mlir::FunctionOpInterface) { return mlir::success(); }
  /// After them: entries that follow from this one, which `entry` is still.
  virtual mlir::LogicalResult endEntry(mlir::FunctionOpInterface) { return mlir::success(); }
  virtual mlir::LogicalResult lowerKernelOp(mlir::Operation *op) = 0;
  virtual int64_t weightBytes(mlir::Value w) const = 0; ///< of the resident form

  //--- places ---
  SinterArg place(mlir::Value v) const;
  void moveTo(mlir::Value v, SinterArg where) { places[v] = where; }
  /// `v` lies where `source` does.
  void alias(mlir::Value v, mlir::Value source) { places[v] = places.lookup(source); }
  SinterArg arena(int64_t offset) const;
  /// In the part of the arena that is zero at first and belongs to the kernels.
  SinterArg persistent(int64_t offset) const;
  /// Activations of `v` at the entry's most tokens, bytes.
  int64_t sizeOf(mlir::Value v) const;
  /// The layer's K or V stream in page 0.
  SinterArg cacheStream(mlir::Value kv, bool values) const;
  bool knowsCache(mlir::Value kv) const { return layers.contains(kv); }

  //--- facts about operands ---
  mlir::FailureOr<DType> elementType(mlir::Operation *op, mlir::Value v) const;
  mlir::LogicalResult checkVector(mlir::Operation *op, mlir::Value v) const;
  xfmr::WeightOp weightOf(mlir::Value v) const;
  bool countsRows(mlir::Value v) const { return rowValues.contains(v); }
  int64_t rowBytes(mlir::Value v) const; ///< of one token

  //--- the schedule ---
  static std::string nameOf(mlir::Operation *op);
  /// Appends a launch. `tensors` is what counts as activation traffic, `weights` as weights.
  void launch(mlir::Operation *op, llvm::StringRef suffix, unsigned kernel, SinterGrid grid,
              std::vector<SinterArg> args, llvm::ArrayRef<mlir::Value> tensors,
              llvm::ArrayRef<mlir::Value> weights = {}, int64_t flops = 0, bool readsKv = false);

  mlir::ModuleOp planned, lowered;
  llvm::StringMap<unsigned> kernels;     ///< key -> index
  llvm::StringMap<unsigned> kernelNames; ///< name -> times used
  int64_t plannedArena = 0;
  int64_t partialBytes = 0; ///< behind the planned arena, shared by whoever needs room in one op
  StepEntry *entry = nullptr;

private:
  mlir::LogicalResult lowerEntry(mlir::FunctionOpInterface func);
  mlir::LogicalResult placeArguments(mlir::FunctionOpInterface func);
  mlir::LogicalResult placeResults(mlir::Operation *op);
  mlir::LogicalResult placeOutput(mlir::OpResult result);
  mlir::LogicalResult lowerOp(mlir::Operation *op);

  llvm::StringMap<unsigned> weights; ///< symbol -> index
  // Of the entry being lowered.
  llvm::DenseMap<mlir::Value, SinterArg> places;
  llvm::DenseMap<mlir::Value, unsigned> layers; ///< cache handles
  llvm::SmallVector<int64_t> layerOffsets;      ///< bytes in a page
  llvm::DenseSet<mlir::Value> rowValues;        ///< tensors with R rows, not T
};

constexpr int64_t alignUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

} // namespace sinter
