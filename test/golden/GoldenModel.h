//===- GoldenModel.h - compiles a checkpoint and runs token ids -*- C++ -*-===//
//
// What every golden test does: compile a checkpoint with sinter-compile, load it with the product's
// loader, run token ids through the product's executor in some way, and compare logits with what
// transformers computed.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/engine/Executor.h"
#include "runtime/engine/PageAllocator.h"
#include "runtime/model/Artifact.h"
#include "runtime/model/WeightLoader.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sinter::golden {

using Ids = std::vector<int32_t>;
using Logits = std::vector<float>; ///< [positions, vocab]

/// Runs sinter-compile on `input` into the test's build folder and returns the artefact's path.
/// Equal calls compile once. `flags` as on the command line.
std::string compile(const std::string &input, const std::string &flags);
/// What `sinter-compile INPUT --emit=xfmr FLAGS` prints.
std::string emitXfmr(const std::string &input, const std::string &flags);

/// How token ids go through the model.
struct RunOptions {
  uint32_t chunk = 0; ///< tokens per step; 0: all at once
  std::optional<uint64_t> shufflePages = std::nullopt;
  bool fragmentPages = false; ///< every other page is taken by somebody else
  uint32_t sharedPrefix = 0;  ///< so many tokens are run by another sequence first, then shared
  uint32_t numPages = 64;
};

/// Changes a step's inputs before the device sees them: how a mutant is made.
using Tamper = std::function<void(SinterBatch &batch, SinterModel &model)>;

class GoldenModel {
public:
  /// `weights` is the checkpoint's directory.
  GoldenModel(const std::string &artifact, const std::string &weights, uint32_t threads = 2,
              Tamper tamper = {});
  ~GoldenModel();

  /// Logits of every position. Cache and activations start as NaN.
  Logits run(const Ids &ids, const RunOptions &options = {});
  Executor &executor() { return *executor_; }
  const Manifest &manifest() const { return artifact_->manifest(); }
  /// Index of the rope table among the weights.
  size_t ropeIndex() const;
  std::unique_ptr<Executor> makeExecutor(uint32_t numPages);

private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<Artifact> artifact_;
  ResidentWeights weights_;
  std::unique_ptr<Executor> executor_;
};

/// ids, the positions whose logits are stored, and the logits themselves.
struct Golden {
  Ids ids;
  std::vector<size_t> positions;
  Logits f32, bf16, f16; ///< a dtype transformers could not do is empty
  size_t vocab = 0;
};

/// test/models/golden/NAME.
Golden readTinyGolden(const std::string &name);
/// models/shakespeare/golden/logits_NAME.
Golden readShakespeareGolden(const std::string &name);
std::string tinyDirectory(const std::string &name);
std::string shakespeareDirectory();
std::vector<std::string> tinyNames();

/// The stored positions' rows of `all`.
Logits pickRows(const Logits &all, const Golden &golden);
/// |a - b| / |b|; infinity when sizes differ, either is empty or anything is not finite.
double relativeL2(const Logits &a, const Logits &b);

} // namespace sinter::golden
