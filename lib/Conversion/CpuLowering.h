//===- CpuLowering.h - state of one xfmr-to-CPU conversion ------*- C++ -*-===//
#pragma once

#include "StepLowering.h"

#include "lib/Codegen/Cpu/Templates.h"

namespace sinter {

/// Kernels with equal keys are generated once, whatever layer or entry asks.
class CpuLowering : public StepLowering {
public:
  CpuLowering(mlir::ModuleOp planned, llvm::ArrayRef<CpuIsa> isas, mlir::ModuleOp lowered)
      : StepLowering(planned, lowered), isas(isas) {}

private:
  mlir::LogicalResult lowerKernelOp(mlir::Operation *op) override;
  int64_t weightBytes(mlir::Value w) const override;

  // What templates need to know about operands.
  mlir::FailureOr<llvm::SmallVector<int64_t, 4>> tiledRows(mlir::Operation *op,
                                                           mlir::Value w) const;
  mlir::FailureOr<cpu::CacheShape> cacheShape(mlir::Operation *op, mlir::Value kv) const;
  SinterGrid perToken(mlir::Value v, int64_t perToken = 1, uint32_t split = 1) const;
  int64_t maxPositions();

  using Emit = llvm::function_ref<int64_t(mlir::ModuleOp, llvm::StringRef, CpuIsa)>;
  /// With `ownBf16` also for V4Bf16, which else runs V4's.
  unsigned kernel(llvm::StringRef op, const std::string &name, const std::string &key, Emit emit,
                  bool ownBf16 = false);

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

  llvm::ArrayRef<CpuIsa> isas;
};

} // namespace sinter
