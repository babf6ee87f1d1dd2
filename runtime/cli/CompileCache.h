//===- CompileCache.h - model directories to artefacts, once ----*- C++ -*-===//
//
// A model directory (or, for benchmarks, a named shape) is compiled by starting sinter-compile,
// which lies beside the running program. Results are kept in a private folder of the user, one file
// per compiler build, model and options. Without a usable folder everything works, uncached.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/model/Artifact.h"
#include "sinter/Support/Status.h"

#include <functional>
#include <string>

namespace sinter {

struct CompileOptions {
  std::string dtype;        ///< empty: the compiler's default
  std::string kvCacheDtype; ///< likewise
  std::string target;       ///< empty: cpu
  bool batchInvariant = false;
  bool useCache = true;
  /// Receives lines for the user: what is compiled, where it is kept, why not.
  std::function<void(const std::string &line)> say;
};

/// The artefact of a model directory.
Result<ArtifactFile> compileDirectory(const std::string &directory, const CompileOptions &options);

/// The artefact of a shape the compiler knows by name ("qwen3-0.6b"), which has no checkpoint.
Result<ArtifactFile> compileNamedShape(const std::string &name, const CompileOptions &options);

} // namespace sinter
