//===- Bench.h - decode and prefill through the product's loop --*- C++ -*-===//
#pragma once

#include "Records.h"

#include "runtime/cli/ProfileTable.h"
#include "runtime/cli/Session.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sinter {

struct BenchOptions {
  std::string model;      ///< artefact, model directory or named shape
  std::string server;     ///< throughput: URL of a server to use instead
  std::string apiKeyFile; ///< its key
  std::string weights;
  std::string dtype;
  std::string kvCacheDtype;
  std::string target;
  std::string isa;
  uint32_t threads = 0;
  bool noDataParallel = false;
  std::optional<int> device; ///< number of the GPU
  bool noGraph = false;
  bool noPdl = false;
  bool noCache = false;
  bool profile = false;
  std::string json;

  std::vector<uint32_t> batches = {1};
  std::vector<uint32_t> contexts = {128};
  uint32_t tokens = 64; ///< decode: steps measured; intrude: tokens before the long prompt

  double temperature = 0; ///< decode and throughput
  int64_t topK = 0;
  double topP = 1;
  double repetitionPenalty = 1;

  std::vector<uint32_t> lengths = {512};
  uint32_t chunk = 0; ///< 0: the device's default
  uint32_t repeats = 3;

  // Throughput: how many requests, and their prompts and continuations in tokens.
  std::vector<uint32_t> sequences = {256};
  uint32_t minLength = 100, maxLength = 1024;
  uint32_t promptLength = 0; ///< of every prompt; 0: drawn like continuations
  uint64_t seed = 0;
  uint32_t maxSequences = 256; ///< at a time
  double rate = 0;             ///< requests per second; 0: all at once
  double load = 0;             ///< the same as a share of the throughput of all at once
  uint32_t promptLookup = 0;   ///< tokens guessed at a time
  std::string promptFile;      ///< lookup: a text for prompts; empty: made-up tokens

  uint32_t intrude = 32768; ///< intrude: tokens of the long prompt
};

Result<int> benchDecode(const BenchOptions &options);
Result<int> benchPrefill(const BenchOptions &options);

// What every device's benchmark is made of.
/// A session whose pool holds `positions` of each sequence on average; the longest of them is as
/// long, or `longest`.
Result<Session> openBench(const BenchOptions &options, uint64_t positions, uint64_t sequences,
                          uint64_t longest = 0);
/// Records a session's launches where the options ask for it, and prints tables of them to stderr.
class BenchProfile {
public:
  BenchProfile(const BenchOptions &options, Session &session)
      : wanted_(options.profile), session_(&session) {}
  ~BenchProfile() { session_->executor->setProfile(nullptr); }

  /// Forgets what was recorded and records what comes now.
  void begin();
  /// Ends and prints what was recorded since begin() under this name.
  void print(const std::string &name, const DeviceSpeed &device);
  /// The same with the device's speed measured here.
  Status print(const std::string &name);

private:
  bool wanted_;
  Session *session_;
  Profile profile_;
};
uint32_t prefillChunk(const BenchOptions &options, const Session &session);
/// "bf16", or "bf16, fp8_e4m3 cache" where the cache has another type than activations.
std::string typesOf(const Manifest &manifest);
/// Whose figures they are.
struct BenchMachine {
  std::string hardware, commit;
};
BenchMachine machineOf(const Session &session);
/// 0.6b for qwen3-0.6b, fake for fake.
std::string shortName(const std::string &model);
/// decode/0.6b for "decode" and qwen3-0.6b: how names in records begin. Batch-invariant artefacts
/// of a GPU and caches of another type have rows of their own: decode-batch-invariant/0.6b,
/// decode-fp8_e4m3/0.6b.
std::string rowName(std::string kind, const Manifest &manifest);
/// A greedy request of made-up tokens that differ with `start`.
GenerationRequest makeBenchRequest(const Manifest &manifest, uint32_t length, uint32_t tokens,
                                   uint32_t start);
/// The same with the temperature, top-k, top-p and repetition penalty of the options.
GenerationRequest makeDecodeRequest(const BenchOptions &options, const Manifest &manifest,
                                    uint32_t length, uint32_t tokens, uint32_t start);
/// How names end where tokens are not the largest logits: /sampled, /penalized.
std::string drawSuffix(const BenchOptions &options);
/// decode/0.6b/b1/c128, and more where tokens are sampled.
std::string decodeName(const BenchOptions &options, const Manifest &manifest, uint32_t batch,
                       uint32_t context);
/// The error of the first request that failed.
Status firstFailure(const std::vector<Generation> &generations);

} // namespace sinter
