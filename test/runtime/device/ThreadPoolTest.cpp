//===- ThreadPoolTest.cpp -------------------------------------------------===//
#include "runtime/device/cpu/ThreadPool.h"

#include <chrono>
#include <cstdint>
#include <gtest/gtest.h>
#include <set>

namespace sinter {
namespace {

struct Counting : SinterLaunch {
  std::vector<std::atomic<uint32_t>> *counts;
  std::atomic<uint32_t> *calls;
};

void countTasks(const SinterLaunch *launch, uint32_t begin, uint32_t end, void *) {
  const auto &counting = *static_cast<const Counting *>(launch);
  ++*counting.calls;
  for (uint32_t i = begin; i < end; ++i)
    ++(*counting.counts)[i];
}

std::unique_ptr<ThreadPool> makePool(uint32_t threads) {
  auto pool = ThreadPool::create(threads);
  EXPECT_TRUE(pool.isOk()) << pool.status().message();
  return *std::move(pool);
}

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (uint32_t threads : {1u, 2u, 3u, 8u}) {
    auto pool = makePool(threads);
    for (uint32_t split : {0u, 1u, 4u})
      for (uint32_t tasks : {0u, 1u, 2u, 3u, 7u, 64u, 1001u}) {
        std::vector<std::atomic<uint32_t>> counts(tasks);
        std::atomic<uint32_t> calls{0};
        Counting launch = {};
        launch.split = split;
        launch.counts = &counts;
        launch.calls = &calls;
        pool->parallelFor(countTasks, &launch, tasks);
        for (uint32_t i = 0; i < tasks; ++i)
          ASSERT_EQ(counts[i], 1u) << "task " << i << " of " << tasks;
        ASSERT_LE(calls, std::min(tasks, threads * std::max(split, 1u)));
      }
  }
}

// Jobs of changing sizes back to back: chunks of one job must never be taken for another's.
TEST(ThreadPool, SurvivesManyShortJobs) {
  auto pool = makePool(4);
  uint64_t expected = 0;
  std::atomic<uint64_t> sum{0};
  for (uint32_t job = 0; job < 20000; ++job) {
    const uint32_t tasks = 1 + job % 13;
    for (uint32_t i = 0; i < tasks; ++i)
      expected += uint64_t(job) * i;
    pool->parallelFor(tasks, 1 + job % 3, [&, job](uint32_t begin, uint32_t end) {
      for (uint32_t i = begin; i < end; ++i)
        sum += uint64_t(job) * i;
    });
    ASSERT_EQ(sum, expected) << "job " << job;
  }
}

TEST(ThreadPool, WakesSleepingWorkers) {
  auto pool = makePool(3);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1)); // longer than workers spin
    std::atomic<uint32_t> started{0};
    // Passes only when all three threads are inside at once.
    pool->parallelFor(3, 1, [&](uint32_t, uint32_t) {
      ++started;
      while (started < 3)
        std::this_thread::yield();
    });
    EXPECT_EQ(started, 3u);
  }
}

TEST(ThreadPool, GivesEachThreadItsScratch) {
  auto pool = makePool(2);
  ASSERT_TRUE(pool->reserveScratch(100).isOk());
  struct Seen : SinterLaunch {
    void *scratch[2];
    std::atomic<uint32_t> *started;
  };
  std::atomic<uint32_t> started{0};
  Seen seen = {};
  seen.split = 1;
  seen.started = &started;
  pool->parallelFor(
      [](const SinterLaunch *launch, uint32_t begin, uint32_t, void *scratch) {
        auto &seen = *const_cast<Seen *>(static_cast<const Seen *>(launch));
        seen.scratch[begin] = scratch;
        ++*seen.started;
        while (*seen.started < 2)
          std::this_thread::yield();
      },
      &seen, 2);
  EXPECT_NE(seen.scratch[0], seen.scratch[1]);
  for (void *scratch : seen.scratch)
    EXPECT_EQ(reinterpret_cast<uintptr_t>(scratch) % 64, 0u);
}

TEST(ThreadPool, RefusesNoThreads) {
  EXPECT_EQ(ThreadPool::create(0).status().message(), "threads: expected 1 to 1024, got 0");
}

} // namespace
} // namespace sinter
