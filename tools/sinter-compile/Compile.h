//===- Compile.h - from a model or a graph to any stage ---------*- C++ -*-===//
//
// The command line's half that links MLIR. Nothing here throws.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/DType.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sinter {

struct ModelSource;

enum class EmitStage { Artifact, Xfmr, Fused, Lowered, Llvm, Asm };

struct CompileRequest {
  EmitStage emit = EmitStage::Artifact;
  const ModelSource *model = nullptr; ///< or a graph:
  std::string graphFile;              ///< name, for messages
  std::string graphText;

  std::optional<DType> dtype; ///< of activations and cache; the checkpoint's when not given
  int64_t pageSize = 16;
  int64_t maxTokensPerStep = 2048;
  bool kScale = true;
};

struct CompileResult {
  std::string output; ///< the artefact's bytes, or text
};

Result<CompileResult> compile(const CompileRequest &request);

} // namespace sinter
