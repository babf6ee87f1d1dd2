//===- GpuTest.cpp - which code runs on which GPU -------------------------===//
#include "FakeGpu.h"

namespace sinter::cuda {
namespace {

TEST(Gpu, MachineCodeRunsWithinAMajorVersion) {
  EXPECT_TRUE(cubinRuns("sm_90a", 90));
  EXPECT_FALSE(cubinRuns("sm_90a", 80));
  EXPECT_FALSE(cubinRuns("sm_90a", 100));
  EXPECT_TRUE(cubinRuns("sm_80", 80));
  EXPECT_TRUE(cubinRuns("sm_80", 89));
  EXPECT_FALSE(cubinRuns("sm_89", 86));
  EXPECT_FALSE(cubinRuns("sm_80", 90));
  EXPECT_TRUE(cubinRuns("sm_100", 103));
  for (const char *wrong : {"", "sm_", "sm_90ab", "sm_a", "90", "x86-64-v3"})
    EXPECT_FALSE(cubinRuns(wrong, 90)) << wrong;
}

TEST(Gpu, PtxRunsFromItsVersionOn) {
  EXPECT_TRUE(ptxRuns("sm_80", 80));
  EXPECT_TRUE(ptxRuns("sm_80", 120));
  EXPECT_FALSE(ptxRuns("sm_90", 89));
  EXPECT_TRUE(ptxRuns("sm_90a", 90));
  EXPECT_FALSE(ptxRuns("sm_90a", 100));
}

TEST(Gpu, CompilesForWhatItHas) {
  EXPECT_EQ(compileTarget(75), "");
  EXPECT_EQ(compileTarget(80), "sm_80");
  EXPECT_EQ(compileTarget(86), "sm_80");
  EXPECT_EQ(compileTarget(89), "sm_89");
  EXPECT_EQ(compileTarget(90), "sm_90a");
  EXPECT_EQ(compileTarget(120), "sm_90");
  for (const Capability capability : {80, 86, 87, 89, 90, 100, 103, 120})
    EXPECT_TRUE(ptxRuns(compileTarget(capability), capability)) << capability;
}

TEST(Gpu, IsFoundByNumber) {
  FakeGpu gpu("devices=2");
  EXPECT_TRUE(Gpu::open(1).isOk());
  EXPECT_EQ(Gpu::open(2).status().message(), "--device 2: this machine has 2 GPUs, from 0 on");
  EXPECT_EQ(*detectChip(0), "sm_90a");
  gpu.configure("capability=75");
  EXPECT_EQ(detectChip(0).status().message(), "the GPU is sm_75, sm_80 or newer is needed");
  gpu.configure("devices=0");
  EXPECT_EQ(detectChip(0).status().message(), "the NVIDIA driver finds no GPU");
}

} // namespace
} // namespace sinter::cuda
