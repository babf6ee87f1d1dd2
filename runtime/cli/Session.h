//===- Session.h - a model made ready to run from flags ---------*- C++ -*-===//
#pragma once

#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/engine/Generator.h"
#include "runtime/model/Artifact.h"
#include "runtime/model/WeightLoader.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace sinter {

struct SessionOptions {
  CpuOptions cpu;
  WeightOptions weights;
  uint64_t kvBytes = 0;   ///< size of the page pool; 0: what `positions` need
  uint64_t positions = 0; ///< tokens the page pool must hold, over `sequences`
  uint64_t sequences = 1;
  bool poison = false;
};

/// The device, code, weights and page pool of one model. Members in the order they depend on each
/// other.
struct Session {
  std::unique_ptr<CpuDevice> device;
  std::unique_ptr<Artifact> artifact;
  ResidentWeights weights;
  std::unique_ptr<Executor> executor;

  const Manifest &manifest() const { return artifact->manifest(); }
};

/// Pages of one sequence of `tokens`.
uint64_t pagesFor(const KvPlan &kv, uint64_t tokens);

/// Loads code, then weights, then allocates the page pool.
Result<Session> openSession(ArtifactFile file, const SessionOptions &options);

} // namespace sinter
