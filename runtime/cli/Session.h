//===- Session.h - a model made ready to run from flags ---------*- C++ -*-===//
#pragma once

#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/engine/Generator.h"
#include "runtime/model/Artifact.h"
#include "runtime/model/WeightLoader.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace sinter {

struct SessionOptions {
  CpuOptions cpu;
  CudaOptions cuda;
  std::optional<int> device; ///< number of the GPU, where one is named
  WeightOptions weights;
  uint64_t kvBytes = 0;   ///< size of the page pool; 0: what `positions` need
  uint64_t positions = 0; ///< tokens the page pool must hold, over `sequences`
  uint64_t sequences = 1;
  /// The part of the GPU memory that weights and activations leave which a pool whose size nobody
  /// has named takes at most.
  double kvShare = 1;
  bool poison = false;
  std::function<void(const std::string &line)> say; ///< lines for the user; may be empty
};

/// The device, code, weights and page pool of one model. Members in the order they depend on each
/// other.
struct Session {
  std::unique_ptr<Device> device;
  CpuDevice *cpu = nullptr;   ///< the device when it is this kind, else null
  CudaDevice *cuda = nullptr; ///< likewise
  std::unique_ptr<Artifact> artifact;
  ResidentWeights weights;
  std::unique_ptr<Executor> executor;

  const Manifest &manifest() const { return artifact->manifest(); }
};

/// The most pages that one sequence of `tokens` holds at a time.
uint64_t pagesFor(const Manifest &manifest, uint64_t tokens);

/// Prompt tokens of a step that nobody has named: 512, on a GPU as many as a step can take.
uint32_t defaultPrefillChunk(const Session &session);

/// Opens the device that the artefact is compiled for, loads code, then weights, then allocates the
/// page pool. A pool whose size nobody has named becomes smaller where a GPU's memory is short.
Result<Session> openSession(ArtifactFile file, const SessionOptions &options);

} // namespace sinter
