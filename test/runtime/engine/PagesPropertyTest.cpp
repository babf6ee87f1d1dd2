//===- PagesPropertyTest.cpp ----------------------------------------------===//
//
// A million random operations on pages, with steps in flight, steps that fail, swapping to the host
// meanwhile, colliding hashes, windows and poison on free. CMakeLists.txt also runs it against
// mutants of the allocator, which must fail.
//
//===----------------------------------------------------------------------===//
#include "test/runtime/engine/PagesWorld.h"

#include <gtest/gtest.h>

namespace sinter::test {
namespace {

constexpr size_t kOps = 2000;

TEST(Pages, HoldWhatTheyShouldThroughAMillionOperations) {
  PagesWorld::Seen seen;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    std::vector<PageOp> ops = randomOps(seed, kOps);
    size_t failedAt = 0;
    const std::string wrong = runOps(ops, seed, Misuse::None, failedAt, &seen);
    if (!wrong.empty()) {
      ops.resize(failedAt);
      FAIL() << wrong << " (seed " << seed << ") after\n"
             << toText(shrink(std::move(ops), seed, Misuse::None));
    }
  }
  EXPECT_GT(seen.dropped, 5000u);
  EXPECT_GT(seen.droppedInFlight, 1000u);
  EXPECT_GT(seen.hits, 10000u);
  EXPECT_GT(seen.rewrittenNowhere, 1000u) << "prompts that are in the cache as a whole";
  EXPECT_GT(seen.evictions, 10000u);
  EXPECT_GT(seen.releasedInFlight, 10000u);
  EXPECT_GT(seen.failures, 10000u);
  EXPECT_GT(seen.swappedOut, 10000u);
  EXPECT_GT(seen.swappedOutInFlight, 1000u);
  EXPECT_GT(seen.swappedIn, 5000u);
  EXPECT_GT(seen.swappedInInFlight, 1000u);
  EXPECT_GT(seen.swappedBehindHits, 1000u);
}

class MisusedPages : public testing::TestWithParam<Misuse> {};

TEST_P(MisusedPages, AreNoticed) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<PageOp> ops = randomOps(seed, kOps);
    size_t failedAt = 0;
    if (runOps(ops, seed, GetParam(), failedAt).empty())
      continue;
    ops.resize(failedAt);
    const std::vector<PageOp> few = shrink(std::move(ops), seed, GetParam());
    EXPECT_LE(few.size(), 16u) << "shrunk too little:\n" << toText(few);
    return;
  }
  FAIL() << "nobody noticed";
}

INSTANTIATE_TEST_SUITE_P(All, MisusedPages,
                         testing::Values(Misuse::EndStepsEarly, Misuse::PublishEarly,
                                         Misuse::WriteSharedPages, Misuse::CountFailedSteps,
                                         Misuse::SwapInNothing));

} // namespace
} // namespace sinter::test
