//===- XfmrToCuda.h - a planned graph to GPU kernels ------------*- C++ -*-===//
#pragma once

#include "sinter/Conversion/StepProgram.h"
#include "sinter/Support/Status.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <map>
#include <memory>

namespace sinter {

namespace gpu {
class TunedTable;
}
struct TuneLinear;

/// What was measured on a GPU: the file that `sinter-bench tune` writes. `name` is for errors.
Result<std::shared_ptr<const gpu::TunedTable>>
readTunedTable(llvm::StringRef text, const std::string &name, llvm::StringRef chip);
/// The table that the compiler carries for `chip`; null where there is none.
std::shared_ptr<const gpu::TunedTable> builtinTunedTable(llvm::StringRef chip);

struct CudaOptions {
  std::string chip = "sm_90a";
  /// The bits of a token do not depend on the entry point that computes it nor on what else is in
  /// the step.
  bool batchInvariant = false;
  /// q, k and v are normed, turned and written by the linear that computes them, where one can.
  bool linearWrites = true;
  std::shared_ptr<const gpu::TunedTable> tuned;  ///< null: rules and the cost model decide
  std::vector<TuneLinear> *candidates = nullptr; ///< gets every linear with what else it could be
};

/// Lowers a module that went through xfmr-assign-weight-layout{target=cuda} and xfmr-plan.
/// `lowered` gets one gpu.module per kernel, named like the kernel in it, in the order of
/// StepProgram::kernels. Kernel parameters are pointers and, last, the SinterBatch. Errors are
/// emitted on the op that has no lowering.
mlir::FailureOr<StepProgram> convertXfmrToCuda(mlir::ModuleOp planned, const CudaOptions &options,
                                               mlir::OwningOpRef<mlir::ModuleOp> &lowered);

/// Between specialisation and fusion: writes `xfmr.slower` where a fusion was measured, or else is
/// predicted, to lose against the kernels it replaces.
void markSlowerFusions(mlir::ModuleOp specialised, const CudaOptions &options);

/// For --explain-fusion, by pass: a line per kind of fused kernel in the entry.
std::map<std::string, std::vector<std::string>> fusedKernelLines(const StepEntry &entry,
                                                                 const CudaOptions &options);

} // namespace sinter
