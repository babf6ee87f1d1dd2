//===- Compile.h - from a model or a graph to any stage ---------*- C++ -*-===//
//
// The command line's half that links MLIR. Nothing here throws.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/DType.h"
#include "sinter/Support/Status.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sinter {

struct ModelSource;

/// Where a compilation is.
struct CompileProgress {
  size_t stage, stages; ///< from 1
  const char *name;
  size_t kernels = 0, allKernels = 0; ///< GPU: compiled and in all, of the last stage
};

enum class EmitStage { Artifact, Xfmr, Fused, Lowered, Llvm, Asm };

struct CompileRequest {
  EmitStage emit = EmitStage::Artifact;
  const ModelSource *model = nullptr; ///< or a graph:
  std::string graphFile;              ///< name, for messages
  std::string graphText;

  // A graph has decided these; they apply to models.
  std::optional<DType> dtype;   ///< of activations; the checkpoint's when not given
  std::optional<DType> kvDtype; ///< of the cache; that of activations when not given
  int64_t pageSize = 16;
  int64_t maxTokensPerStep = 2048;
  bool kScale = true;

  /// "cpu", "cpu:x86-64-v3", "-v4" or "-v4-bf16", "cuda" or "cuda:CHIP"
  std::string target = "cpu";
  bool batchInvariant = false;             ///< cuda: asked for; cpu: so in any case
  std::string kernelCache;                 ///< folder of compiled GPU kernels; empty: none
  std::vector<std::string> disabledPasses; ///< merges and fusions, by name
  bool fusion = true;
  bool reuseBuffers = true; ///< false: every activation has memory of its own
  std::string tunedFile;    ///< of a tuned table; empty: the compiler's own, "none": none
  std::string tunedText;
  bool explainFusion = false;
  bool printIrAfterAll = false; ///< to stderr
  /// Called from one thread at a time; may be empty.
  std::function<void(const CompileProgress &)> progress;
};

struct StageTime {
  std::string name;
  double seconds;
};

struct CompileResult {
  std::string output;       ///< the artefact's bytes, or text
  std::string fusionReport; ///< when asked for
  size_t entries = 0;
  size_t kernels = 0;
  size_t cachedKernels = 0; ///< GPU: of these, taken from the cache
  int64_t spillBytes = 0;   ///< GPU
  bool hasCubins = false;   ///< GPU: ptxas was found
  std::vector<StageTime> times;
};

/// "0.1.0 (commit 0123456789ab, LLVM 22.1.8)".
std::string compilerDescription();

Result<CompileResult> compile(const CompileRequest &request);
/// Every kernel that the model's linears could have, and both sides of every fusion, for
/// `sinter-bench tune`.
Result<CompileResult> compileTunePack(const CompileRequest &request);

} // namespace sinter
