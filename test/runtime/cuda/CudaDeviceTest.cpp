//===- CudaDeviceTest.cpp - memory and weights on the fake GPU ------------===//
#include "FakeGpu.h"

#include "runtime/device/cpu/CpuDevice.h"
#include "sinter/Support/Sha256.h"

#include <atomic>
#include <cstring>
#include <fstream>

namespace sinter {
namespace {

std::unique_ptr<CudaDevice> makeDevice() {
  auto device = CudaDevice::create({});
  EXPECT_TRUE(device.isOk()) << device.status().message();
  return *std::move(device);
}

TEST(CudaDevice, NamesItself) {
  FakeGpu gpu;
  auto device = makeDevice();
  EXPECT_EQ(device->name(), "Fake GPU, sm_90");
  EXPECT_EQ(device->target(), "cuda");
  EXPECT_FALSE(device->hasHostMemory());
  EXPECT_EQ(device->freeMemory(), uint64_t(2) << 30);
}

TEST(CudaDevice, AllocatesZeroedMemoryAndCopies) {
  FakeGpu gpu;
  auto device = makeDevice();
  for (uint64_t bytes : {uint64_t(0), uint64_t(1), uint64_t(5000), uint64_t(5) << 20}) {
    auto memory = device->allocate(bytes, MemoryUse::Cache);
    ASSERT_TRUE(memory.isOk()) << memory.status().message();
    ASSERT_GE(memory->bytes(), bytes);
    std::vector<uint8_t> back(bytes, 1);
    ASSERT_TRUE(device->download(back.data(), memory->data(), bytes).isOk());
    EXPECT_EQ(back, std::vector<uint8_t>(bytes, 0));
    std::vector<uint8_t> data(bytes);
    for (uint64_t i = 0; i < bytes; ++i)
      data[i] = uint8_t(i * 7);
    ASSERT_TRUE(device->upload(memory->data(), data.data(), bytes).isOk());
    ASSERT_TRUE(device->download(back.data(), memory->data(), bytes).isOk());
    EXPECT_EQ(back, data);
  }
  EXPECT_EQ(device->allocate(~uint64_t(0) - 100, MemoryUse::Cache).status().code(),
            StatusCode::ResourceExhausted);
  EXPECT_EQ(device->allocate(uint64_t(3) << 30, MemoryUse::Cache).status().message(),
            "out of GPU memory: 3072 MiB asked for, 2048 MiB of 2048 MiB are free");
}

TEST(CudaDevice, ProducesPiecesOnSeveralThreads) {
  FakeGpu gpu;
  auto device = makeDevice();
  constexpr uint64_t kPieces = 57, kBytes = 1001 * 4;
  auto memory = device->allocate(kPieces * kBytes, MemoryUse::Weights);
  ASSERT_TRUE(memory.isOk());
  std::vector<UploadPiece> pieces;
  for (uint64_t i = 0; i < kPieces; ++i)
    pieces.push_back({static_cast<uint8_t *>(memory->data()) + i * kBytes, kBytes});
  const Status status = device->produce(pieces, [&](uint32_t index, void *host) {
    std::fill_n(static_cast<uint32_t *>(host), kBytes / 4, index + 1);
    return Status::ok();
  });
  ASSERT_TRUE(status.isOk()) << status.message();
  std::vector<uint32_t> back(kPieces * kBytes / 4);
  ASSERT_TRUE(device->download(back.data(), memory->data(), kPieces * kBytes).isOk());
  for (uint64_t i = 0; i < back.size(); ++i)
    ASSERT_EQ(back[i], i / (kBytes / 4) + 1);
  std::atomic<int> calls{0};
  EXPECT_EQ(device
                ->produce(pieces,
                          [&](uint32_t index, void *) {
                            ++calls;
                            return index == 3 ? invalidInput("no piece 3") : Status::ok();
                          })
                .message(),
            "no piece 3");
  EXPECT_LT(calls, int(kPieces)) << "an error ends the others soon";
  EXPECT_TRUE(device->produce({}, {}).isOk());
}

/// A linear whose rows take several pieces, from two tensors of a file.
struct Stacked {
  fake::TemporaryFolder folder;
  Manifest manifest;
  std::vector<uint8_t> expected;

  explicit Stacked(DType dtype) {
    constexpr uint64_t kColumns = 3001, kRows = 900;
    const uint64_t rowBytes = kColumns * dtypeBytes(dtype);
    const std::string type = dtype == DType::BF16 ? "BF16" : "F32";
    const uint64_t bytes = kRows * rowBytes;
    const nlohmann::json header = {
        {"a", {{"dtype", type}, {"shape", {kRows, kColumns}}, {"data_offsets", {0, bytes}}}},
        {"b",
         {{"dtype", type}, {"shape", {kRows, kColumns}}, {"data_offsets", {bytes, 2 * bytes}}}}};
    const std::string text = header.dump();
    const uint64_t length = text.size();
    std::string file(reinterpret_cast<const char *>(&length), sizeof length);
    file += text;
    const std::string hash = toHex(Sha256::of(file.data(), file.size()));
    const size_t data = file.size();
    for (uint64_t i = 0; i < 2 * bytes; ++i)
      file += char(i * 31 + i / 257);
    std::ofstream(folder.file("m.safetensors"), std::ios::binary) << file;
    manifest.model.maxPosition = 8;
    manifest.sourceDirectory = folder.path();
    manifest.sourceFiles = {{"m.safetensors", hash}};
    WeightPlan vector; // shifts what follows off round addresses
    vector.name = "bias";
    vector.kind = WeightKind::Rope;
    vector.shape = {1, 2};
    vector.bytes = 8;
    vector.invFreq = {1.f};
    WeightPlan plan;
    plan.name = "stacked";
    plan.layout = WeightLayout::RowMajor;
    plan.dtype = dtype;
    plan.shape = {kRows - 5 + 700, kColumns};
    plan.bytes = plan.shape[0] * rowBytes;
    const auto rows = int64_t(kRows), columns = int64_t(kColumns);
    plan.sources = {{"b", dtype, {rows, columns}, 5, kRows}, {"a", dtype, {rows, columns}, 0, 700}};
    manifest.weights = {vector, plan};
    const auto *bytesOf = reinterpret_cast<const uint8_t *>(file.data()) + data;
    expected.assign(bytesOf + bytes + 5 * rowBytes, bytesOf + 2 * bytes);
    expected.insert(expected.end(), bytesOf, bytesOf + 700 * rowBytes);
  }
};

void checkRowMajor(Device &device, DType dtype) {
  const Stacked stacked(dtype);
  uint64_t last = 0;
  WeightOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_LE(done, total);
    last = done;
  };
  const auto weights = loadWeights(stacked.manifest, device, options);
  ASSERT_TRUE(weights.isOk()) << weights.status().message();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(weights->pointers[1]) % 256, 0u);
  EXPECT_EQ(last, stacked.expected.size());
  std::vector<uint8_t> back(stacked.expected.size());
  ASSERT_TRUE(device.download(back.data(), weights->pointers[1], back.size()).isOk());
  EXPECT_EQ(back, stacked.expected);
}

TEST(CudaWeights, RowsAreCopiedAsTheyAre) {
  FakeGpu gpu;
  CpuOptions two;
  two.threads = 2;
  auto cpu = *CpuDevice::create(two);
  for (DType dtype : {DType::BF16, DType::F32}) {
    checkRowMajor(*makeDevice(), dtype);
    checkRowMajor(*cpu, dtype);
  }
}

TEST(CudaWeights, RandomOnesAreTheSameOnEveryDevice) {
  FakeGpu gpu;
  const Stacked stacked(DType::BF16);
  WeightOptions options;
  options.randomSeed = 3;
  auto load = [&](Device &device) {
    const auto weights = loadWeights(stacked.manifest, device, options);
    EXPECT_TRUE(weights.isOk()) << weights.status().message();
    std::vector<uint16_t> back(stacked.expected.size() / 2);
    EXPECT_TRUE(device.download(back.data(), weights->pointers[1], back.size() * 2).isOk());
    return back;
  };
  CpuOptions one;
  one.threads = 1;
  const std::vector<uint16_t> values = load(*makeDevice());
  EXPECT_EQ(values, load(**CpuDevice::create(one)));
  double squares = 0;
  for (const uint16_t value : values) {
    const uint32_t bits = uint32_t(value) << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    squares += double(x) * x;
  }
  EXPECT_NEAR(std::sqrt(squares / double(values.size())), 0.02, 0.001);
}

TEST(CudaWeights, TilesAreForTheHost) {
  FakeGpu gpu;
  Stacked stacked(DType::F32);
  stacked.manifest.weights[1].layout = WeightLayout::Tiled16;
  EXPECT_EQ(loadWeights(stacked.manifest, *makeDevice(), {}).status().message(),
            "weight stacked: tiles are for the host's memory");
}

} // namespace
} // namespace sinter
