//===- ConnectionThreads.h - a thread for every connection ------*- C++ -*-===//
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <httplib.h>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace sinter {

/// Starts threads as connections need them, up to a limit. `waiting` counts connections without.
class ConnectionThreads : public httplib::TaskQueue {
public:
  ConnectionThreads(unsigned limit, std::atomic<uint64_t> &waiting)
      : limit_(limit), waiting_(waiting) {}

  void enqueue(std::function<void()> task) override {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    ++waiting_;
    if (idle_ >= tasks_.size() || threads_.size() >= limit_)
      more_.notify_one();
    else
      startThread();
  }

  void shutdown() override {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    more_.notify_all();
    for (std::thread &thread : threads_)
      thread.join();
  }

private:
  void startThread() {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error &) {
      // The system has no more: the connection waits for a thread that is there, or for the next
      // connection to try again.
      more_.notify_one();
    }
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      more_.wait(lock, [&] { return ended_ || !tasks_.empty(); });
      --idle_;
      if (tasks_.empty())
        return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      --waiting_;
      lock.unlock();
      task();
      lock.lock();
    }
  }

  unsigned limit_;
  std::atomic<uint64_t> &waiting_;
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<std::function<void()>> tasks_;
  size_t idle_ = 0;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

} // namespace sinter
