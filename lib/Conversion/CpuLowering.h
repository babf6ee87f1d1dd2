//===- CpuLowering.h - state of one xfmr-to-CPU conversion ------*- C++ -*-===//
#pragma once

#include "lib/Codegen/Cpu/Templates.h"

#include "sinter/Conversion/CpuProgram.h"
#include "sinter/Dialect/Xfmr.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringMap.h"

namespace sinter {

/// Walks entries in order, gives every tensor a place and every op a kernel. Kernels with equal
/// keys are generated once, whatever layer or entry asks.
class CpuLowering {
public:
  CpuLowering(mlir::ModuleOp planned, llvm::ArrayRef<CpuIsa> isas, mlir::ModuleOp lowered);
  mlir::LogicalResult run();
  CpuProgram program;

private:
  using Tensor = mlir::TypedValue<mlir::RankedTensorType>;

  // XfmrToCpu.cpp: places
  mlir::LogicalResult lowerEntry(mlir::FunctionOpInterface func);
  mlir::LogicalResult placeArguments(mlir::FunctionOpInterface func);
  mlir::LogicalResult placeResults(mlir::Operation *op);
  mlir::LogicalResult placeOutput(mlir::OpResult result);
  mlir::LogicalResult lowerOp(mlir::Operation *op);
  mlir::LogicalResult lowerKernelOp(mlir::Operation *op);
  SinterArg place(mlir::Value v) const;
  SinterArg arena(int64_t offset) const;
  int64_t sizeOf(mlir::Value v) const; ///< bytes at the entry's most tokens

  // What templates need to know about operands.
  mlir::FailureOr<DType> elementType(mlir::Operation *op, mlir::Value v) const;
  mlir::FailureOr<llvm::SmallVector<int64_t, 4>> tiledRows(mlir::Operation *op,
                                                           mlir::Value w) const;
  mlir::LogicalResult checkVector(mlir::Operation *op, mlir::Value v) const;
  mlir::FailureOr<cpu::CacheShape> cacheShape(mlir::Operation *op, mlir::Value kv) const;
  SinterArg cacheStream(mlir::Value kv, bool values) const;
  xfmr::WeightOp weightOf(mlir::Value v) const;
  bool countsRows(mlir::Value v) const { return rowValues.contains(v); }
  SinterGrid perToken(mlir::Value v, int64_t perToken = 1, uint32_t split = 1) const;
  int64_t rowBytes(mlir::Value v) const; ///< of one token
  int64_t weightBytes(mlir::Value w) const;

  // Kernels and the schedule.
  using Emit = llvm::function_ref<int64_t(mlir::ModuleOp, llvm::StringRef, CpuIsa)>;
  unsigned kernel(llvm::StringRef op, const std::string &name, const std::string &key, Emit emit);
  /// Appends a launch. `tensors` is what counts as activation traffic, `weights` as weights.
  void launch(mlir::Operation *op, llvm::StringRef suffix, unsigned kernel, SinterGrid grid,
              std::vector<SinterArg> args, llvm::ArrayRef<mlir::Value> tensors,
              llvm::ArrayRef<mlir::Value> weights = {}, int64_t flops = 0, bool readsKv = false);

  // CpuOps.cpp
  struct LinearParts {
    mlir::Value x = {}, w = {}, gamma = {}, bias = {}, residual = {},
                y = {}; ///< y null with argmax
    float eps = 0;
    cpu::LinearSpec::Epilogue epilogue = cpu::LinearSpec::Store;
    mlir::Value value = {}, index = {}; ///< argmax results
  };
  mlir::LogicalResult linear(mlir::Operation *op, const LinearParts &parts);
  mlir::LogicalResult norm(mlir::Operation *op, Tensor x, mlir::Value gamma, Tensor y, float eps,
                           mlir::Value other = {}, mlir::Value sum = {});
  mlir::LogicalResult rows(mlir::Operation *op, cpu::RowSpec::Kind kind, mlir::Value a,
                           mlir::Value b, Tensor y);
  mlir::LogicalResult embedding(xfmr::EmbeddingOp op);
  mlir::LogicalResult splitHeads(xfmr::SplitHeadsOp op);
  mlir::LogicalResult selectRows(xfmr::SelectRowsOp op);
  mlir::LogicalResult argmax(xfmr::ArgmaxOp op);
  // CpuOpsCache.cpp
  mlir::LogicalResult rope(xfmr::RopeOp op);
  mlir::LogicalResult kvWrite(xfmr::KvWriteOp op);
  mlir::LogicalResult qkNormRopeWrite(xfmr::QkNormRopeWriteOp op);
  mlir::LogicalResult attention(xfmr::AttentionOp op);

  mlir::ModuleOp planned, lowered;
  llvm::ArrayRef<CpuIsa> isas;
  llvm::StringMap<unsigned> kernels;     ///< key -> index
  llvm::StringMap<unsigned> kernelNames; ///< name -> times used
  llvm::StringMap<unsigned> weights;     ///< symbol -> index
  int64_t plannedArena = 0, partialBytes = 0;
  // The entry being lowered.
  CpuEntry *entry = nullptr;
  llvm::DenseMap<mlir::Value, SinterArg> places;
  llvm::DenseMap<mlir::Value, unsigned> layers; ///< cache handles
  llvm::SmallVector<int64_t> layerOffsets;      ///< bytes in a page
  llvm::DenseSet<mlir::Value> rowValues;        ///< tensors with R rows, not T
};

} // namespace sinter
