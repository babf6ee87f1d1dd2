//===- EngineService.cpp --------------------------------------------------===//
#include "runtime/engine/EngineService.h"

#include <utility>

namespace sinter {

Result<std::unique_ptr<EngineService>> EngineService::create(Executor &executor,
                                                             const EngineOptions &options) {
  SINTER_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine, Engine::create(executor, options));
  return std::unique_ptr<EngineService>(new EngineService(std::move(engine)));
}

EngineService::EngineService(std::unique_ptr<Engine> engine)
    : engine_(std::move(engine)), figures_(engine_->figures()), thread_([this] { loop(); }) {}

EngineService::~EngineService() {
  {
    const std::lock_guard lock(mutex_);
    draining_ = cancelAll_ = quit_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

Result<RequestId> EngineService::submit(Request request,
                                        std::shared_ptr<RequestListener> listener) {
  SINTER_RETURN_IF_ERROR(engine_->validate(request));
  RequestId id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!health_)
      return unavailable("the engine has failed: " + health_.message());
    if (draining_)
      return unavailable("the engine takes no more requests: it is shutting down");
    if (open_ >= engine_->limits().maxRequests)
      return resourceExhausted("the queue is full: " + std::to_string(open_) +
                               " requests are running or waiting");
    ++open_;
    id = ++lastId_;
    inbox_.push_back({id, std::move(request), std::move(listener)});
  }
  wake_.notify_all();
  return id;
}

void EngineService::cancel(RequestId id) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back({id, std::nullopt, nullptr});
  }
  wake_.notify_all();
}

void EngineService::drain(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  if (ended_.wait_until(lock, deadline, [&] { return open_ == 0; }))
    return;
  cancelAll_ = true;
  wake_.notify_all();
  ended_.wait(lock, [&] { return open_ == 0; });
}

Status EngineService::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

EngineFigures EngineService::figures() const {
  const std::lock_guard lock(mutex_);
  EngineFigures figures = figures_;
  for (const Letter &letter : inbox_)
    figures.queued += letter.request.has_value();
  return figures;
}

void EngineService::deliver(std::vector<Letter> letters) {
  for (Letter &letter : letters)
    if (letter.request)
      engine_->submit(letter.id, *std::move(letter.request), std::move(letter.listener));
    else
      engine_->cancel(letter.id);
}

void EngineService::loop() {
  engine_->enterThread();
  std::unique_lock lock(mutex_);
  health_ = engine_->health();
  for (;;) {
    wake_.wait(lock, [&] { return !inbox_.empty() || !engine_->idle() || quit_ || cancelAll_; });
    const bool cancelAll = std::exchange(cancelAll_, false), quit = quit_;
    std::vector<Letter> letters = std::exchange(inbox_, {});
    lock.unlock();
    deliver(std::move(letters));
    if (cancelAll)
      engine_->cancelAll();
    // A failed step has told every listener; health() tells the rest.
    const Status stepped = engine_->step();
    const EngineFigures figures = engine_->figures();
    lock.lock();
    health_ = stepped;
    figures_ = figures;
    open_ = lastId_ - (figures.finished + figures.cancelled + figures.failed);
    if (open_ == 0)
      ended_.notify_all();
    if (quit && engine_->idle() && inbox_.empty())
      return;
  }
}

} // namespace sinter
