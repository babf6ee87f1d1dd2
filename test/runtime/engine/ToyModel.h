//===- ToyModel.h - a device that is its own model --------------*- C++ -*-===//
//
// Writes (token, position) into the slot of every token of a step and makes logits of what it then
// reads through the block table, so that every mistake with pages changes a token; a position that
// holds something else altogether is counted. Fast enough for thousands of requests.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/engine/Engine.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sinter::test {

struct ToyShape {
  uint32_t vocab = 40;
  uint32_t pageSize = 4;
  uint32_t positions = 256;
  uint32_t maxTokens = 64; ///< of a step
  uint32_t mixedRows = 64; ///< rows of a step with more than 8 tokens of a sequence
  uint32_t pages = 64;
  uint32_t window = 0; ///< of every layer; 0: none
  bool draws = false;  ///< has entry points that draw tokens
};

class ToyDevice final : public Device {
public:
  explicit ToyDevice(const ToyShape &shape) : shape_(shape) {}

  std::string name() const override { return "toy"; }
  std::string target() const override { return "toy"; }
  uint32_t isa() const override { return 0; }
  bool hasHostMemory() const override { return true; }
  uint64_t freeMemory() const override { return uint64_t(1) << 30; }
  Result<DeviceMemory> allocate(uint64_t bytes, MemoryUse use) override;
  Status fill(void *data, uint32_t word, uint64_t bytes) override;
  Status upload(void *to, const void *from, uint64_t bytes) override;
  Status download(void *to, const void *from, uint64_t bytes) override;
  Status produce(std::span<const UploadPiece>,
                 const std::function<Status(uint32_t, void *)> &) override {
    return Status::ok();
  }
  Status loadKernels(const Manifest &, std::string_view, std::string_view) override {
    return Status::ok();
  }
  Status prepare(const StepLimits &) override { return Status::ok(); }
  Status step(SinterStepFn, SinterModel &model, uint32_t entry, const SinterBatch &batch) override;
  /// In two halves, on two threads.
  void hostParallel(uint32_t tasks, const std::function<void(uint32_t, uint32_t)> &body) override;
  Result<double> measureReadBandwidth() override { return 0.0; }
  Result<double> measureFmaPeak() override { return 0.0; }
  void setProfile(StepProfile *) override {}

  bool reads = true;               ///< false: logits depend on token and position only, fast
  std::atomic<int64_t> failIn{-1}; ///< steps until one fails
  int32_t nanToken = -1;           ///< a sequence with this token has no finite logits
  uint64_t wrongReads = 0, steps = 0, uploads = 0, downloads = 0, logitsSteps = 0, parallel = 0;

private:
  ToyShape shape_;
};

/// The logits after `tokens`, and the largest.
std::vector<float> toyLogits(const std::vector<int32_t> &tokens, uint32_t vocab = 40);
int32_t toyNext(const std::vector<int32_t> &tokens, uint32_t vocab = 40, uint32_t window = 0);
/// Greedy continuation; stops before end tokens (12 and 38) unless told to ignore them.
std::vector<int32_t> toyGreedy(std::vector<int32_t> tokens, uint32_t count, bool ignoreEos = true,
                               uint32_t window = 0);

struct ToyModel {
  ToyShape shape;
  Manifest manifest;
  ToyDevice device;
  std::unique_ptr<Executor> executor;

  explicit ToyModel(const ToyShape &shape = {});
  /// With freed pages poisoned and the books checked after every step.
  std::unique_ptr<Engine> engine(EngineOptions options = {});
};

/// Keeps what a listener hears.
struct Heard : RequestListener {
  struct Sample {
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;
    std::vector<std::vector<TokenLogprob>> likely;
    FinishReason reason = FinishReason::None;
    Status status;
  };
  std::map<uint32_t, Sample> samples;
  std::atomic<bool> done{false};
  Usage usage;
  int finishes = 0;
  size_t stopAfter = SIZE_MAX; ///< tokens of a sample

  bool onToken(const TokenEvent &event) override;
  void onFinish(uint32_t sample, FinishReason reason, const Status &status) override;
  void onDone(const Usage &usage) override;

  const std::vector<int32_t> &tokens(uint32_t sample = 0) { return samples[sample].tokens; }
  FinishReason reason(uint32_t sample = 0) { return samples[sample].reason; }
};

Request greedyRequest(std::vector<int32_t> prompt, uint32_t maxTokens);
/// A copy without the constraint.
Request copyOf(const Request &request);
std::vector<int32_t> makePrompt(size_t length, uint32_t start = 0);

} // namespace sinter::test
