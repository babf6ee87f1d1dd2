//===- Server.cpp ---------------------------------------------------------===//
#include "runtime/server/Server.h"

namespace sinter {

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
