//===- GreedyTest.cpp - greedy continuations equal transformers' ----------===//
#include "runtime/engine/Generator.h"
#include "test/golden/GoldenModel.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

using namespace sinter;
using namespace sinter::golden;

namespace {

Ids generate(GoldenModel &model, const Ids &prompt, size_t tokens, uint32_t chunk) {
  std::unique_ptr<Executor> executor = model.makeExecutor(32);
  PageAllocator pages(32, 5);
  Generator generator(*executor, pages, {.prefillChunk = chunk});
  GenerationRequest request;
  request.prompt = prompt;
  request.maxTokens = uint32_t(tokens);
  request.sampling.temperature = 0;
  request.ignoreEos = true;
  auto result = generator.run({&request, 1}, [](size_t, int32_t) { return true; });
  EXPECT_TRUE(result.isOk()) << result.status().message();
  EXPECT_TRUE(pages.checkIntegrity().isOk());
  return result.isOk() ? result->at(0).tokens : Ids();
}

TEST(Greedy, TwentyPromptsOf64Tokens) {
  std::ifstream in(shakespeareDirectory() + "/golden/greedy_f32.json");
  nlohmann::json cases = nlohmann::json::parse(in);
  ASSERT_EQ(cases.size(), 20u);
  GoldenModel model(compile(shakespeareDirectory(), "--dtype f32"), shakespeareDirectory());
  for (const nlohmann::json &c : cases) {
    SCOPED_TRACE(c.at("prompt").get<std::string>());
    Ids want = c.at("greedy").get<Ids>();
    ASSERT_EQ(want.size(), 64u);
    EXPECT_EQ(generate(model, c.at("ids").get<Ids>(), want.size(), 512), want);
    EXPECT_EQ(generate(model, c.at("ids").get<Ids>(), want.size(), 4), want) << "prefill by 4";
  }
}

TEST(Greedy, TinyConfigurations) {
  for (const std::string &name : tinyNames()) {
    SCOPED_TRACE(name);
    std::ifstream in(tinyDirectory(name) + "/golden.json");
    nlohmann::json golden = nlohmann::json::parse(in);
    Ids want = golden.at("greedy_f32").get<Ids>();
    ASSERT_FALSE(want.empty());
    GoldenModel model(compile(tinyDirectory(name), "--dtype f32"), tinyDirectory(name));
    EXPECT_EQ(generate(model, golden.at("ids").get<Ids>(), want.size(), 512), want);
  }
}

} // namespace
