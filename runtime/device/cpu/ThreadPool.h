//===- ThreadPool.h - fork and join in well under a microsecond -*- C++ -*-===//
//
// One caller and N-1 workers. A job is cut into chunks; every thread, the caller included, claims
// chunks until none is left, so a worker that the system has descheduled holds up only a chunk it
// has already begun. Workers spin for some tens of microseconds after a job, then sleep on a futex:
// steps that follow each other closely never pay for a wake-up, an idle pool costs nothing.
//
// Which thread runs a chunk is not fixed. Kernels promise that a task's result does not depend on
// the range it is run in, which makes results independent of timing and of the thread count.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/Status.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace sinter {

class ThreadPool {
public:
  /// `threads` counts the caller.
  static Result<std::unique_ptr<ThreadPool>> create(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  uint32_t threads() const { return uint32_t(workers_.size()) + 1; }

  /// Gives every thread its own 64-byte aligned scratch of `bytes`. Not during parallelFor.
  Status reserveScratch(uint64_t bytes);

  /// Calls kernel(launch, begin, end, scratch) over disjoint ranges that cover [0, tasks) and
  /// returns when all have finished. launch->split chunks per thread; with 1, one range each, with
  /// more, ever shorter ones.
  /// Only one thread at a time may call it, and no kernel may.
  void parallelFor(SinterKernel kernel, const SinterLaunch *launch, uint32_t tasks);

  /// The same for host code; chunks per thread as in SinterLaunch.split.
  void parallelFor(uint32_t tasks, uint32_t split,
                   const std::function<void(uint32_t begin, uint32_t end)> &body);

private:
  struct Job {
    SinterKernel kernel = nullptr;
    const SinterLaunch *launch = nullptr;
    uint32_t tasks = 0;
    uint32_t chunks = 0;
  };
  struct FreeScratch {
    void operator()(void *p) const;
  };

  ThreadPool() = default;
  void work(uint32_t thread);
  bool runChunk(uint32_t thread);
  void waitForWork();
  void waitForJob();

  // A job is written before `unclaimed_` becomes its number of chunks, and stays as it is until
  // `finished_` reaches that number. Whoever takes a chunk may therefore read it.
  Job job_;
  alignas(64) std::atomic<uint32_t> unclaimed_{0};
  alignas(64) std::atomic<uint32_t> finished_{0};
  std::atomic<uint32_t> callerSleeps_{0};
  alignas(64) std::atomic<uint32_t> wakeups_{0};
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<bool> stopping_{false};

  std::vector<std::thread> workers_;
  std::vector<std::unique_ptr<void, FreeScratch>> scratch_;
};

} // namespace sinter
