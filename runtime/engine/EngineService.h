//===- EngineService.h - an engine on a thread of its own -------*- C++ -*-===//
#pragma once

#include "runtime/engine/Engine.h"
#include "runtime/engine/Service.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace sinter {

/// What comes in from other threads waits in an inbox until the step in progress has ended. Callers
/// therefore never wait for a step, and listeners hear everything on the engine's thread.
class EngineService final : public Service {
public:
  /// The executor outlives the service, which alone uses it.
  static Result<std::unique_ptr<EngineService>> create(Executor &executor,
                                                       const EngineOptions &options);
  /// Cancels what is running.
  ~EngineService() override;

  Result<RequestId> submit(Request request, std::shared_ptr<RequestListener> listener) override;
  void cancel(RequestId id) override;
  /// Returns when the last request has ended.
  void drain(std::chrono::steady_clock::time_point deadline) override;

  Status health() const override;
  EngineFigures figures() const override;
  ServiceLimits limits() const override { return engine_->limits(); }

private:
  struct Letter {
    RequestId id = 0;
    std::optional<Request> request; ///< none: cancel it
    std::shared_ptr<RequestListener> listener;
  };

  explicit EngineService(std::unique_ptr<Engine> engine);
  void loop();
  void deliver(std::vector<Letter> letters);

  std::unique_ptr<Engine> engine_; ///< touched by the thread only, but for what never changes
  mutable std::mutex mutex_;       ///< for all that follows
  std::condition_variable wake_, ended_;
  std::vector<Letter> inbox_;
  RequestId lastId_ = 0;
  uint64_t open_ = 0; ///< requests taken that have not ended
  bool draining_ = false, cancelAll_ = false, quit_ = false;
  Status health_;
  EngineFigures figures_;
  std::thread thread_; ///< the last: it uses everything else
};

} // namespace sinter
