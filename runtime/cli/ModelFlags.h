//===- ModelFlags.h - which model, on which machine, how --------*- C++ -*-===//
#pragma once

#include "runtime/cli/Session.h"
#include "runtime/model/Artifact.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace sinter {

/// What tools that run a model ask for alike.
struct ModelFlags {
  std::string model; ///< artefact or model directory

  uint32_t threads = 0;
  std::string isa;
  bool noDataParallel = false;
  std::optional<int> device; ///< number of the GPU
  bool noGraph = false;
  bool noPdl = false;
  std::string kvMemory;
  std::string weights;

  std::string dtype;
  std::string kvCacheDtype;
  std::string target;
  bool batchInvariant = false;
  bool noCache = false;
};

/// Lines for the user, without an end of line.
using Say = std::function<void(const std::string &line)>;

void addModelFlags(CLI::App &app, ModelFlags &flags);

/// The artefact; a model directory is compiled first.
Result<ArtifactFile> openModel(const ModelFlags &flags, const Say &say);

/// `progress` shows on standard error how far loading is, when a person watches.
Result<SessionOptions> makeSessionOptions(const ModelFlags &flags, const Say &say, bool progress);

} // namespace sinter
