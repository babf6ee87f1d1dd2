//===- CudaLowering.h - state of one xfmr-to-CUDA conversion ----*- C++ -*-===//
#pragma once

#include "StepLowering.h"

#include "lib/Codegen/Gpu/Attention.h"
#include "lib/Codegen/Gpu/Templates.h"
#include "sinter/Conversion/XfmrToCuda.h"

#include "llvm/ADT/DenseSet.h"

namespace sinter {

/// What the code of a kernel with this write depends on.
std::string writeKey(const gpu::CacheWriteSpec &spec);

/// Kernels with equal keys are generated once, whatever layer or entry asks; each gets a gpu.module
/// of its own, so that they can be compiled in parallel and cached one by one.
class CudaLowering : public StepLowering {
public:
  CudaLowering(mlir::ModuleOp planned, const CudaOptions &options, mlir::ModuleOp lowered);
  /// CudaInvariance.cpp: that every entry computes every op in one order, if that was asked for.
  mlir::LogicalResult checkInvariance();

private:
  mlir::LogicalResult prepare() override;
  mlir::LogicalResult beginEntry(mlir::FunctionOpInterface func) override;
  mlir::LogicalResult endEntry(mlir::FunctionOpInterface func) override;
  mlir::LogicalResult lowerKernelOp(mlir::Operation *op) override;
  int64_t weightBytes(mlir::Value w) const override;

  using Emit = llvm::function_ref<mlir::FailureOr<gpu::GpuKernel>(mlir::Operation *gpuModule,
                                                                  llvm::StringRef symbol)>;
  struct Kernel {
    unsigned index;
    gpu::GpuKernel made;
  };
  /// `order` of a kernel that sums, or empty: what decides the bits of its results.
  mlir::FailureOr<Kernel> kernel(llvm::StringRef op, const std::string &name,
                                 const std::string &key, Emit emit, std::string order = {});
  /// Launches `k` on its grid, after the launch before it; with `onlyWith` in steps that have some.
  mlir::LogicalResult start(mlir::Operation *op, llvm::StringRef suffix, const Kernel &k,
                            std::vector<SinterArg> args, llvm::ArrayRef<mlir::Value> tensors,
                            llvm::ArrayRef<mlir::Value> weights = {}, int64_t flops = 0,
                            bool readsKv = false, SinterGridDim onlyWith = SINTER_GRID_ONE);
  /// Room behind the planned arena for one op's own use.
  SinterArg room(int64_t bytes, int64_t offset = 0);
  mlir::FailureOr<DType> matrixType(mlir::Operation *op, mlir::Value w) const;
  /// Most tokens, or rows, that `v` has in this entry.
  int64_t mostOf(mlir::Value v) const { return countsRows(v) ? entry->maxRows : entry->maxTokens; }

  // CudaOps.cpp
  struct LinearParts {
    mlir::Value x = {}, w = {}, gamma = {}, bias = {}, residual = {},
                y = {}; ///< y null with argmax
    float eps = 0;
    gpu::LinearSpec::Epilogue epilogue = gpu::LinearSpec::Store;
    mlir::Value value = {}, index = {}; ///< argmax results
  };
  mlir::LogicalResult linear(mlir::Operation *op, const LinearParts &parts);
  bool writesAfter(const gpu::LinearSpec &spec, const gpu::CacheWriteSpec &write,
                   const gpu::LinearTuning &tuning) const;
  // CudaCandidates.cpp
  mlir::LogicalResult addCandidates(mlir::Operation *op, const gpu::LinearSpec &spec,
                                    const Kernel &own);
  mlir::LogicalResult rows(mlir::Operation *op, gpu::RowSpec::Kind kind,
                           llvm::ArrayRef<mlir::Value> operands,
                           llvm::ArrayRef<mlir::Value> results, float eps = 0);
  mlir::LogicalResult splitHeads(xfmr::SplitHeadsOp op);
  mlir::LogicalResult startRows(mlir::Operation *op, llvm::StringRef suffix,
                                const gpu::RowSpec &spec, std::vector<SinterArg> args,
                                llvm::ArrayRef<mlir::Value> tensors);
  // CudaOpsCache.cpp
  mlir::FailureOr<gpu::AttentionSpec> attentionSpec(xfmr::AttentionOp op, int64_t maxTokens,
                                                    int64_t maxQ) const;
  mlir::FailureOr<gpu::CacheWriteSpec> cacheWrite(mlir::Operation *op, mlir::Value kv,
                                                  mlir::Value x, int64_t heads) const;
  mlir::FailureOr<gpu::CacheWriteSpec> qkvWrite(xfmr::QkNormRopeWriteOp op) const;
  xfmr::AttentionOp readerOfRawQkv(xfmr::QkNormRopeWriteOp op) const;
  /// The op that a linear with result `y` may do on the way, if there is one.
  xfmr::QkNormRopeWriteOp writerOf(mlir::Value y) const;
  std::vector<SinterArg> writeArgs(xfmr::QkNormRopeWriteOp op);
  mlir::LogicalResult attentionFromQkv(xfmr::AttentionOp op, const gpu::AttentionSpec &spec);
  mlir::LogicalResult planAttention(xfmr::AttentionOp op);
  int64_t decodePlanAt(const gpu::AttentionSpec &spec) const;
  int64_t prefillPlanAt(const gpu::AttentionSpec &spec) const;
  mlir::LogicalResult attention(xfmr::AttentionOp op);
  mlir::LogicalResult qkNormRopeWrite(xfmr::QkNormRopeWriteOp op);
  mlir::LogicalResult kvWrite(xfmr::KvWriteOp op);
  mlir::LogicalResult rope(xfmr::RopeOp op);

  /// x * gamma of a residual stream and the row sums of squares of x, left by its producer for the
  /// norm that reads it next.
  struct PreparedRows {
    mlir::Value x, gamma; ///< whose they are
    int64_t sums = 0;     ///< per row
    SinterArg xgAt, sumsAt;
  };
  int64_t preparedBytes();
  PreparedRows preparedRoom(mlir::Value x) const;
  mlir::Value nextGamma(mlir::Value y) const;
  mlir::FailureOr<SinterArg> prepareRows(mlir::Operation *op, const LinearParts &parts,
                                         gpu::LinearSpec &spec, std::vector<SinterArg> &sums);

  const CudaOptions &options;
  gpu::GpuChip chip;
  std::vector<std::string> orders; ///< by kernel
  PreparedRows prepared;
  int64_t feedbackAt = 0; ///< persistent offset of the last step's tokens
  int64_t preparedAt = 0; ///< arena offset of room for PreparedRows
  int64_t attendedAt = 0; ///< of what attention that reads raw q, k and v leaves, or of q that a
                          ///< linear leaves
  llvm::DenseSet<mlir::Operation *> written; ///< by their linears
  llvm::StringMap<gpu::GpuKernel> launches;  ///< by key
  int64_t plansAt = 0;                       ///< arena offset of the attention plans
  llvm::SmallVector<int64_t> windows;        ///< of the entry, in the order of its plans
  bool fullEdgeNext = false;                 ///< the next launch waits for everything before it
};

} // namespace sinter
