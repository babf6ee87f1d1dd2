//===- ThreadPool.cpp -----------------------------------------------------===//
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <immintrin.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(40);
constexpr uint32_t kMaxThreads = 1024;

void futexWait(std::atomic<uint32_t> &word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr,
          nullptr, 0);
}

void futexWake(std::atomic<uint32_t> &word, int count) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAKE_PRIVATE, count, nullptr,
          nullptr, 0);
}

/// Spins until `done()` or until the spinning has cost more than a wake-up would.
template <typename Predicate> bool spinUntil(Predicate done) {
  const auto deadline = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done())
        return true;
      _mm_pause();
    }
    sched_yield(); // whoever waits for this processor may be who this thread waits for
  } while (Clock::now() < deadline);
  return false;
}

/// Where a chunk begins. With several chunks per thread each is smaller than the one before (what
/// is left shrinks with the square of the chunks left): threads start with long ranges and end at
/// almost the same time.
uint32_t chunkBegin(uint64_t chunk, uint64_t chunks, uint64_t tasks, bool shrinking) {
  const uint64_t left = chunks - chunk;
  return uint32_t(shrinking ? tasks - tasks * left * left / (chunks * chunks)
                            : chunk * tasks / chunks);
}

/// A launch whose kernel is a host function.
struct FunctionLaunch : SinterLaunch {
  const std::function<void(uint32_t, uint32_t)> *body;
};

void runFunction(const SinterLaunch *launch, uint32_t begin, uint32_t end, void *) {
  (*static_cast<const FunctionLaunch *>(launch)->body)(begin, end);
}

} // namespace

void ThreadPool::FreeScratch::operator()(void *p) const { std::free(p); }

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(uint32_t threads) {
  if (threads == 0 || threads > kMaxThreads)
    return invalidArgument("threads: expected 1 to " + std::to_string(kMaxThreads) + ", got " +
                           std::to_string(threads));
  std::unique_ptr<ThreadPool> pool(new ThreadPool);
  pool->scratch_.resize(threads);
  pool->workers_.reserve(threads - 1);
  try {
    for (uint32_t i = 1; i < threads; ++i)
      pool->workers_.emplace_back([p = pool.get(), i] { p->work(i); });
  } catch (const std::system_error &error) {
    return resourceExhausted("cannot start thread " + std::to_string(pool->workers_.size() + 2) +
                             " of " + std::to_string(threads) + ": " + error.what());
  }
  return pool;
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  wakeups_.fetch_add(1);
  futexWake(wakeups_, kMaxThreads);
  for (std::thread &worker : workers_)
    worker.join();
}

Status ThreadPool::reserveScratch(uint64_t bytes) {
  const uint64_t rounded = (bytes + 63) / 64 * 64;
  for (auto &scratch : scratch_) {
    scratch.reset(rounded ? std::aligned_alloc(64, rounded) : nullptr);
    if (rounded && !scratch)
      return resourceExhausted("no memory for " + std::to_string(rounded) +
                               " bytes of kernel scratch per thread");
  }
  return Status::ok();
}

bool ThreadPool::runChunk(uint32_t thread) {
  uint32_t left = unclaimed_.load(std::memory_order_acquire);
  do {
    if (left == 0)
      return false;
  } while (!unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel,
                                             std::memory_order_acquire));
  const Job job = job_;
  const uint64_t chunk = job.chunks - left;
  const bool shrinking = job.chunks > threads() && job.chunks < job.tasks;
  const uint32_t begin = chunkBegin(chunk, job.chunks, job.tasks, shrinking);
  const uint32_t end = chunkBegin(chunk + 1, job.chunks, job.tasks, shrinking);
  if (begin < end)
    job.kernel(job.launch, begin, end, scratch_[thread].get());
  if (finished_.fetch_add(1) + 1 == job.chunks && callerSleeps_.load())
    futexWake(finished_, 1);
  return true;
}

void ThreadPool::waitForWork() {
  auto ready = [&] { return unclaimed_.load() != 0 || stopping_.load(); };
  if (spinUntil(ready))
    return;
  // A caller that publishes after the last check sees this sleeper and changes `wakeups_`.
  const uint32_t seen = wakeups_.load();
  sleepers_.fetch_add(1);
  if (!ready())
    futexWait(wakeups_, seen);
  sleepers_.fetch_sub(1);
}

void ThreadPool::work(uint32_t thread) {
  while (!stopping_.load(std::memory_order_relaxed)) {
    while (runChunk(thread)) {
    }
    waitForWork();
  }
}

void ThreadPool::waitForJob() {
  const uint32_t chunks = job_.chunks;
  auto done = [&] { return finished_.load(std::memory_order_acquire) == chunks; };
  if (done())
    return;
  while (!spinUntil(done)) {
    callerSleeps_.store(1);
    const uint32_t seen = finished_.load();
    if (seen != chunks)
      futexWait(finished_, seen);
    callerSleeps_.store(0);
  }
}

void ThreadPool::parallelFor(SinterKernel kernel, const SinterLaunch *launch, uint32_t tasks) {
  if (tasks == 0)
    return;
  const uint64_t wanted = uint64_t(threads()) * std::max(launch->split, 1u);
  const auto chunks = uint32_t(std::min<uint64_t>(tasks, wanted));
  if (workers_.empty() || chunks == 1) {
    kernel(launch, 0, tasks, scratch_[0].get());
    return;
  }
  job_ = {kernel, launch, tasks, chunks};
  finished_.store(0, std::memory_order_relaxed);
  unclaimed_.store(chunks);
  if (sleepers_.load() != 0) {
    wakeups_.fetch_add(1);
    futexWake(wakeups_, int(std::min<uint32_t>(chunks - 1, kMaxThreads)));
  }
  while (runChunk(0)) {
  }
  waitForJob();
}

void ThreadPool::parallelFor(uint32_t tasks, uint32_t split,
                             const std::function<void(uint32_t, uint32_t)> &body) {
  FunctionLaunch launch = {};
  launch.split = split;
  launch.body = &body;
  parallelFor(runFunction, &launch, tasks);
}

} // namespace sinter
