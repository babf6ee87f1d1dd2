//===- Artifact.h - one file that holds a compiled model --------*- C++ -*-===//
//
// docs/artifact.md says what is in it.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Conversion/StepProgram.h"
#include "sinter/Target/DeviceImage.h"

#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sinter {

/// What the metadata says that is not in the IR.
struct ArtifactInfo {
  std::string name; ///< of a graph that does not say it

  struct Generation {
    bool doSample = false;
    double temperature = 1, topP = 1, minP = 0, repetitionPenalty = 1;
    int64_t topK = 50;
    std::optional<int64_t> maxNewTokens, maxLength;
  } generation;

  std::string sourceDirectory; ///< absolute; empty: compiled without weights
  struct SourceFile {
    std::string name, headerHash;
  };
  std::vector<SourceFile> sourceFiles;

  std::string tokenizer;    ///< tokenizer.json, or empty
  std::string chatTemplate; ///< or empty
};

/// "0.1.0" and the commit it was built from.
const char *compilerVersion();
const char *compilerBuild();

/// `.sinter.meta` of a planned module. `image` is that of a program for a GPU, else null.
mlir::FailureOr<std::string> writeMeta(mlir::ModuleOp planned, const StepProgram &program,
                                       llvm::ArrayRef<CpuIsa> isas, const DeviceImage *image,
                                       const ArtifactInfo &info);

/// `.sinter.schedule`.
std::string writeSchedule(const StepProgram &program);

/// The file's bytes. `kernels` is the lowered module in the LLVM dialect. The same input gives the
/// same bytes.
mlir::FailureOr<std::string> writeArtifact(mlir::ModuleOp planned, mlir::ModuleOp kernels,
                                           const StepProgram &program, llvm::ArrayRef<CpuIsa> isas,
                                           const ArtifactInfo &info);

/// The same with kernels for a GPU.
mlir::FailureOr<std::string> writeArtifact(mlir::ModuleOp planned, const StepProgram &program,
                                           const DeviceImage &image, const ArtifactInfo &info);

} // namespace sinter
