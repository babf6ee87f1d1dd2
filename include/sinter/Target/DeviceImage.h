//===- DeviceImage.h - all GPU kernels of an artefact -----------*- C++ -*-===//
//
// Every gpu.module of a lowered program to PTX and, where `ptxas` is found, to a cubin: on all
// cores, and only those that the kernel cache does not have.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Conversion/StepProgram.h"

#include "mlir/IR/BuiltinOps.h"

#include <functional>
#include <string>
#include <vector>

namespace sinter {

struct DeviceModule {
  std::string ptx;   ///< text
  std::string cubin; ///< empty without ptxas
};

struct DeviceImage {
  std::vector<DeviceModule> modules; ///< one per StepProgram::kernels, in their order
  unsigned cached = 0;               ///< of these, taken from the cache
};

struct DeviceImageOptions {
  std::string cacheFolder; ///< empty: no cache
  unsigned threads = 0;    ///< 0: all cores
  /// Called with the kernels done and in all, from one thread at a time; may be empty.
  std::function<void(size_t done, size_t all)> progress = {};
};

/// Compiles the gpu.modules that convertXfmrToCuda left in `lowered` and writes registers, shared
/// memory and spills of each kernel into `program`. Errors are emitted on `lowered`.
mlir::FailureOr<DeviceImage> compileDeviceImage(mlir::ModuleOp lowered, StepProgram &program,
                                                const DeviceImageOptions &options);

/// LLVM IR of the kernels, for people.
mlir::FailureOr<std::string> emitDeviceLlvm(mlir::ModuleOp lowered, llvm::StringRef chip);

} // namespace sinter
