//===- Server.h - from loading to the last answer ---------------*- C++ -*-===//
#pragma once

#include "runtime/server/Api.h"

#include <chrono>
#include <csignal>
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

  /// Waits for one of `signals`, which every thread blocks, and drains: ok. Where the engine dies
  /// before, clients get a moment to hear of it: its error. The process should end then, and does
  /// within 5 s whatever hangs.
  Status run(const sigset_t &signals, std::chrono::milliseconds patience);

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
