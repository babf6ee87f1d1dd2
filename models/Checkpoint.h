//===- Checkpoint.h - the safetensors files of a model ----------*- C++ -*-===//
//
// One model.safetensors, or shards with an index that must agree with them to the last tensor.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "models/ModelConfig.h"
#include "sinter/Support/Safetensors.h"
#include "sinter/Support/Status.h"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::models {

/// Where a tensor lies. Valid as long as the checkpoint.
struct TensorLocation {
  size_t file = 0; ///< index into Checkpoint::files()
  const SafetensorsTensor *tensor = nullptr;
};

class Checkpoint {
public:
  /// In the order of their names.
  const std::vector<SafetensorsFile> &files() const { return files_; }
  const std::string &directory() const { return directory_; }
  /// "model.safetensors" or the index's name: what an error about a missing tensor names.
  const std::string &mainFile() const { return mainFile_; }

  std::optional<TensorLocation> lookup(std::string_view name) const;
  const std::string &fileName(size_t file) const { return files_[file].header().fileName; }

private:
  friend Result<Checkpoint> openCheckpoint(const std::string &directory);
  Status openSingle();
  Status openSharded();
  Status addShard(const std::string &name, const std::map<std::string, std::string> &index);

  std::string directory_;
  std::string mainFile_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, TensorLocation, std::less<>> tensors_;
};

/// Opens a model directory. With both a single file and an index the single file is used, as
/// transformers does.
Result<Checkpoint> openCheckpoint(const std::string &directory);

/// What the presence of tensors, not config.json, decides.
struct WeightVariants {
  bool hasQkNorm = false;
  bool hasQkvBias = false;
  bool hasOBias = false;
};

/// Checks that the checkpoint holds exactly the tensors that the configuration needs, each with its
/// shape and a type that Sinter reads (BF16, F16, F32).
Result<WeightVariants> checkTensors(const ModelConfig &config, const Checkpoint &checkpoint);

} // namespace sinter::models
