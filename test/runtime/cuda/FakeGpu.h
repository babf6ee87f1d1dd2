//===- FakeGpu.h - the fake driver and a model on it ------------*- C++ -*-===//
#pragma once

#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/engine/Generator.h"
#include "runtime/model/Artifact.h"
#include "runtime/model/WeightLoader.h"
#include "test/runtime/fake/FakeModel.h"
#include "test/runtime/fake/cuda/FakeCuda.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <functional>
#include <gtest/gtest.h>
#include <stdexcept>
#include <string>

namespace sinter {

/// The driver that the code under test loads too.
class FakeGpu {
public:
  explicit FakeGpu(const std::string &config = "") {
    setenv("SINTER_CUDA_DRIVER", SINTER_FAKE_DRIVER, 1);
    if (!cuda::loadDriver())
      throw std::runtime_error("the fake driver does not load");
    configure(config);
  }
  ~FakeGpu() { configure(""); }

  void configure(const std::string &config) {
    find<decltype(&sinter_fake_configure)>("sinter_fake_configure")(config.c_str());
  }
  fake::CudaCounters counters() const {
    return find<decltype(&sinter_fake_counters)>("sinter_fake_counters")();
  }

private:
  template <typename Function> static Function find(const char *name) {
    static void *library = dlopen(SINTER_FAKE_DRIVER, RTLD_NOW | RTLD_LOCAL);
    return reinterpret_cast<Function>(dlsym(library, name));
  }
};

/// What an engine is made of; tests spoil it.
struct CudaEngineOptions {
  CudaOptions cuda;
  uint32_t pages = 40;
  bool poison = true;
  std::function<void(nlohmann::json &)> change; ///< of the metadata
};

/// The fake model loaded onto the fake GPU.
struct CudaEngine {
  fake::Installed installed = fake::installCuda();
  std::unique_ptr<CudaDevice> device;
  std::unique_ptr<Artifact> artifact;
  ResidentWeights weights;
  std::unique_ptr<Executor> executor;

  /// The first error on the way.
  Status open(const CudaEngineOptions &options) {
    const std::string &folder = installed.folder.path();
    nlohmann::json meta =
        fake::makeCudaMeta(folder, fake::writeCheckpoint(folder, installed.weights));
    if (options.change)
      options.change(meta);
    fake::writeBytes(installed.artifact, fake::makeCudaArtifact(meta.dump()));
    SINTER_ASSIGN_OR_RETURN(device, CudaDevice::create(options.cuda));
    SINTER_ASSIGN_OR_RETURN(ArtifactFile file, ArtifactFile::open(installed.artifact));
    SINTER_ASSIGN_OR_RETURN(artifact, Artifact::load(std::move(file), "cuda", 0));
    const ArtifactSections &sections = artifact->file().sections();
    SINTER_RETURN_IF_ERROR(device->loadKernels(artifact->manifest(), sections.ptx, sections.cubin));
    SINTER_ASSIGN_OR_RETURN(weights, loadWeights(artifact->manifest(), *device, {}));
    ExecutorOptions executorOptions;
    executorOptions.numPages = options.pages;
    executorOptions.poison = options.poison;
    SINTER_ASSIGN_OR_RETURN(executor, Executor::create({&artifact->manifest(), artifact->step(),
                                                        weights.pointers, weights.positions},
                                                       *device, executorOptions));
    return Status::ok();
  }
};

inline GenerationRequest greedy(std::vector<int32_t> prompt, uint32_t tokens) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.maxTokens = tokens;
  request.sampling.temperature = 0;
  request.ignoreEos = true;
  return request;
}

inline std::vector<int32_t> promptOf(size_t length, int start = 0) {
  std::vector<int32_t> prompt;
  for (size_t i = 0; i < length; ++i)
    prompt.push_back(int32_t((size_t(start) + i * 17 + i * i) % fake::kVocab));
  return prompt;
}

/// The tokens that greedy decoding of the reference gives.
inline std::vector<int32_t> expectedTokens(const fake::Weights &weights,
                                           std::vector<int32_t> tokens, uint32_t count,
                                           size_t window = 0) {
  std::vector<int32_t> out;
  while (out.size() < count) {
    const std::vector<float> logits = fake::referenceLogits(weights, tokens, window);
    const auto last = logits.end() - fake::kVocab;
    out.push_back(int32_t(std::max_element(last, logits.end()) - last));
    tokens.push_back(out.back());
  }
  return out;
}

} // namespace sinter
