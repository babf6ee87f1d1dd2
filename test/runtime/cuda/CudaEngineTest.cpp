//===- CudaEngineTest.cpp - whole generations on the fake GPU -------------===//
//
// Compared bitwise with a reference that knows neither devices nor pages.
//
//===----------------------------------------------------------------------===//
#include "FakeGpu.h"

#include "runtime/engine/EngineService.h"

namespace sinter {
namespace {

/// The ways to run a step.
std::vector<CudaOptions> everyWay() {
  std::vector<CudaOptions> ways(4);
  ways[1].programmaticLaunch = false;
  ways[2].graphs = false;
  ways[3].syncLaunches = true;
  return ways;
}

TEST(CudaEngine, LogitsMatchForEveryChunkingAndWayToRun) {
  FakeGpu gpu;
  for (const CudaOptions &way : everyWay()) {
    CudaEngine engine;
    CudaEngineOptions options;
    options.cuda = way;
    const Status opened = engine.open(options);
    ASSERT_TRUE(opened.isOk()) << opened.message();
    for (uint32_t length : {1u, 5u, 32u, 63u}) {
      const std::vector<int32_t> prompt = promptOf(length);
      const std::vector<float> expected = fake::referenceLogits(engine.installed.weights, prompt);
      for (uint32_t chunk : {1u, 3u, 32u}) {
        PageAllocator allocator(40, chunk);
        Generator generator(*engine.executor, allocator, {chunk});
        std::vector<float> logits;
        const GenerationRequest request = greedy(prompt, 0);
        const auto result = generator.run({&request, 1}, {}, [&](const float *rows, size_t count) {
          logits.insert(logits.end(), rows, rows + count * fake::kVocab);
          return Status::ok();
        });
        ASSERT_TRUE(result.isOk()) << result.status().message();
        ASSERT_EQ(logits, expected) << length << " tokens in chunks of " << chunk;
      }
    }
  }
}

// Every graph is captured once and replayed with other inputs; a step copies once, its inputs.
TEST(CudaEngine, ReplaysOneGraphPerEntry) {
  FakeGpu gpu;
  CudaEngine engine;
  CudaEngineOptions options;
  options.poison = false;
  ASSERT_TRUE(engine.open(options).isOk());
  gpu.configure("");
  PageAllocator allocator(40, 7);
  Generator generator(*engine.executor, allocator, {6});
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 6; ++i)
    requests.push_back(greedy(promptOf(size_t(2 + i * 3), i), uint32_t(3 + 4 * i)));
  const auto results = generator.run(requests, {});
  ASSERT_TRUE(results.isOk()) << results.status().message();
  for (size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ((*results)[i].tokens,
              expectedTokens(engine.installed.weights, requests[i].prompt, requests[i].maxTokens));
  const fake::CudaCounters counters = gpu.counters();
  const uint64_t steps = generator.steps().size();
  EXPECT_EQ(counters.graphs, 3u)
      << "two of the decode entry, which take turns, and the general one";
  EXPECT_EQ(counters.graphLaunches, steps);
  EXPECT_EQ(counters.launches, 3u * 4) << "in captures only";
  EXPECT_EQ(counters.kernels, steps * 4);
  EXPECT_EQ(counters.copiesToDevice, steps);
  EXPECT_EQ(counters.copiesToHost, 0u) << "the kernels write tokens to the host's memory";
}

// Launches for short or for long sequences alone, where the step has none.
TEST(CudaEngine, LeavesOutWhatAStepHasNoUseFor) {
  FakeGpu gpu;
  for (const bool graphs : {true, false}) {
    CudaEngine engine;
    CudaEngineOptions options;
    options.poison = false;
    options.cuda.graphs = graphs;
    ASSERT_TRUE(engine.open(options).isOk());
    PageAllocator allocator(40);
    Generator generator(*engine.executor, allocator, {});
    const auto kernelsOf = [&](std::vector<size_t> lengths) {
      std::vector<GenerationRequest> requests;
      for (const size_t length : lengths)
        requests.push_back(greedy(promptOf(length), 1));
      gpu.configure("");
      const auto results = generator.run(requests, {});
      EXPECT_TRUE(results.isOk()) << results.status().message();
      for (size_t i = 0; results.isOk() && i < requests.size(); ++i)
        EXPECT_EQ((*results)[i].tokens,
                  expectedTokens(engine.installed.weights, requests[i].prompt, 1));
      return gpu.counters().kernels;
    };
    EXPECT_EQ(kernelsOf({8}), 4u);
    EXPECT_EQ(kernelsOf({9}), 4u);
    EXPECT_EQ(kernelsOf({9, 3}), 8u) << "a step each";
  }
}

// A step is started before the tokens of the one in front of it are known; requests that end in
// between, by an end token, their listener or a full pool, lose nothing and disturb nobody.
TEST(CudaEngine, StepsStartedAheadGiveTheSameTokens) {
  FakeGpu gpu;
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 4; ++i)
    requests.push_back(greedy(promptOf(size_t(3 + 2 * i), i), uint32_t(5 + 5 * i)));
  for (bool ahead : {false, true}) {
    CudaEngine engine;
    CudaEngineOptions options;
    options.change = [&](nlohmann::json &meta) { meta["feedback"] = ahead; };
    ASSERT_TRUE(engine.open(options).isOk());
    EXPECT_EQ(engine.executor->tokensAhead(), ahead ? 4u : 0u);
    for (int32_t stop : {-1, 0, 2}) { // whose listener stops it after three tokens
      PageAllocator allocator(40, 7);
      Generator generator(*engine.executor, allocator, {6});
      std::vector<size_t> heard(requests.size());
      const auto results = generator.run(requests, [&](size_t request, int32_t) {
        return ++heard[request] < 3 || int32_t(request) != stop;
      });
      ASSERT_TRUE(results.isOk()) << results.status().message();
      EXPECT_TRUE(allocator.checkIntegrity().isOk());
      EXPECT_EQ(allocator.freePages(), allocator.numPages());
      for (size_t i = 0; i < requests.size(); ++i)
        EXPECT_EQ((*results)[i].tokens,
                  expectedTokens(engine.installed.weights, requests[i].prompt,
                                 int32_t(i) == stop ? 3 : requests[i].maxTokens));
    }
  }
}

// Three sequences grow past a pool that holds their windows alone: each gives pages back while a
// step is under way, and what they hold is poisoned and written by others behind that step.
TEST(CudaEngine, PagesThatLeftTheWindowGoWhileAStepIsUnderWay) {
  constexpr uint32_t kWindow = 6;
  FakeGpu gpu;
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 3; ++i)
    requests.push_back(greedy(promptOf(size_t(20 + 3 * i), i), 25));
  for (const bool ahead : {false, true}) {
    CudaEngine engine;
    CudaEngineOptions options;
    options.pages = 12; // of 4 tokens: each of the three may have 4
    options.change = [&](nlohmann::json &meta) {
      meta["feedback"] = ahead;
      meta["kv"]["window"] = kWindow;
    };
    const Status opened = engine.open(options);
    ASSERT_TRUE(opened.isOk()) << opened.message();
    gpu.configure("window=" + std::to_string(kWindow)); // opening it reset that
    PageAllocator allocator(options.pages, 7);
    allocator.setOnFree(
        [&](PageId page) { EXPECT_TRUE(engine.executor->poisonPage(page).isOk()); });
    Generator generator(*engine.executor, allocator, {6});
    const auto results = generator.run(requests, {});
    ASSERT_TRUE(results.isOk()) << results.status().message();
    for (size_t i = 0; i < requests.size(); ++i)
      EXPECT_EQ((*results)[i].tokens, expectedTokens(engine.installed.weights, requests[i].prompt,
                                                     requests[i].maxTokens, kWindow))
          << (*results)[i].status.message();
    EXPECT_TRUE(allocator.checkIntegrity().isOk());
    EXPECT_EQ(allocator.freePages(), allocator.numPages());
    // The last pages are poisoned when somebody waits for it, and then their memory goes.
    std::vector<uint8_t> page(engine.executor->manifest().kv.pageBytes);
    EXPECT_TRUE(engine.executor->savePage(0, page.data()).isOk());
  }
}

// Tokens drawn on the device are those of the host's sampler, greedy neighbours or not, and the
// next step may be under way before they are known.
TEST(CudaEngine, TokensDrawnOnTheDeviceAreTheSamplers) {
  FakeGpu gpu;
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 4; ++i) {
    requests.push_back(greedy(promptOf(size_t(3 + 2 * i), i), uint32_t(5 + 5 * i)));
    SamplingParams &sampling = requests.back().sampling;
    sampling.temperature = i == 2 ? 0 : 0.8 * i + 0.5;
    sampling.topK = 10 + 10 * i;
    sampling.topP = i % 2 ? 0.9 : 1;
    sampling.minP = i == 3 ? 0.01 : 0;
    sampling.seed = uint64_t(i);
    sampling.repetitionPenalty = i == 1 ? 1.4 : 1;
    sampling.frequencyPenalty = i == 2 ? 0.7 : 0;
    if (i == 3)
      sampling.logitBias = {{5, 2.f}, {6, -2.f}};
  }
  std::vector<std::vector<int32_t>> expected;
  for (int way = 0; way < 3; ++way) { // on the host, on the device, on the device ahead
    CudaEngine engine;
    CudaEngineOptions options;
    options.change = [&](nlohmann::json &meta) {
      meta["feedback"] = way == 2;
      for (size_t entry : {4, 5})
        if (way == 0) // never chosen
          meta["entries"][entry]["max_rows"] = 0, meta["entries"][entry]["head"] = "logits";
    };
    ASSERT_TRUE(engine.open(options).isOk());
    EXPECT_EQ(engine.executor->hasHead(HeadKind::Sample), way > 0);
    gpu.configure("");
    PageAllocator allocator(40, 7);
    Generator generator(*engine.executor, allocator, {6});
    const auto results = generator.run(requests, {});
    ASSERT_TRUE(results.isOk()) << results.status().message();
    for (size_t i = 0; i < requests.size(); ++i) {
      if (way == 0)
        expected.push_back((*results)[i].tokens);
      EXPECT_EQ((*results)[i].tokens, expected[i]) << "request " << i << ", way " << way;
    }
    EXPECT_EQ(gpu.counters().copiesToHost == 0, way > 0) << "logits stay where they are";
  }
}

TEST(CudaEngine, ChoosesTheEntryByTokensPerSequence) {
  FakeGpu gpu;
  CudaEngine engine;
  ASSERT_TRUE(engine.open({}).isOk());
  Profile profile;
  engine.executor->setProfile(&profile);
  PageAllocator allocator(40);
  Generator generator(*engine.executor, allocator, {});
  const std::vector<GenerationRequest> requests = {greedy(promptOf(3), 4), greedy(promptOf(2), 4)};
  ASSERT_TRUE(generator.run(requests, {}).isOk());
  const auto &entries = profile.timings.entries();
  ASSERT_EQ(entries.size(), 4u);
  ASSERT_EQ(entries[1].size(), 4u);
  EXPECT_EQ(entries[1][0].calls, 3u) << "two sequences of one token: decode_argmax";
  ASSERT_EQ(entries[3].size(), 5u);
  EXPECT_EQ(entries[3][0].calls, 2u) << "prompts of three and two tokens: step_argmax";
}

TEST(CudaEngine, ProfilesEveryLaunchWithAndWithoutGraphs) {
  FakeGpu gpu;
  for (const bool graphs : {true, false}) {
    CudaEngine engine;
    CudaEngineOptions options;
    options.cuda.graphs = graphs;
    ASSERT_TRUE(engine.open(options).isOk());
    PageAllocator allocator(40);
    Generator generator(*engine.executor, allocator, {});
    const GenerationRequest request = greedy(promptOf(3), 5);
    Profile profile;
    for (int run = 0; run < 3; ++run) { // graphs without events before and after
      engine.executor->setProfile(run == 1 ? &profile : nullptr);
      const auto results = generator.run({&request, 1}, {});
      ASSERT_TRUE(results.isOk()) << results.status().message();
      EXPECT_EQ((*results)[0].tokens, expectedTokens(engine.installed.weights, request.prompt, 5));
    }
    ASSERT_EQ(profile.timings.entries().size(), 4u);
    for (const LaunchTiming &timing : profile.timings.entries()[1]) {
      EXPECT_EQ(timing.calls, 4u);
      EXPECT_NEAR(double(timing.nanoseconds), 4 * 10000, 10) << "10 us each on the fake GPU";
    }
  }
}

TEST(CudaEngine, ProgrammaticEdgesWhereTheGpuHasThem) {
  auto programmatic = [](const std::string &config, const CudaOptions &cuda) {
    FakeGpu gpu(config);
    CudaEngine engine;
    CudaEngineOptions options;
    options.cuda = cuda;
    options.change = [](nlohmann::json &meta) { meta["isas"] = {"sm_80"}; };
    const Status opened = engine.open(options);
    EXPECT_TRUE(opened.isOk()) << opened.message();
    PageAllocator allocator(40);
    Generator generator(*engine.executor, allocator, {});
    const GenerationRequest request = greedy({1}, 1);
    EXPECT_TRUE(generator.run({&request, 1}, {}).isOk());
    return gpu.counters().programmatic;
  };
  CudaOptions off, eager;
  off.programmaticLaunch = false;
  eager.graphs = false;
  EXPECT_EQ(programmatic("capability=90", {}), 2u);
  EXPECT_EQ(programmatic("capability=90", eager), 2u);
  EXPECT_EQ(programmatic("capability=90", off), 0u);
  EXPECT_EQ(programmatic("capability=89", {}), 0u);
}

TEST(CudaEngine, ReplaysTheLastStep) {
  FakeGpu gpu;
  CudaEngine engine;
  ASSERT_TRUE(engine.open({}).isOk());
  EXPECT_EQ(engine.device->measureReplay(3).status().message(), "there is no graph to replay");
  PageAllocator allocator(40);
  Generator generator(*engine.executor, allocator, {});
  const GenerationRequest request = greedy({1, 2}, 4);
  ASSERT_TRUE(generator.run({&request, 1}, {}).isOk());
  const auto seconds = engine.device->measureReplay(5);
  ASSERT_TRUE(seconds.isOk()) << seconds.status().message();
  EXPECT_NEAR(*seconds, 4 * 10e-6, 1e-7);
  const auto bandwidth = engine.device->measureReadBandwidth();
  ASSERT_TRUE(bandwidth.isOk()) << bandwidth.status().message();
  EXPECT_GT(*bandwidth, 1e9);
}

TEST(CudaEngine, GivesEverythingBack) {
  FakeGpu gpu;
  const uint64_t before = gpu.counters().blocks;
  {
    CudaEngine engine;
    ASSERT_TRUE(engine.open({}).isOk());
    PageAllocator allocator(40);
    Generator generator(*engine.executor, allocator, {});
    const GenerationRequest request = greedy({1, 2}, 4);
    ASSERT_TRUE(generator.run({&request, 1}, {}).isOk());
    EXPECT_GT(gpu.counters().blocks, before);
  }
  EXPECT_EQ(gpu.counters().blocks, before);
}

/// The error of opening an engine or of a short generation on it.
std::string errorOf(const std::string &config, const CudaEngineOptions &options = {}) {
  FakeGpu gpu(config);
  CudaEngine engine;
  if (const Status status = engine.open(options); !status)
    return status.message();
  PageAllocator allocator(40);
  Generator generator(*engine.executor, allocator, {});
  const GenerationRequest request = greedy({1, 2}, 4);
  const auto results = generator.run({&request, 1}, {});
  const std::string message = results ? "" : results.status().message();
  // Asking again must end, too; only an allocation may fail once.
  const bool again = generator.run({&request, 1}, {}).isOk();
  EXPECT_TRUE(again == results.isOk() || results.status().code() == StatusCode::ResourceExhausted)
      << message;
  return message;
}

TEST(CudaErrors, NameTheKernelOrTheEntry) {
  CudaEngineOptions eager, sync;
  eager.cuda.graphs = false;
  sync.cuda.syncLaunches = true;
  const std::string refused = "kernel attend for layers.0.attn in step_argmax: cannot be started: "
                              "too many resources requested for launch "
                              "(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)";
  EXPECT_EQ(errorOf("fail-launch=attend"), refused);
  EXPECT_EQ(errorOf("fail-launch=attend", eager), refused);
  const std::string fault = "step_argmax failed on the GPU (--debug sync names the kernel): an "
                            "illegal memory access was encountered (CUDA_ERROR_ILLEGAL_ADDRESS)";
  EXPECT_EQ(errorOf("fault=write"), fault);
  EXPECT_EQ(errorOf("fault=write", eager), fault);
  EXPECT_EQ(errorOf("fault=write", sync),
            "kernel write for layers.0.attn.write in step_argmax: failed on the GPU: an illegal "
            "memory access was encountered (CUDA_ERROR_ILLEGAL_ADDRESS)");
}

TEST(CudaErrors, NothingIsUnderWayAfterwards) {
  // A step that was started behind the failing one ends, too, before its results' memory is gone.
  for (int runs = 1; runs < 4; ++runs) {
    FakeGpu gpu("fault=attend,fault-after=" + std::to_string(runs));
    CudaEngine engine;
    ASSERT_TRUE(engine.open({}).isOk());
    PageAllocator allocator(40);
    Generator generator(*engine.executor, allocator, {});
    const GenerationRequest request = greedy({1, 2}, 6);
    for (int again = 0; again < 2; ++again) {
      const std::string message = generator.run({&request, 1}, {}).status().message();
      EXPECT_NE(message.find("CUDA_ERROR_ILLEGAL_ADDRESS"), std::string::npos) << message;
    }
    EXPECT_EQ(engine.device->finishStep().message(), "no step is under way");
  }
}

TEST(CudaErrors, CodeThatDoesNotFit) {
  EXPECT_EQ(errorOf("capability=80"), "compiled for sm_90a, which Fake GPU (sm_80) does not run: "
                                      "compile again with --target=cuda:sm_80");
  EXPECT_EQ(errorOf("capability=100"), "compiled for sm_90a, which Fake GPU (sm_100) does not run: "
                                       "compile again with --target=cuda:sm_90");
  EXPECT_EQ(errorOf("capability=75"), "compiled for sm_90a, which Fake GPU (sm_75) does not run");
  EXPECT_EQ(errorOf("foreign-cubin=1,old-ptx=1"),
            "the NVIDIA driver (CUDA 12.4) is too old for the kernels' PTX: update it, or compile "
            "where ptxas is, so that the model holds machine code");
  EXPECT_EQ(errorOf("foreign-cubin=1,bad-ptx=1"),
            "the NVIDIA driver cannot compile the kernels: error 218: ptxas line 3: no such thing");
  CudaEngineOptions options;
  options.change = [](nlohmann::json &meta) { meta["kernels"][2]["name"] = "attention"; };
  EXPECT_EQ(errorOf("", options), "kernel attention: not in its module: named symbol not found "
                                  "(CUDA_ERROR_NOT_FOUND)");
  options.change = [](nlohmann::json &meta) { meta["kernels"][2]["shared_bytes"] = 300000; };
  EXPECT_EQ(errorOf("", options),
            "kernel attend: needs 300000 bytes of shared memory, this GPU has 232448");
  options.change = [](nlohmann::json &meta) {
    meta["isas"] = {"sm_80"};
    meta["kernels"][2]["cluster"] = 2;
  };
  EXPECT_EQ(errorOf("capability=89", options),
            "kernel attend: needs clusters, which this GPU does not have");
}

TEST(CudaErrors, CompilesWithTheDriverAndSaysSo) {
  FakeGpu gpu("foreign-cubin=1");
  std::string said;
  CudaEngineOptions options;
  options.cuda.say = [&](const std::string &line) { said += line + "\n"; };
  CudaEngine engine;
  ASSERT_TRUE(engine.open(options).isOk());
  EXPECT_EQ(said, "compiling kernels for sm_90 with the driver (cached by the driver)\n");
}

TEST(CudaErrors, EveryAllocationMayFail) {
  const std::string none = errorOf("fail-alloc=1000");
  EXPECT_EQ(none, "");
  int failed = 0;
  for (int nth = 1; nth <= 8; ++nth) {
    const std::string error = errorOf("fail-alloc=" + std::to_string(nth));
    if (error.empty())
      break;
    EXPECT_EQ(error.rfind("out of GPU memory: ", 0), 0u) << error;
    ++failed;
  }
  EXPECT_EQ(failed, 5) << "weights, inputs of two steps, activations, cache";
}

struct Kept : RequestListener {
  std::vector<int32_t> tokens;
  bool onToken(const TokenEvent &event) override {
    tokens.push_back(event.token);
    return true;
  }
  void onFinish(uint32_t, FinishReason, const Status &) override {}
  void onDone(const Usage &) override {}
};

// Mixed steps, prefixes from the cache, pages swapped and recomputed, guesses.
TEST(CudaEngine, ServesRequestsTogether) {
  FakeGpu gpu;
  for (const bool swap : {false, true}) {
    CudaEngine engine;
    CudaEngineOptions options;
    options.pages = 18;
    const Status opened = engine.open(options);
    ASSERT_TRUE(opened.isOk()) << opened.message();
    EngineOptions serving;
    serving.shufflePages = 4;
    serving.checkBooks = true;
    serving.swapBytes = swap ? 1 << 20 : 0;
    serving.operationsPerSecond = 1;
    const std::unique_ptr<Engine> server = *Engine::create(*engine.executor, serving);
    std::vector<std::shared_ptr<Kept>> kept;
    for (uint32_t i = 0; i < 12; ++i) {
      Request request;
      request.prompt = promptOf(4 + i % 4 * 4, int(i % 3));
      request.maxTokens = 20;
      request.sampling.temperature = 0;
      request.ignoreEos = true;
      request.promptLookup = i % 2 * 5;
      ASSERT_TRUE(server->validate(request).isOk());
      kept.push_back(std::make_shared<Kept>());
      server->submit(i + 1, std::move(request), kept.back());
    }
    while (!server->idle())
      ASSERT_TRUE(server->step().isOk()) << server->health().message();
    for (uint32_t i = 0; i < 12; ++i)
      EXPECT_EQ(kept[i]->tokens,
                expectedTokens(engine.installed.weights, promptOf(4 + i % 4 * 4, int(i % 3)), 20));
    EXPECT_GT(server->figures().preemptions, 0u);
    EXPECT_GT(server->figures().prefixHits, 0u);
  }
}

/// Every third token, another third after each.
struct Thirds : TokenConstraint {
  uint32_t next = 0;
  Status allowed(std::span<uint32_t> mask) override {
    std::fill(mask.begin(), mask.end(), 0);
    for (uint32_t id = next; id < uint32_t(fake::kVocab); id += 3)
      mask[id / 32] |= 1u << id % 32;
    return Status::ok();
  }
  void accept(int32_t) override { next = (next + 1) % 3; }
  std::unique_ptr<TokenConstraint> clone() const override {
    return std::make_unique<Thirds>(*this);
  }
};

// Masks and edits of many rows go to the GPU, in a block that grows, and no logits come back.
TEST(CudaEngine, MasksAndEditsAreTheHosts) {
  FakeGpu gpu;
  std::vector<std::vector<int32_t>> expected;
  for (const bool onDevice : {false, true}) {
    CudaEngine engine;
    CudaEngineOptions options;
    options.change = [&](nlohmann::json &meta) {
      for (size_t entry : {4, 5})
        if (!onDevice) // never chosen
          meta["entries"][entry]["max_rows"] = 0, meta["entries"][entry]["head"] = "logits";
    };
    ASSERT_TRUE(engine.open(options).isOk());
    gpu.configure("");
    const std::unique_ptr<Engine> server = *Engine::create(*engine.executor, {});
    std::vector<std::shared_ptr<Kept>> kept;
    for (uint32_t i = 0; i < 8; ++i) {
      Request request;
      request.prompt = promptOf(3 + i, int(i));
      request.maxTokens = 12;
      request.ignoreEos = true;
      request.sampling.temperature = i % 3 ? 0.9 : 0;
      request.sampling.topK = 12;
      request.sampling.seed = i;
      request.sampling.repetitionPenalty = i % 2 ? 1.3 : 1;
      request.sampling.presencePenalty = i == 4 ? 0.5 : 0;
      if (i != 2)
        request.constraint = std::make_unique<Thirds>();
      kept.push_back(std::make_shared<Kept>());
      server->submit(i + 1, std::move(request), kept.back());
      ASSERT_TRUE(server->step().isOk()); // more and more rows
    }
    while (!server->idle())
      ASSERT_TRUE(server->step().isOk()) << server->health().message();
    for (size_t i = 0; i < kept.size(); ++i) {
      ASSERT_EQ(kept[i]->tokens.size(), 12u);
      if (!onDevice)
        expected.push_back(kept[i]->tokens);
      EXPECT_EQ(kept[i]->tokens, expected[i]) << "request " << i;
      for (size_t t = 0; i != 2 && t < 12; ++t)
        EXPECT_EQ(size_t(kept[i]->tokens[t]) % 3, t % 3);
    }
    EXPECT_EQ(gpu.counters().copiesToHost == 0, onDevice);
  }
}

// A context belongs to the threads that have entered it.
TEST(CudaEngine, ServesFromAnotherThread) {
  FakeGpu gpu;
  CudaEngine engine;
  ASSERT_TRUE(engine.open({}).isOk());
  const std::unique_ptr<EngineService> service = *EngineService::create(*engine.executor, {});
  Request request;
  request.prompt = promptOf(5);
  request.maxTokens = 9;
  request.sampling.temperature = 0;
  request.ignoreEos = true;
  const auto kept = std::make_shared<Kept>();
  ASSERT_TRUE(service->submit(std::move(request), kept).isOk());
  service->drain(std::chrono::steady_clock::time_point::max());
  EXPECT_TRUE(service->health().isOk()) << service->health().message();
  EXPECT_EQ(kept->tokens, expectedTokens(engine.installed.weights, promptOf(5), 9));
}

} // namespace
} // namespace sinter
