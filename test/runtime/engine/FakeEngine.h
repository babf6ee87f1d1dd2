//===- FakeEngine.h - the fake model on the CPU, ready to step --*- C++ -*-===//
#pragma once

#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/engine/Executor.h"
#include "runtime/model/Artifact.h"
#include "runtime/model/WeightLoader.h"
#include "test/runtime/fake/FakeModel.h"

#include <cstdint>
#include <memory>

namespace sinter {

/// A loaded fake model with a pool of its own.
struct FakeEngine {
  fake::Installed installed;
  std::unique_ptr<CpuDevice> device;
  std::unique_ptr<Artifact> artifact;
  ResidentWeights weights;
  std::unique_ptr<Executor> executor;

  explicit FakeEngine(uint32_t pages, CpuOptions cpu = {.threads = 2},
                      fake::Weights *replace = nullptr)
      : installed(fake::install()) {
    if (replace) {
      installed.weights = *replace;
      fake::writeCheckpoint(installed.folder.path(), *replace);
    }
    device = *CpuDevice::create(cpu);
    artifact = *Artifact::load(*ArtifactFile::open(installed.artifact), "cpu", device->isa());
    weights = *loadWeights(artifact->manifest(), *device, {});
    ExecutorOptions options;
    options.numPages = pages;
    options.poison = true;
    executor = *Executor::create(
        {&artifact->manifest(), artifact->step(), weights.pointers, weights.positions}, *device,
        options);
  }
};

} // namespace sinter
