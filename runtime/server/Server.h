//===- Server.h - from loading to the last answer ---------------*- C++ -*-===//
#pragma once

#include "runtime/server/Api.h"

#include <chrono>
#include <memory>
#include <string>
#include <thread>

namespace sinter {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000; ///< 0: any
  unsigned maxConnections = 256;
  ApiOptions api;
};

/// Listens at once, answers 503 until there is a model, and then serves it.
class Server {
public:
  explicit Server(ServerOptions options);
  ~Server();

  /// InvalidArgument: the address cannot be used.
  Status start();
  int port() const { return port_; }

  void serve(std::shared_ptr<const ServedModel> model);
  /// What killed the engine; ok while it lives or there is none.
  Status health() const;

  /// Takes no more requests, gives those it has until the deadline, then ends.
  void drain(std::chrono::milliseconds patience);
  /// Ends soon, whatever runs: the engine is dead and answers are errors already.
  void stop();

private:
  ServerOptions options_;
  Api api_;
  HttpListener listener_;
  std::thread thread_;
  std::shared_ptr<const ServedModel> model_;
  int port_ = 0;
};

} // namespace sinter
