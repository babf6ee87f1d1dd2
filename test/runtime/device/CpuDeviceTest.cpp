//===- CpuDeviceTest.cpp --------------------------------------------------===//
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/device/cpu/Cpuid.h"
#include "runtime/device/cpu/MachineSpeed.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sched.h>
#include <sstream>
#include <unistd.h>

namespace sinter {
namespace {

std::unique_ptr<CpuDevice> makeDevice(CpuOptions options = {}) {
  auto device = CpuDevice::create(options);
  EXPECT_TRUE(device.isOk()) << device.status().message();
  return *std::move(device);
}

/// The flags that the kernel reports: another witness of what the processor has.
bool kernelReports(const std::string &flag) {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line))
    if (line.rfind("flags", 0) == 0)
      return (line + " ").find(" " + flag + " ") != std::string::npos;
  return false;
}

TEST(Cpuid, AgreesWithTheKernel) {
  EXPECT_EQ(cpuIsa() >= kIsaV3,
            kernelReports("avx2") && kernelReports("fma") && kernelReports("bmi2"));
  EXPECT_EQ(cpuIsa() >= kIsaV4, kernelReports("avx512f") && kernelReports("avx512bw") &&
                                    kernelReports("avx512vl") && kernelReports("avx512dq"));
  EXPECT_EQ(cpuIsa() == kIsaV4Bf16, cpuIsa() >= kIsaV4 && kernelReports("avx512_bf16"));
  EXPECT_GE(availableCpus(), 1u);
  EXPECT_FALSE(cpuName().empty());
}

/// A cache as Linux describes it, for each processor that this process may run on.
void describeCache(const std::string &root, int index, const char *level, const char *size,
                   const std::string &sharedBy) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set))
      continue;
    const std::string folder =
        root + "/cpu" + std::to_string(cpu) + "/cache/index" + std::to_string(index);
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/level") << level << "\n";
    std::ofstream(folder + "/size") << size << "\n";
    std::ofstream(folder + "/shared_cpu_list") << sharedBy << "\n";
  }
}

TEST(Cpuid, FindsTheCacheThatAllProcessorsShare) {
  const std::string root = ::testing::TempDir() + "/sinter-caches-" + std::to_string(getpid());
  EXPECT_EQ(sharedCacheBytes(root), 0u) << "nothing is described";
  describeCache(root, 0, "1", "48K", "0");
  describeCache(root, 1, "2", "1024K", "0-1023");
  EXPECT_EQ(sharedCacheBytes(root), 0u) << "no level 3";
  describeCache(root, 2, "3", "32768K", "0-511,512,513-1023");
  EXPECT_EQ(sharedCacheBytes(root), uint64_t(32) << 20);
  describeCache(root, 2, "3", "32768K", "1023");
  EXPECT_EQ(sharedCacheBytes(root), 0u) << "others share it";
  std::filesystem::remove_all(root);
}

TEST(CpuDevice, AllocatesZeroedAlignedMemory) {
  auto device = makeDevice();
  for (uint64_t bytes : {uint64_t(0), uint64_t(1), uint64_t(5000), uint64_t(5) << 20})
    for (MemoryUse use : {MemoryUse::Weights, MemoryUse::Arena, MemoryUse::Cache}) {
      auto memory = device->allocate(bytes, use);
      ASSERT_TRUE(memory.isOk());
      EXPECT_GE(memory->bytes(), bytes);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(memory->data()) % 64, 0u);
      const auto *data = static_cast<const uint8_t *>(memory->data());
      for (uint64_t i = 0; i < bytes; i += 997)
        ASSERT_EQ(data[i], 0);
      ASSERT_TRUE(device->fill(memory->data(), 0x7fc07fc0, bytes / 4 * 4).isOk());
    }
}

TEST(CpuDevice, RefusesImpossibleSizes) {
  auto device = makeDevice();
  const auto memory = device->allocate(~uint64_t(0) - 100, MemoryUse::Cache);
  EXPECT_EQ(memory.status().code(), StatusCode::ResourceExhausted);
}

TEST(CpuDevice, RefusesALevelTheProcessorLacks) {
  CpuOptions options;
  options.isa = 9;
  const auto device = CpuDevice::create(options);
  ASSERT_FALSE(device.isOk());
  EXPECT_NE(device.status().message().find("x86-64-v9 asked for"), std::string::npos);
}

int32_t refusingStep(const SinterRt *rt, SinterModel *, uint32_t, const SinterBatch *) {
  return rt->fail(rt, "no kernel for this");
}

int32_t launchingStep(const SinterRt *rt, SinterModel *, uint32_t, const SinterBatch *) {
  for (uint32_t op = 0; op < 3; ++op) {
    SinterLaunch launch = {};
    launch.op = op;
    rt->parallel_for(rt, [](const SinterLaunch *, uint32_t, uint32_t, void *) {}, &launch, 5);
  }
  return 0;
}

TEST(CpuDevice, ReportsWhyAStepFailed) {
  auto device = makeDevice();
  SinterModel model = {};
  const SinterBatch batch = {};
  EXPECT_EQ(device->step(refusingStep, model, 0, batch).message(),
            "the compiled model cannot run this step: no kernel for this");
  EXPECT_TRUE(device->step(launchingStep, model, 0, batch).isOk());
}

TEST(CpuDevice, ProfilesEveryLaunch) {
  auto device = makeDevice();
  SinterModel model = {};
  StepProfile profile;
  device->setProfile(&profile);
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(device->step(launchingStep, model, 2, {}).isOk());
  device->setProfile(nullptr);
  ASSERT_TRUE(device->step(launchingStep, model, 2, {}).isOk());
  ASSERT_EQ(profile.entries().size(), 3u);
  ASSERT_EQ(profile.entries()[2].size(), 3u);
  EXPECT_EQ(profile.entries()[2][1].calls, 4u);
  EXPECT_EQ(device->launches(), 15u);
}

/// Adds the batch's tokens to what the model's arena counts; fails where there are none.
int32_t countingStep(const SinterRt *rt, SinterModel *model, uint32_t, const SinterBatch *batch) {
  if (batch->num_tokens == 0)
    return rt->fail(rt, "a batch without tokens");
  SinterLaunch launch = {};
  launch.batch = batch;
  launch.model = model;
  rt->parallel_for(
      rt,
      [](const SinterLaunch *launch, uint32_t begin, uint32_t end, void *scratch) {
        auto &sum = *static_cast<uint32_t *>(scratch);
        sum = launch->batch->num_tokens;
        for (int i = 0; i < 1000; ++i) // another batch with this scratch would be noticed
          sum = *static_cast<volatile uint32_t *>(scratch);
        *static_cast<uint32_t *>(launch->model->arena) += sum * (end - begin);
      },
      &launch, 5);
  return 0;
}

TEST(CpuDevice, StepsBatchesTogether) {
  auto device = makeDevice({.threads = 3});
  ASSERT_EQ(device->batchesTogether(), 3u);
  ASSERT_TRUE(device->prepare({.scratchBytes = 64}).isOk());
  std::vector<uint32_t> arenas(3);
  std::vector<SinterModel> models(3);
  std::vector<SinterBatch> batches(3);
  for (size_t i = 0; i < 3; ++i) {
    models[i].arena = &arenas[i];
    batches[i].num_tokens = uint32_t(i + 1);
  }
  StepProfile profile;
  device->setProfile(&profile);
  constexpr uint32_t kSteps = 500;
  for (uint32_t i = 0; i < kSteps; ++i)
    ASSERT_TRUE(device->stepTogether(countingStep, models, 0, batches).isOk());
  EXPECT_EQ(arenas, (std::vector<uint32_t>{5 * kSteps, 10 * kSteps, 15 * kSteps}));
  EXPECT_EQ(profile.entries()[0][0].calls, kSteps);
  EXPECT_EQ(device->launches(), kSteps);
  EXPECT_EQ(profile.entries()[0].size(), 1u);
  batches[2].num_tokens = 0;
  EXPECT_EQ(device->stepTogether(countingStep, models, 0, batches).message(),
            "the compiled model cannot run this step: a batch without tokens");
  EXPECT_EQ(makeDevice({.threads = 3, .dataParallel = false})->batchesTogether(), 0u);
}

TEST(MachineSpeed, MeasuresSomethingPlausible) {
  auto device = makeDevice();
  Result<ReadProbe> probe = ReadProbe::create(device->pool());
  ASSERT_TRUE(probe.isOk());
  const double bandwidth = probe->wholePass(1e9);
  EXPECT_GT(bandwidth, 5e8);
  EXPECT_LT(bandwidth, 5e12);
  EXPECT_GT(probe->wholePass(0), 0) << "a part is read without patience";
  const double peak = measureFmaPeak(device->pool(), device->isa());
  EXPECT_GT(peak, 1e9);
  EXPECT_LT(peak, 1e14);
}

TEST(MachineSpeed, GivesUpOnABusyMachine) {
  auto device = makeDevice();
  const Result<ReadProbe> probe = ReadProbe::create(device->pool(), 0);
  ASSERT_FALSE(probe.isOk());
  EXPECT_EQ(probe.status().code(), StatusCode::ResourceExhausted);
}

} // namespace
} // namespace sinter
