//===- FakeService.cpp ----------------------------------------------------===//
#include "test/runtime/server/FakeService.h"

namespace sinter::test {

Result<RequestId> FakeService::submit(Request request, std::shared_ptr<RequestListener> listener) {
  const std::lock_guard lock(mutex_);
  if (!health_)
    return health_;
  if (draining_)
    return unavailable("draining");
  if (running_.size() >= options_.limits.maxRequests)
    return resourceExhausted("the queue is full");
  Running running = {next_++, std::move(request), std::move(listener), {}, {}, 0, false};
  running.script = options_.script(running.request.prompt);
  for (uint32_t i = 0; i < running.request.samples; ++i) {
    Sample &sample = running.samples.emplace_back();
    if (running.request.constraint)
      sample.constraint = running.request.constraint->clone();
  }
  figures_.promptTokens += running.request.prompt.size();
  running_.push_back(std::move(running));
  wake_.notify_all();
  return running_.back().id;
}

void FakeService::cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  for (Running &running : running_)
    if (running.id == id)
      running.cancelled = true;
  wake_.notify_all();
}

void FakeService::drain(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  if (!wake_.wait_until(lock, deadline, [&] { return running_.empty(); })) {
    for (Running &running : running_)
      running.cancelled = true;
    wake_.notify_all();
    wake_.wait(lock, [&] { return running_.empty(); });
  }
}

Status FakeService::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

EngineFigures FakeService::figures() const {
  const std::lock_guard lock(mutex_);
  EngineFigures figures = figures_;
  for (const Running &running : running_)
    figures.pagesUsed += running.samples.size();
  figures.running = figures.pagesUsed;
  return figures;
}

void FakeService::die(const Status &status) {
  const std::lock_guard lock(mutex_);
  health_ = status;
  wake_.notify_all();
}

void FakeService::finish(Running &running, uint32_t sample, FinishReason reason,
                         const Status &status) {
  running.samples[sample].ended = true;
  running.listener->onFinish(sample, reason, status);
}

/// The script's next token, or what the constraint allows instead: the end where it may be.
int32_t FakeService::choose(const Running &running, Sample &sample) const {
  const bool over = sample.at >= running.script.size();
  const int32_t wanted = over ? options_.endToken : running.script[sample.at];
  if (!sample.constraint)
    return wanted;
  std::vector<uint32_t> mask((options_.limits.vocab + 31) / 32);
  if (!sample.constraint->allowed(mask))
    return options_.endToken;
  const auto may = [&](int32_t id) { return mask[size_t(id) / 32] >> (id % 32) & 1; };
  for (const int32_t id : {wanted, options_.endToken, int32_t('}'), int32_t('"'), int32_t('{')})
    if (may(id))
      return id;
  for (int32_t id = 0; id < int32_t(options_.limits.vocab); ++id)
    if (may(id))
      return id;
  return options_.endToken;
}

bool FakeService::step(Running &running) {
  bool all = true;
  for (uint32_t i = 0; i < running.samples.size(); ++i) {
    Sample &sample = running.samples[i];
    if (sample.ended)
      continue;
    if (running.cancelled || !health_) {
      finish(running, i, health_ ? FinishReason::Cancelled : FinishReason::Failed, health_);
      continue;
    }
    all = false;
    const int32_t token = choose(running, sample);
    ++sample.at;
    const auto &stops = running.request.stopIds;
    if ((token == options_.endToken && !running.request.ignoreEos) ||
        std::find(stops.begin(), stops.end(), token) != stops.end()) {
      finish(running, i, FinishReason::Eos);
      continue;
    }
    if (sample.constraint)
      sample.constraint->accept(token);
    ++sample.made;
    ++running.made;
    ++figures_.generatedTokens;
    const TokenLogprob likely[] = {{token, -0.5f}, {token + 1, -1.5f}};
    const size_t count = size_t(std::clamp(running.request.logprobs, 0, 2));
    if (!running.listener->onToken({i, token, -0.5f, {likely, count}}))
      finish(running, i, FinishReason::Stopped);
    else if (sample.made >= running.request.maxTokens)
      finish(running, i, FinishReason::Length);
  }
  return all;
}

void FakeService::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] {
      bool cancelled = false;
      for (const Running &running : running_)
        cancelled = cancelled || running.cancelled;
      return ended_ || (!running_.empty() && (!paused_ || cancelled || !health_));
    });
    if (ended_)
      return;
    for (auto running = running_.begin(); running != running_.end();) {
      if (paused_ && !running->cancelled && health_) {
        ++running;
        continue;
      }
      if (!step(*running)) {
        ++running;
        continue;
      }
      running->listener->onDone({running->request.prompt.size(), 0, running->made});
      ++figures_.finished;
      running = running_.erase(running);
    }
    ++figures_.steps;
    wake_.notify_all();
    if (options_.stepTime.count() > 0) {
      lock.unlock();
      std::this_thread::sleep_for(options_.stepTime);
      lock.lock();
    }
  }
}

} // namespace sinter::test
