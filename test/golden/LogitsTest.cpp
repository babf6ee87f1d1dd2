//===- LogitsTest.cpp - logits against transformers, run in every way -----===//
#include "test/golden/GoldenModel.h"

#include <gtest/gtest.h>

#include <cstring>

using namespace sinter;
using namespace sinter::golden;

namespace {

constexpr double kF32Bound = 1e-4;
/// Our distance from the f32 logits over that of transformers in the same dtype.
constexpr double kHalfRatio = 1.1;

struct Way {
  const char *name;
  RunOptions options;
};

std::vector<Way> ways(size_t tokens) {
  std::vector<Way> all = {{"at once", {}},
                          {"chunks of 7", {.chunk = 7}},
                          {"token by token", {.chunk = 1}},
                          {"shuffled pages", {.shufflePages = 3}},
                          {"fragmented pages", {.chunk = 5, .fragmentPages = true}}};
  if (tokens > 20)
    all.push_back({"shared prefix", {.sharedPrefix = 20}});
  return all;
}

bool sameBits(const Logits &a, const Logits &b) {
  return a.size() == b.size() && !std::memcmp(a.data(), b.data(), a.size() * sizeof(float));
}

/// Runs every way, checks `error` of the first and bitwise equality of the rest.
void checkAllWays(const std::string &directory, const Golden &golden, const std::string &dtype,
                  double bound) {
  GoldenModel model(compile(directory, "--dtype " + dtype), directory);
  Logits first;
  for (const Way &way : ways(golden.ids.size())) {
    SCOPED_TRACE(dtype + ", " + way.name);
    Logits logits = model.run(golden.ids, way.options);
    if (first.empty()) {
      first = logits;
      double error = relativeL2(pickRows(logits, golden), golden.f32);
      EXPECT_LE(error, bound);
      std::printf("  %-5s relative L2 %.2e, bound %.2e\n", dtype.c_str(), error, bound);
    }
    EXPECT_TRUE(sameBits(logits, first)) << "differs from the run at once";
  }
  GoldenModel oneThread(compile(directory, "--dtype " + dtype), directory, 1);
  EXPECT_TRUE(sameBits(oneThread.run(golden.ids), first)) << dtype << ": one thread differs";
  EXPECT_TRUE(sameBits(model.run(golden.ids), first)) << dtype << ": a second run differs";
}

void checkAllTypes(const std::string &directory, const Golden &golden) {
  checkAllWays(directory, golden, "f32", kF32Bound);
  for (const auto &[dtype, theirs] : {std::pair{"bf16", &golden.bf16}, {"f16", &golden.f16}})
    if (!theirs->empty())
      checkAllWays(directory, golden, dtype, kHalfRatio * relativeL2(*theirs, golden.f32));
}

class TinyLogits : public testing::TestWithParam<std::string> {};

TEST_P(TinyLogits, MatchTransformers) {
  checkAllTypes(tinyDirectory(GetParam()), readTinyGolden(GetParam()));
}

TEST_P(TinyLogits, FitOnePage) {
  Golden golden = readTinyGolden(GetParam());
  golden.ids.resize(16);
  golden.positions.resize(16);
  golden.f32.resize(16 * golden.vocab);
  std::string directory = tinyDirectory(GetParam());
  GoldenModel model(compile(directory, "--dtype f32"), directory);
  for (uint32_t chunk : {0u, 3u, 1u})
    EXPECT_LE(relativeL2(model.run(golden.ids, {.chunk = chunk, .numPages = 1}), golden.f32),
              kF32Bound);
}

INSTANTIATE_TEST_SUITE_P(All, TinyLogits, testing::ValuesIn(tinyNames()),
                         [](const auto &info) { return info.param; });

TEST(ShakespeareLogits, ShortMatchTransformers) {
  checkAllTypes(shakespeareDirectory(), readShakespeareGolden("short"));
}
TEST(ShakespeareLogits, LongMatchTransformers) {
  checkAllTypes(shakespeareDirectory(), readShakespeareGolden("long"));
}

} // namespace
