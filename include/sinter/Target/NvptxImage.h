//===- NvptxImage.h - GPU kernels to PTX and cubin --------------*- C++ -*-===//
//
// PTX text always; a cubin when `ptxas` is found. No CUDA toolkit is needed to build or to run
// this.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "mlir/IR/Operation.h"
#include "mlir/Support/LLVM.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace sinter {

/// What `ptxas -v` says about one kernel.
struct KernelResources {
  std::string name;
  int64_t registers = 0;
  int64_t sharedBytes = 0; ///< static
  int64_t spillBytes = 0;  ///< stores + loads
};

struct Cubin {
  std::string bytes;
  std::vector<KernelResources> kernels;
};

/// True for the chips kernels can be generated for: sm_80, sm_86, sm_89, sm_90, sm_90a.
bool isNvptxChip(llvm::StringRef chip);

/// Takes a gpu.module of kernels in upstream dialects (llvm.func with nvvm.kernel; arith, scf, cf,
/// vector, nvvm and llvm ops inside) down to LLVM IR, optimised for the chip, with the hand-written
/// device functions it calls inlined. The gpu.module is left in the LLVM dialect. Errors are
/// emitted on it.
mlir::FailureOr<std::unique_ptr<llvm::Module>>
translateGpuModule(mlir::Operation *gpuModule, llvm::StringRef chip, llvm::LLVMContext &context);

/// PTX of a module for the chip, in the lowest PTX version the chip has.
mlir::FailureOr<std::string> emitPtx(mlir::Location loc, llvm::Module &module,
                                     llvm::StringRef chip);

/// Both steps.
mlir::FailureOr<std::string> emitPtx(mlir::Operation *gpuModule, llvm::StringRef chip);

/// `ptxas` from $PATH, $CUDA_HOME, $CUDA_PATH or /usr/local/cuda; none: no cubins. Where
/// $SINTER_CUDA is set it is the one of that toolkit, or "none", and nothing else is looked for.
std::optional<std::string> findPtxas();

/// Runs `ptxas`. Its first complaint becomes the error.
mlir::FailureOr<Cubin> assemblePtx(mlir::Location loc, llvm::StringRef ptx, llvm::StringRef chip,
                                   llvm::StringRef ptxas);

} // namespace sinter
