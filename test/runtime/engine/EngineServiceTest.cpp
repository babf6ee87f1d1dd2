//===- EngineServiceTest.cpp ----------------------------------------------===//
#include "runtime/engine/EngineService.h"
#include "test/runtime/engine/ToyModel.h"

#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>
#include <random>
#include <thread>

namespace sinter::test {
namespace {

using namespace std::chrono_literals;

auto soon(std::chrono::milliseconds in = 10000ms) { return std::chrono::steady_clock::now() + in; }

/// Can be waited for from another thread.
struct Ear : Heard {
  std::mutex mutex;
  std::condition_variable changed;
  std::atomic<int> heardTokens{0};
  std::function<void()> onFirst = {};

  bool onToken(const TokenEvent &event) override {
    if (++heardTokens == 1 && onFirst)
      onFirst();
    return Heard::onToken(event);
  }
  void onDone(const Usage &usage) override {
    const std::lock_guard lock(mutex);
    Heard::onDone(usage);
    changed.notify_all();
  }
  bool wait() {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 20s, [&] { return done.load(); });
  }
};

TEST(EngineService, ManyThreadsSubmitAndCancel) {
  ToyShape shape;
  shape.pages = 80;
  ToyModel model(shape);
  EngineOptions options;
  options.checkBooks = options.poisonFreedPages = true;
  options.swapBytes = 1000;
  const auto service = *EngineService::create(*model.executor, options);
  std::vector<std::thread> threads;
  std::atomic<int> whole{0}, cut{0};
  for (uint32_t thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      std::mt19937_64 random(thread);
      for (int i = 0; i < 40; ++i) {
        const std::vector<int32_t> prompt = makePrompt(1 + random() % 30, uint32_t(random() % 5));
        const auto ear = std::make_shared<Ear>();
        const uint32_t tokens = uint32_t(1 + random() % 20);
        const auto id = service->submit(greedyRequest(prompt, tokens), ear);
        ASSERT_TRUE(id.isOk());
        if (random() % 3 == 0)
          service->cancel(*id);
        ASSERT_TRUE(ear->wait());
        std::vector<int32_t> expected = toyGreedy(prompt, tokens);
        const bool cancelled = ear->reason() == FinishReason::Cancelled;
        ++(cancelled ? cut : whole);
        if (cancelled)
          expected.resize(ear->tokens().size());
        ASSERT_EQ(ear->tokens(), expected);
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  service->drain(soon());
  const EngineFigures figures = service->figures();
  EXPECT_EQ(figures.finished, uint64_t(whole));
  EXPECT_EQ(figures.cancelled, uint64_t(cut));
  EXPECT_EQ(figures.running + figures.queued + figures.preempted, 0u);
  EXPECT_EQ(figures.pagesUsed, 0u);
  EXPECT_EQ(figures.pagesFree + figures.pagesCached, 80u);
  EXPECT_TRUE(service->health().isOk());
  EXPECT_EQ(model.device.wrongReads, 0u);
}

TEST(EngineService, RefusesWhatItCannotTake) {
  ToyModel model;
  EngineOptions options;
  options.maxRequests = 2;
  const auto service = *EngineService::create(*model.executor, options);
  EXPECT_EQ(service->limits().maxTokens, 256u);
  EXPECT_EQ(service->limits().maxRequests, 2u);
  EXPECT_EQ(service->limits().vocab, 40u);
  EXPECT_EQ(service->submit(greedyRequest({}, 1), std::make_shared<Ear>()).status().code(),
            StatusCode::InvalidArgument);
  // The engine's thread is held up in a listener: nothing ends meanwhile.
  std::mutex gate;
  gate.lock();
  const auto first = std::make_shared<Ear>(), second = std::make_shared<Ear>();
  first->onFirst = [&] { const std::lock_guard wait(gate); };
  ASSERT_TRUE(service->submit(greedyRequest({1}, 5), first).isOk());
  ASSERT_TRUE(service->submit(greedyRequest({2}, 5), second).isOk());
  const auto third = service->submit(greedyRequest({3}, 5), std::make_shared<Ear>());
  EXPECT_EQ(third.status().code(), StatusCode::ResourceExhausted);
  EXPECT_EQ(third.status().message(), "the queue is full: 2 requests are running or waiting");
  gate.unlock();
  EXPECT_TRUE(first->wait());
  EXPECT_TRUE(second->wait());
  service->drain(soon());
  EXPECT_EQ(service->submit(greedyRequest({3}, 5), std::make_shared<Ear>()).status().code(),
            StatusCode::Unavailable);
}

TEST(EngineService, DrainCancelsAtTheDeadline) {
  ToyModel model;
  const auto service = *EngineService::create(*model.executor, {});
  const auto slow = std::make_shared<Ear>();
  slow->onFirst = [] { std::this_thread::sleep_for(50ms); };
  ASSERT_TRUE(service->submit(greedyRequest({1}, 250), slow).isOk());
  service->drain(soon(1ms));
  EXPECT_TRUE(slow->done);
  EXPECT_EQ(slow->reason(), FinishReason::Cancelled);
  EXPECT_EQ(service->figures().pagesUsed, 0u);
}

TEST(EngineService, ADeadDeviceShowsInItsHealth) {
  ToyModel model;
  const auto service = *EngineService::create(*model.executor, {});
  model.device.failIn = 20;
  std::vector<std::shared_ptr<Ear>> ears;
  for (int i = 0; i < 3; ++i) {
    const auto ear = std::make_shared<Ear>();
    // On a slow machine the first may have met its end before the others come.
    if (const auto id = service->submit(greedyRequest({i}, 200), ear); id.isOk())
      ears.push_back(ear);
    else
      EXPECT_EQ(id.status().message(), "the engine has failed: the toy broke");
  }
  EXPECT_FALSE(ears.empty());
  for (const auto &ear : ears) {
    ASSERT_TRUE(ear->wait());
    EXPECT_EQ(ear->samples[0].status.message(), "the toy broke");
  }
  service->drain(soon());
  EXPECT_EQ(service->health().message(), "the toy broke");
  const auto late = service->submit(greedyRequest({1}, 1), std::make_shared<Ear>());
  EXPECT_EQ(late.status().code(), StatusCode::Unavailable);
  EXPECT_EQ(late.status().message(), "the engine has failed: the toy broke");
}

TEST(EngineService, GoesAwayWithRequestsRunning) {
  ToyModel model;
  const auto ear = std::make_shared<Ear>();
  {
    const auto service = *EngineService::create(*model.executor, {});
    ASSERT_TRUE(service->submit(greedyRequest({1}, 250), ear).isOk());
  }
  EXPECT_TRUE(ear->done);
}

} // namespace
} // namespace sinter::test
