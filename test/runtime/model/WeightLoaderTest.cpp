//===- WeightLoaderTest.cpp -----------------------------------------------===//
#include "runtime/model/WeightLoader.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/model/ManifestParser.h"
#include "runtime/model/WeightPacker.h"
#include "sinter/Support/Half.h"
#include "sinter/Support/Sha256.h"
#include "test/runtime/fake/FakeModel.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>

namespace sinter {
namespace {

using nlohmann::json;

std::unique_ptr<CpuDevice> makeDevice(uint32_t threads = 2) {
  CpuOptions options;
  options.threads = threads;
  return *CpuDevice::create(options);
}

/// A checkpoint of raw 16-bit or 32-bit patterns, so that packing can be checked bit by bit.
struct RawTensor {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;
};

RawTensor makeTensor(const std::string &name, DType dtype, std::vector<int64_t> shape) {
  RawTensor tensor = {name, dtype, shape, {}};
  size_t count = dtypeBytes(dtype);
  for (int64_t extent : shape)
    count *= size_t(extent);
  for (size_t i = 0; i < count; ++i)
    tensor.bytes.push_back(uint8_t(i * 131 + i / 251 + name.size()));
  return tensor;
}

std::string writeTensors(const std::string &path, const std::vector<RawTensor> &tensors) {
  json header;
  std::string data;
  for (const RawTensor &tensor : tensors) {
    std::string dtype(dtypeName(tensor.dtype));
    for (char &c : dtype)
      c = char(toupper(c));
    header[tensor.name] = {{"dtype", dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data.append(tensor.bytes.begin(), tensor.bytes.end());
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::string head(reinterpret_cast<const char *>(&length), sizeof length);
  head += text;
  std::ofstream(path, std::ios::binary) << head << data;
  return toHex(Sha256::of(head.data(), head.size()));
}

WeightSource sourceOf(const RawTensor &tensor, uint64_t begin, uint64_t end) {
  return {tensor.name, tensor.dtype, tensor.shape, begin, end};
}

/// One linear from `sources`, loaded and compared element by element with docs/artifact.md.
void checkLinear(DType dtype, uint64_t columns, uint32_t threads) {
  fake::TemporaryFolder folder;
  const RawTensor a = makeTensor("a", dtype, {37, int64_t(columns)});
  const RawTensor b = makeTensor("bb", dtype, {16, int64_t(columns)});
  Manifest manifest;
  manifest.model.maxPosition = 8;
  manifest.sourceDirectory = folder.path();
  manifest.sourceFiles = {{"m.safetensors", writeTensors(folder.file("m.safetensors"), {a, b})}};
  WeightPlan plan;
  plan.layout = WeightLayout::Tiled16;
  plan.dtype = dtype;
  plan.sources = {sourceOf(a, 3, 37), sourceOf(b, 0, 16), sourceOf(a, 0, 1)};
  plan.shape = {34 + 16 + 1, columns};
  plan.bytes = tiledBytes(plan);
  manifest.weights = {plan};
  auto device = makeDevice(threads);
  const auto weights = loadWeights(manifest, *device, {});
  ASSERT_TRUE(weights.isOk()) << weights.status().message();

  const size_t width = dtypeBytes(dtype);
  const auto *resident = static_cast<const uint8_t *>(weights->pointers[0]);
  std::vector<uint8_t> expected(plan.bytes, 0);
  uint64_t tile = 0;
  for (const WeightSource &source : plan.sources) {
    const RawTensor &tensor = source.tensor == "a" ? a : b;
    for (uint64_t row = 0; row < source.rows(); ++row)
      for (uint64_t column = 0; column < columns; ++column) {
        const uint64_t inTile = dtype == DType::BF16 ? (column / 2 * 16 + row % 16) * 2 + column % 2
                                                     : column * 16 + row % 16;
        const uint64_t tileStart = (tile + row / 16) * tileBytes(columns, dtype);
        std::memcpy(expected.data() + tileStart + inTile * width,
                    tensor.bytes.data() + ((source.rowBegin + row) * columns + column) * width,
                    width);
      }
    tile += (source.rows() + 15) / 16;
  }
  EXPECT_EQ(std::memcmp(resident, expected.data(), expected.size()), 0)
      << dtypeName(dtype) << ", " << columns << " columns";
}

TEST(WeightLoader, PacksStackedSources) {
  for (DType dtype : {DType::BF16, DType::F16, DType::F32})
    for (uint64_t columns : {1, 7, 64, 129})
      for (uint32_t threads : {1, 3})
        checkLinear(dtype, columns, threads);
}

// Rows so long that a task holds one tile only, more tasks than threads.
TEST(WeightLoader, PacksLongRows) { checkLinear(DType::BF16, 40001, 2); }

TEST(WeightLoader, ConvertsVectorsAndScales) {
  fake::TemporaryFolder folder;
  RawTensor norm = makeTensor("k_norm", DType::BF16, {4});
  RawTensor bias = makeTensor("bias", DType::F16, {2});
  const uint16_t normBits[] = {f32ToBf16(1.5f), f32ToBf16(-96.5f), f32ToBf16(0.f), f32ToBf16(2.f)};
  const uint16_t biasBits[] = {f32ToF16(0.25f), f32ToF16(-3.f)};
  std::memcpy(norm.bytes.data(), normBits, sizeof normBits);
  std::memcpy(bias.bytes.data(), biasBits, sizeof biasBits);
  Manifest manifest;
  manifest.model.maxPosition = 8;
  manifest.sourceDirectory = folder.path();
  manifest.sourceFiles = {
      {"m.safetensors", writeTensors(folder.file("m.safetensors"), {norm, bias})}};
  WeightPlan vector;
  vector.kind = WeightKind::Vector;
  vector.shape = {6};
  vector.bytes = 24;
  vector.sources = {sourceOf(bias, 0, 2), sourceOf(norm, 0, 4)};
  WeightPlan scale;
  scale.kind = WeightKind::KScale;
  scale.shape = {1};
  scale.bytes = 4;
  scale.headDim = 128;
  scale.sources = {sourceOf(norm, 0, 4)};
  manifest.weights = {vector, scale};
  auto device = makeDevice();
  const auto weights = loadWeights(manifest, *device, {});
  ASSERT_TRUE(weights.isOk()) << weights.status().message();
  const auto *values = static_cast<const float *>(weights->pointers[0]);
  EXPECT_EQ(std::vector<float>(values, values + 6),
            (std::vector<float>{0.25f, -3.f, 1.5f, -96.5f, 0.f, 2.f}));
  EXPECT_EQ(*static_cast<const float *>(weights->pointers[1]), 2048.f); // 96.5 * 11.3 = 1091.8
}

TEST(WeightLoader, KScaleIsTheNextPowerOfTwo) {
  EXPECT_EQ(kScaleFor(0, 128, 1), 1.f);
  EXPECT_EQ(kScaleFor(0.01f, 64, 1), 1.f);
  EXPECT_EQ(kScaleFor(1, 64, 1), 8.f); // exactly a power already
  EXPECT_EQ(kScaleFor(1.001f, 64, 1), 16.f);
  EXPECT_EQ(kScaleFor(6e4f, 128, 1), 1048576.f);
  EXPECT_EQ(kScaleFor(200, 128, 256), 16.f); // 200 * 11.3 = 2263 < 4096
  EXPECT_EQ(kScaleFor(0.01f, 64, 256), 0x1p-8f);
}

TEST(WeightLoader, LoadsTheFakeModel) {
  const fake::Installed model = fake::install();
  const auto manifest = parseManifest(
      fake::makeMeta(model.folder.path(), fake::writeCheckpoint(model.folder.path(), model.weights))
          .dump());
  ASSERT_TRUE(manifest.isOk());
  auto device = makeDevice();
  WeightOptions options;
  options.positions = 10;
  const auto weights = loadWeights(*manifest, *device, options);
  ASSERT_TRUE(weights.isOk()) << weights.status().message();
  EXPECT_EQ(weights->positions, 10u);
  const auto *rope = static_cast<const float *>(weights->pointers[3]);
  EXPECT_EQ(rope[0], 1.f);
  EXPECT_EQ(rope[4], 0.f);
  EXPECT_EQ(rope[9 * 8 + 1], float(std::cos(4.5)));
  EXPECT_EQ(rope[9 * 8 + 4 + 3], float(std::sin(1.125)));
}

std::string loadError(const std::function<void(fake::Installed &, json &)> &spoil) {
  fake::Installed model = fake::install();
  json meta = fake::makeMeta(model.folder.path(),
                             fake::writeCheckpoint(model.folder.path(), model.weights));
  spoil(model, meta);
  const auto manifest = parseManifest(meta.dump());
  if (!manifest)
    return manifest.status().message();
  auto device = makeDevice();
  const auto weights = loadWeights(*manifest, *device, {});
  std::string message = weights ? "" : weights.status().message();
  if (const size_t at = message.find(model.folder.path()); at != std::string::npos)
    message.replace(at, model.folder.path().size(), "DIR");
  return message;
}

TEST(WeightLoader, MessagesSayWhatIsWrong) {
  EXPECT_EQ(loadError([](fake::Installed &, json &) {}), "");
  EXPECT_EQ(loadError([](fake::Installed &, json &meta) {
              meta["source"]["files"][0]["header_sha256"] = "00";
            }),
            "DIR/model.safetensors: its tensors are not those the model was compiled for: compile "
            "again, or name another directory with --weights");
  EXPECT_EQ(loadError([](fake::Installed &, json &meta) {
              meta["weights"][1]["sources"][0]["tensor"] = "model.other.weight";
            }),
            "tensor \"model.other.weight\" is not in the checkpoint");
  EXPECT_EQ(
      loadError([](fake::Installed &, json &meta) {
        meta["weights"][1]["sources"][0]["dtype"] = "bf16";
      }),
      "model.safetensors: tensor \"model.norm.weight\": f32 [8], the artefact needs bf16 [8]");
  const std::string gone = loadError([](fake::Installed &model, json &) {
    std::filesystem::remove(model.folder.file("model.safetensors"));
  });
  EXPECT_NE(gone.find("DIR/model.safetensors"), std::string::npos) << gone;
}

TEST(WeightLoader, RandomWeightsAreReproducibleAndScaled) {
  Manifest manifest;
  manifest.model.maxPosition = 8;
  for (DType dtype : {DType::BF16, DType::F16, DType::F32}) {
    WeightPlan plan;
    plan.layout = WeightLayout::Tiled16;
    plan.dtype = dtype;
    plan.sources = {{"w", dtype, {100, 129}, 0, 100}};
    plan.shape = {100, 129};
    plan.bytes = tiledBytes(plan);
    manifest.weights.push_back(plan);
  }
  const auto options = parseWeightOptions("random:5");
  ASSERT_TRUE(options.isOk());
  auto one = makeDevice(1), three = makeDevice(3);
  const auto a = loadWeights(manifest, *one, *options), b = loadWeights(manifest, *three, *options);
  ASSERT_TRUE(a.isOk() && b.isOk());
  for (size_t i = 0; i < manifest.weights.size(); ++i) {
    const WeightPlan &plan = manifest.weights[i];
    ASSERT_EQ(std::memcmp(a->pointers[i], b->pointers[i], plan.bytes), 0);
    double sum = 0, squares = 0, zeros = 0;
    const uint64_t count = plan.bytes / dtypeBytes(plan.dtype);
    for (uint64_t k = 0; k < count; ++k) {
      const auto *half = static_cast<const uint16_t *>(a->pointers[i]);
      const float x = plan.dtype == DType::F32    ? static_cast<const float *>(a->pointers[i])[k]
                      : plan.dtype == DType::BF16 ? bf16ToF32(half[k])
                                                  : f16ToF32(half[k]);
      sum += x;
      squares += double(x) * x;
      zeros += x == 0;
    }
    const double real = 100 * 129;
    EXPECT_EQ(zeros, double(count) - real) << "padding is zero and nothing else is";
    EXPECT_NEAR(sum / real, 0, 0.001);
    EXPECT_NEAR(std::sqrt(squares / real), 0.02, 0.001);
  }
}

TEST(WeightLoader, ReadsTheFlag) {
  EXPECT_EQ(parseWeightOptions("dir/x")->directory, "dir/x");
  EXPECT_EQ(parseWeightOptions("random:17")->randomSeed, 17u);
  EXPECT_EQ(parseWeightOptions("random:x").status().message(),
            "--weights random:x: expected random:SEED with a number as SEED");
}

} // namespace
} // namespace sinter
