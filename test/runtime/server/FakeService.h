//===- FakeService.h - an engine that follows a script ----------*- C++ -*-===//
#pragma once

#include "runtime/engine/Service.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace sinter::test {

struct FakeOptions {
  /// What follows a prompt. At its end comes an end token.
  std::function<std::vector<int32_t>(const std::vector<int32_t> &prompt)> script;
  int32_t endToken = 0;
  ServiceLimits limits = {512, 64, 0};
  std::chrono::microseconds stepTime{0};
};

/// All requests advance by a token per step, every sample alike. Counts "pages": one per sample.
class FakeService : public Service {
public:
  explicit FakeService(FakeOptions options) : options_(std::move(options)) {
    thread_ = std::thread([this] { run(); });
  }
  ~FakeService() override {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  Result<RequestId> submit(Request request, std::shared_ptr<RequestListener> listener) override;
  void cancel(RequestId id) override;
  void drain(std::chrono::steady_clock::time_point deadline) override;
  Status health() const override;
  EngineFigures figures() const override;
  ServiceLimits limits() const override { return options_.limits; }

  /// The device dies: everything fails.
  void die(const Status &status);
  /// Holds every request where it is.
  void pause(bool paused) {
    const std::lock_guard lock(mutex_);
    paused_ = paused;
    wake_.notify_all();
  }

private:
  struct Sample {
    size_t at = 0; ///< in the script
    uint32_t made = 0;
    bool ended = false;
    std::unique_ptr<TokenConstraint> constraint;
  };
  struct Running {
    RequestId id;
    Request request;
    std::shared_ptr<RequestListener> listener;
    std::vector<int32_t> script;
    std::vector<Sample> samples;
    uint64_t made = 0;
    bool cancelled = false;
  };

  void run();
  /// Whether all samples have ended.
  bool step(Running &running);
  void finish(Running &running, uint32_t sample, FinishReason reason, const Status &status = {});
  int32_t choose(const Running &running, Sample &sample) const;

  FakeOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Running> running_;
  RequestId next_ = 1;
  bool ended_ = false, draining_ = false, paused_ = false;
  std::chrono::steady_clock::time_point deadline_;
  Status health_;
  EngineFigures figures_;
  std::thread thread_;
};

} // namespace sinter::test
