//===- OccupancyTest.cpp --------------------------------------------------===//
#include "runtime/model/Occupancy.h"

#include <gtest/gtest.h>

namespace sinter {
namespace {

KernelPlan kernel(uint32_t threads, uint32_t registers, uint32_t shared) {
  KernelPlan plan;
  plan.threads = threads;
  plan.registers = registers;
  plan.sharedBytes = shared;
  return plan;
}

// Expected numbers: cudaOccupancyMaxActiveBlocksPerMultiprocessor's documented rules, by hand.
TEST(Occupancy, IsLimitedByWhatRunsOutFirst) {
  EXPECT_EQ(occupancyOf(kernel(128, 249, 78208), "sm_90a").ctasPerSm, 2u);   // registers
  EXPECT_EQ(occupancyOf(kernel(192, 48, 104608), "sm_90a").ctasPerSm, 2u);   // shared memory
  EXPECT_EQ(occupancyOf(kernel(192, 48, 230160), "sm_90a").ctasPerSm, 1u);   // shared memory
  EXPECT_EQ(occupancyOf(kernel(1024, 64, 16384), "sm_90a").ctasPerSm, 1u);   // registers
  EXPECT_EQ(occupancyOf(kernel(32, 16, 0), "sm_90a").ctasPerSm, 32u);        // CTAs
  EXPECT_EQ(occupancyOf(kernel(1024, 32, 0), "sm_89").ctasPerSm, 1u);        // threads
  EXPECT_EQ(occupancyOf(kernel(256, 32, 50 * 1024), "sm_80").ctasPerSm, 3u); // shared memory
}

TEST(Occupancy, CountsWarps) {
  EXPECT_DOUBLE_EQ(occupancyOf(kernel(128, 249, 0), "sm_90a").warps, 8.0 / 64);
  EXPECT_DOUBLE_EQ(occupancyOf(kernel(1024, 32, 0), "sm_90a").warps, 1.0);
}

TEST(Occupancy, IsUnknownWithoutRegistersOrLevel) {
  EXPECT_EQ(occupancyOf(kernel(128, 0, 0), "sm_90a").ctasPerSm, 0u);
  EXPECT_EQ(occupancyOf(kernel(128, 32, 0), "sm_70").ctasPerSm, 0u);
  EXPECT_EQ(busyMultiprocessors(64, {}, "sm_90a"), 0.0);
}

TEST(Occupancy, AveragesTheRoundsOfALaunch) {
  const Occupancy two = {2, 0.5};
  EXPECT_DOUBLE_EQ(busyMultiprocessors(66, two, "sm_90a"), 0.5);
  EXPECT_DOUBLE_EQ(busyMultiprocessors(132, two, "sm_90a"), 1.0);
  EXPECT_DOUBLE_EQ(busyMultiprocessors(264, two, "sm_90a"), 1.0);
  EXPECT_DOUBLE_EQ(busyMultiprocessors(264 + 33, two, "sm_90a"), 0.625);
}

} // namespace
} // namespace sinter
