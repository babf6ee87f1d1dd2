//===- Server.cpp ---------------------------------------------------------===//
#include "runtime/server/Server.h"

#include <unistd.h>

namespace sinter {
namespace {

constexpr long kWatchNanoseconds = 100'000'000; ///< how often the engine's health is looked at
constexpr std::chrono::milliseconds kLastWords{1500}; ///< for clients to hear that it is dead
constexpr unsigned kDeadline = 4; ///< seconds after which a dead server ends, like a hung driver's

} // namespace

Server::Server(ServerOptions options)
    : options_(std::move(options)), api_(options_.api), listener_(options_.maxConnections) {
  api_.install(listener_);
}

Server::~Server() { stop(); }

Status Server::start() {
  SINTER_ASSIGN_OR_RETURN(port_, listener_.bind(options_.host, options_.port));
  thread_ = std::thread([this] { listener_.serve(); });
  while (!listener_.is_running())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return Status::ok();
}

void Server::serve(std::shared_ptr<const ServedModel> model) {
  model_ = model;
  api_.serve(std::move(model));
}

Status Server::health() const { return model_ ? model_->service->health() : Status::ok(); }

Status Server::run(const sigset_t &signals, std::chrono::milliseconds patience) {
  const timespec watch = {0, kWatchNanoseconds};
  while (sigtimedwait(&signals, nullptr, &watch) < 0)
    if (const Status dead = health(); !dead) {
      alarm(kDeadline);
      std::this_thread::sleep_for(kLastWords);
      return dead;
    }
  if (options_.api.log)
    options_.api.log("shutting down: what runs is finished first; a second signal ends at once");
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr); // their default is to end the process
  drain(patience);
  return Status::ok();
}

void Server::drain(std::chrono::milliseconds patience) {
  api_.refuse("the server is shutting down");
  if (model_)
    model_->service->drain(std::chrono::steady_clock::now() + patience);
  stop();
}

void Server::stop() {
  if (!thread_.joinable())
    return;
  api_.refuse("the server is shutting down");
  listener_.closeSoon();
  listener_.stop();
  thread_.join();
}

} // namespace sinter
