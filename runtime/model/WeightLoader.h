//===- WeightLoader.h - safetensors to resident weights ---------*- C++ -*-===//
//
// Executes an artefact's weight plan: every weight is read in bounded pieces and packed straight
// into its place, so that memory never holds a second copy of the checkpoint.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/device/Device.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sinter {

struct WeightOptions {
  std::string directory;              ///< empty: the one recorded in the artefact
  std::optional<uint64_t> randomSeed; ///< made-up values instead of a checkpoint
  uint64_t positions = 0;             ///< rows of rope tables that are needed; 0: all
  /// Called once, when the files have been found to fit and the long part begins; may be empty.
  std::function<void()> begin;
  /// Called on the loading thread with bytes done and in all; may be empty.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

/// Reads the value of --weights: a directory, or random:SEED.
Result<WeightOptions> parseWeightOptions(const std::string &text);

/// The resident weights of one model, in the order of Manifest::weights.
struct ResidentWeights {
  DeviceMemory memory;
  std::vector<void *> pointers;
  uint64_t positions = 0; ///< positions that the rope tables cover
};

Result<ResidentWeights> loadWeights(const Manifest &manifest, Device &device,
                                    const WeightOptions &options);

/// The smallest power of two that is at least maxAbs * sqrt(headDim), and at least 1, divided by
/// the power of two `room`.
float kScaleFor(float maxAbs, uint64_t headDim, uint64_t room);

} // namespace sinter
