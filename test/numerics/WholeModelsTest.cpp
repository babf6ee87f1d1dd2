//===- WholeModelsTest.cpp - import and interpreter against transformers --===//
#include "WholeModels.h"

#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"
#include "sinter/Support/Npy.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

using namespace sinter;
using namespace sinter::interp;
using nlohmann::json;

namespace {

const std::string kRoot = SINTER_SOURCE_DIR;

json readJson(const std::string &path) {
  const auto text = readTextFile(path, 64 << 20);
  EXPECT_TRUE(text.isOk()) << text.status().message();
  auto value = parseJson(text ? *text : "{}", path);
  EXPECT_TRUE(value.isOk()) << value.status().message();
  return value ? *value : json();
}

Tensor readLogits(const std::string &path) {
  const auto array = readNpy(path);
  EXPECT_TRUE(array.isOk()) << array.status().message();
  if (!array)
    return Tensor();
  return Tensor({int64_t(array->shape[0]), int64_t(array->shape[1])},
                std::vector<double>(array->data.begin(), array->data.end()));
}

std::unique_ptr<WholeModel> open(const std::string &directory, const ModelOptions &options) {
  auto model = WholeModel::open(directory, options);
  EXPECT_TRUE(model.isOk()) << model.status().message();
  return model ? *std::move(model) : nullptr;
}

/// Logits of every position, computed in steps of at most `chunk` tokens.
Tensor prefill(WholeModel &model, const std::vector<int32_t> &ids, size_t chunk = SIZE_MAX,
               uint64_t pageOrder = 0) {
  EXPECT_TRUE(model.restart(int64_t(ids.size()), 1, pageOrder).isOk());
  Tensor all;
  for (size_t done = 0; done < ids.size();) {
    const size_t count = std::min(chunk, ids.size() - done);
    const auto begin = ids.begin() + long(done);
    const auto logits = model.step({std::vector<int32_t>(begin, begin + long(count))});
    EXPECT_TRUE(logits.isOk()) << logits.status().message();
    if (!logits)
      return Tensor();
    all.data.insert(all.data.end(), logits->data.begin(), logits->data.end());
    all.shape = {int64_t(done + count), logits->dim(1)};
    done += count;
  }
  return all;
}

Tensor prefill(const std::string &directory, const ModelOptions &options,
               const std::vector<int32_t> &ids) {
  auto model = open(directory, options);
  return model ? prefill(*model, ids) : Tensor();
}

//===----------------------------------------------------------------------===//
// Tiny random checkpoints
//===----------------------------------------------------------------------===//

std::vector<std::string> checkpoints() {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(kRoot + "/test/models/golden"))
    if (entry.is_directory())
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class TinyCheckpoints : public testing::TestWithParam<std::string> {
protected:
  const std::string directory = kRoot + "/test/models/golden/" + GetParam();
  const json golden = readJson(directory + "/golden.json");
  const std::vector<int32_t> ids = golden.at("ids").get<std::vector<int32_t>>();
  const Tensor want = readLogits(directory + "/logits_f32.npy");
};

TEST_P(TinyCheckpoints, ExactIsTransformersF32) {
  // transformers' f32 is that far from its own f64 (norms and softmax still in f32).
  const double bound = 2 * golden.at("f32_relative_l2_to_f64").get<double>();
  EXPECT_LE(relativeL2(prefill(directory, {}, ids), want), bound);
  ModelOptions declared;
  declared.declared = true;
  EXPECT_LE(relativeL2(prefill(directory, declared, ids), want), 3 * bound);
}

TEST_P(TinyCheckpoints, ChunksAndPagesChangeNothing) {
  auto model = open(directory, {});
  ASSERT_TRUE(model);
  const Tensor whole = prefill(*model, ids);
  for (size_t chunk : {size_t(1), size_t(5)})
    EXPECT_LE(relativeL2(prefill(*model, ids, chunk, 7 + chunk), whole), 1e-12) << chunk;
}

TEST_P(TinyCheckpoints, SequencesOfOneStepAreApart) {
  auto model = open(directory, {});
  ASSERT_TRUE(model);
  const Tensor whole = prefill(*model, ids);
  std::vector<int32_t> reversed(ids.rbegin(), ids.rend());
  const Tensor other = prefill(*model, reversed);
  ASSERT_TRUE(model->restart(int64_t(ids.size()), 2, 3).isOk());
  const size_t cut = ids.size() / 3;
  const auto first = model->step({ids, {reversed.begin(), reversed.begin() + long(cut)}});
  const auto second = model->step({{}, {reversed.begin() + long(cut), reversed.end()}});
  ASSERT_TRUE(first.isOk() && second.isOk());
  Tensor joined = *first;
  joined.data.insert(joined.data.end(), second->data.begin(), second->data.end());
  joined.shape[0] += second->rows();
  Tensor expected = whole;
  expected.data.insert(expected.data.end(), other.data.begin(), other.data.end());
  expected.shape[0] += other.rows();
  EXPECT_LE(relativeL2(joined, expected), 1e-12);
}

TEST_P(TinyCheckpoints, FusionChangesNothingInExactMode) {
  const Tensor unfused = prefill(directory, {}, ids);
  for (int64_t coverC : {0, 1}) {
    ModelOptions options;
    options.fused = true;
    options.coverC = coverC;
    auto model = open(directory, options);
    ASSERT_TRUE(model);
    EXPECT_LE(relativeL2(prefill(*model, ids), unfused), 1e-11) << "cover c from " << coverC;
    EXPECT_LE(relativeL2(prefill(*model, ids, 1), unfused), 1e-11) << "cover c from " << coverC;
  }
}

TEST_P(TinyCheckpoints, DeclaredErrorIsWithinThatOfTransformers) {
  const json theirs = golden.value("relative_l2_to_f32", json::object());
  for (const DType type : {DType::BF16, DType::F16}) {
    const std::string name(dtypeName(type));
    if (!theirs.contains(name))
      continue;
    for (bool fused : {false, true}) {
      ModelOptions options;
      options.activation = type;
      options.declared = true;
      options.fused = fused;
      EXPECT_LE(relativeL2(prefill(directory, options, ids), want),
                1.1 * theirs.at(name).get<double>())
          << name << (fused ? " fused" : "");
    }
  }
}

TEST_P(TinyCheckpoints, Fp8CachesAreTransformersWithCachesQuantisedAlike) {
  for (const DType cache : {DType::E4M3, DType::E5M2}) {
    const std::string suffix = cache == DType::E4M3 ? "-kv_e4m3" : "-kv_e5m2";
    const std::string exact = directory + "/logits_f32" + suffix + ".npy";
    if (!std::filesystem::exists(exact))
      continue;
    const Tensor quantised = readLogits(exact);
    // Numbers next to a boundary round the other way in f32 now and then: a few of some ten
    // thousand.
    const double bound = 0.1 * relativeL2(quantised, want);
    ModelOptions options;
    options.cache = cache;
    EXPECT_LE(relativeL2(prefill(directory, options, ids), quantised), bound) << suffix;
    options.declared = options.fused = true;
    EXPECT_LE(relativeL2(prefill(directory, options, ids), quantised), bound) << suffix;
    for (const DType type : {DType::BF16, DType::F16}) {
      const std::string theirs =
          directory + "/logits_" + std::string(dtypeName(type)) + suffix + ".npy";
      if (!std::filesystem::exists(theirs))
        continue;
      options.activation = type;
      const double ratio = relativeL2(prefill(directory, options, ids), quantised) /
                           relativeL2(readLogits(theirs), quantised);
      std::printf("%s%s: %.3f of transformers' error\n", std::string(dtypeName(type)).c_str(),
                  suffix.c_str(), ratio);
      // Which numbers of the cache round the other way is chance: a case may be worse than the mean
      // of all, which Fp8Caches looks at.
      EXPECT_LE(ratio, 1.3) << dtypeName(type) << suffix;
    }
  }
}

TEST_P(TinyCheckpoints, WrongConfigurationsAreSeen) {
  std::vector<std::function<void(models::ModelConfig &)>> mistakes = {
      [](models::ModelConfig &config) { config.rmsNormEps = 0.03; },
      [](models::ModelConfig &config) { config.ropeTheta *= 4; },
      [](models::ModelConfig &config) {
        if (config.ropeScaling.kind == models::RopeScaling::Kind::None)
          config.ropeScaling.kind = models::RopeScaling::Kind::Linear;
        config.ropeScaling.factor *= 2;
      }};
  if (readJson(directory + "/config.json").value("use_sliding_window", false))
    for (const int64_t more : {-1, 1})
      mistakes.push_back([more](models::ModelConfig &config) {
        for (int64_t &window : config.windows)
          window += window ? more : 0;
      });
  for (size_t i = 0; i < mistakes.size(); ++i) {
    ModelOptions options;
    options.spoil = mistakes[i];
    EXPECT_GT(relativeL2(prefill(directory, options, ids), want), 1e-3) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, TinyCheckpoints, testing::ValuesIn(checkpoints()),
                         [](const auto &info) { return info.param; });

TEST(Fp8Caches, ErrorIsThatOfTransformersInTheGeometricMean) {
  double logarithms = 0;
  int cases = 0;
  for (const std::string &name : checkpoints())
    for (const DType cache : {DType::E4M3, DType::E5M2})
      for (const DType type : {DType::BF16, DType::F16}) {
        const std::string directory = kRoot + "/test/models/golden/" + name;
        const std::string suffix = cache == DType::E4M3 ? "-kv_e4m3.npy" : "-kv_e5m2.npy";
        const std::string theirs = directory + "/logits_" + std::string(dtypeName(type)) + suffix;
        if (!std::filesystem::exists(theirs))
          continue;
        const auto ids = readJson(directory + "/golden.json").at("ids").get<std::vector<int32_t>>();
        const Tensor exact = readLogits(directory + "/logits_f32" + suffix);
        ModelOptions options;
        options.cache = cache;
        options.activation = type;
        options.declared = options.fused = true;
        logarithms += std::log(relativeL2(prefill(directory, options, ids), exact) /
                               relativeL2(readLogits(theirs), exact));
        ++cases;
      }
  ASSERT_GE(cases, 10);
  EXPECT_LE(std::exp(logarithms / cases), 1.1);
}

/// What e4m3 makes of a checkpoint whose k_norm weights are multiplied by `factor`.
struct Saturation {
  size_t elements;                 ///< of K in all layers
  ptrdiff_t scaled = 0, plain = 0; ///< at the type's largest number, with and without the K scale
  double scaledError = 0, plainError = 0; ///< of the logits against those on a wide cache
};

Saturation saturate(const std::string &name, double factor) {
  const std::string directory = kRoot + "/test/models/golden/" + name;
  const auto ids = readJson(directory + "/golden.json").at("ids").get<std::vector<int32_t>>();
  std::vector<double> keys;
  const auto run = [&](bool scaled, std::optional<DType> cache) {
    ModelOptions options;
    options.cache = cache;
    options.kScale = scaled;
    options.kNormFactor = factor;
    auto model = open(directory, options);
    Tensor logits = prefill(*model, ids);
    keys = model->storedKeys(int64_t(ids.size()));
    return logits;
  };
  const auto largest = [&] {
    return std::count_if(keys.begin(), keys.end(), [](double k) { return std::abs(k) == 448; });
  };
  Saturation found;
  const Tensor wide = run(true, std::nullopt);
  found.scaledError = relativeL2(run(true, DType::E4M3), wide);
  found.scaled = largest();
  found.plainError = relativeL2(run(false, DType::E4M3), wide);
  found.plain = largest();
  found.elements = keys.size();
  std::printf("%s x %.2f: %td of %zu saturate without the scale, error %.3f, with it %.3f\n",
              name.c_str(), factor, found.plain, found.elements, found.plainError,
              found.scaledError);
  return found;
}

TEST(KNorm, Times200SaturatesE4m3OnlyWithoutTheScale) {
  const Saturation found = saturate("knorm96", 200 / 96.5);
  EXPECT_EQ(found.elements, 32u * 3 * 128);
  EXPECT_EQ(found.scaled, 0);
  EXPECT_GE(found.plain, 10) << "the K scale would not be needed";
  EXPECT_GT(found.plainError, found.scaledError);
}

TEST(KNorm, SixtyThousandSaturatesE4m3OnlyWithoutTheScale) {
  const Saturation found = saturate("knorm6e4", 1);
  EXPECT_EQ(found.scaled, 0);
  EXPECT_GT(found.plain, found.elements / 2);
  EXPECT_GT(found.plainError, 2 * found.scaledError);
}

//===----------------------------------------------------------------------===//
// The bundled model
//===----------------------------------------------------------------------===//

const std::string kShakespeare = kRoot + "/models/shakespeare";

Tensor rowsOf(const Tensor &all, const std::vector<int64_t> &positions) {
  Tensor some({int64_t(positions.size()), all.dim(1)});
  for (size_t i = 0; i < positions.size(); ++i)
    std::copy_n(all.row(positions[i]), all.rowSize(), some.row(int64_t(i)));
  return some;
}

void expectBundledGolden(const std::string &text, const std::string &dtype, double factor) {
  const std::string stem = kShakespeare + "/golden/logits_" + text;
  const json golden = readJson(stem + ".json");
  ModelOptions options;
  if (dtype != "f32") {
    options.declared = true;
    options.fused = true;
    options.activation = *parseDType(dtype);
  }
  const Tensor all = prefill(kShakespeare, options, golden.at("ids").get<std::vector<int32_t>>());
  const Tensor got = rowsOf(all, golden.at("positions").get<std::vector<int64_t>>());
  const double theirs = golden.at("relative_l2").at(dtype).get<double>();
  EXPECT_LE(relativeL2(got, readLogits(stem + "_f32.npy")), theirs ? factor * theirs : 3e-6);
}

TEST(Shakespeare, LongTextIsTransformersF32) { expectBundledGolden("long", "f32", 1); }
TEST(Shakespeare, ShortTextIsTransformersF32) { expectBundledGolden("short", "f32", 1); }
TEST(Shakespeare, DeclaredErrorIsWithinThatOfTransformers) {
  expectBundledGolden("short", "bf16", 1.1);
  expectBundledGolden("short", "f16", 1.1);
}

TEST(Shakespeare, TwoRanksAgreeWithOne) {
  const json golden = readJson(kShakespeare + "/golden/logits_short.json");
  auto ids = golden.at("ids").get<std::vector<int32_t>>();
  ids.resize(20);
  ModelOptions sharded;
  sharded.fused = true;
  sharded.ranks = 2;
  EXPECT_LE(relativeL2(prefill(kShakespeare, sharded, ids), prefill(kShakespeare, {}, ids)), 1e-11);
}

TEST(Shakespeare, GreedyContinuations) {
  const json prompts = readJson(kShakespeare + "/golden/greedy_f32.json");
  ModelOptions options;
  options.fused = true;
  auto model = open(kShakespeare, options);
  ASSERT_TRUE(model);
  constexpr size_t kPrompts = 5, kTokens = 64;
  for (size_t i = 0; i < kPrompts; ++i) {
    const json &prompt = prompts.at(i * prompts.size() / kPrompts);
    SCOPED_TRACE(prompt.at("prompt").get<std::string>());
    const auto want = prompt.at("greedy").get<std::vector<int32_t>>();
    std::vector<int32_t> next = prompt.at("ids").get<std::vector<int32_t>>(), got;
    ASSERT_TRUE(model->restart(int64_t(next.size() + kTokens), 1, i).isOk());
    while (got.size() < kTokens) {
      const auto logits = model->step({next});
      ASSERT_TRUE(logits.isOk()) << logits.status().message();
      const double *last = logits->row(logits->rows() - 1);
      next = {int32_t(std::max_element(last, last + logits->dim(1)) - last)};
      got.push_back(next[0]);
    }
    EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin()));
  }
}

} // namespace
