//===- HttpListener.h - connections to requests -----------------*- C++ -*-===//
//
// cpp-httplib reads and writes HTTP; connections, their threads and their limits are ours.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/Status.h"

#include <atomic>
#include <cstdint>
#include <httplib.h>
#include <string>

namespace sinter {

class HttpListener : public httplib::Server {
public:
  /// At most so many connections are served at once; more wait.
  explicit HttpListener(unsigned maxConnections);

  /// Port 0: any. The value is the port.
  Result<int> bind(const std::string &host, int port);
  /// Serves until closeSoon() and stop(). For a thread of its own.
  void serve() { listen_after_bind(); }

  /// No connection takes another request.
  void closeSoon() { closing_ = true; }

  uint64_t connections() const { return open_; }

private:
  bool process_and_close_socket(int socket) override;

  std::atomic<bool> closing_{false};
  std::atomic<uint64_t> open_{0};
  std::atomic<uint64_t> waiting_{0}; ///< connections that have no thread yet
};

} // namespace sinter
