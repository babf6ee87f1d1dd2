//===- HttpListener.cpp ---------------------------------------------------===//
#include "runtime/server/HttpListener.h"

#include "runtime/server/Connection.h"
#include "runtime/server/ConnectionThreads.h"

#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <sys/socket.h>

namespace sinter {
namespace {

constexpr std::chrono::milliseconds kFirstTime{10000}, kIdleTime{60000};
constexpr int kBacklog = 512; // httplib's is 5, which makes bursts of clients wait for seconds

/// Unlike httplib's: no second server on the same port.
void reuseAddress(int socket) {
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

/// Why `host` cannot be listened at; `error` is what the sockets said.
std::string reasonOf(const std::string &host, int error) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  if (const int unknown = getaddrinfo(host.c_str(), nullptr, &hints, &found))
    return unknown == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(unknown);
  freeaddrinfo(found);
  return error ? std::strerror(error) : "no address of it can be used";
}

} // namespace

HttpListener::HttpListener(unsigned maxConnections) {
  new_task_queue = [this, maxConnections] {
    return new ConnectionThreads(maxConnections, waiting_);
  };
  set_socket_options(reuseAddress);
}

Result<int> HttpListener::bind(const std::string &host, int port) {
  errno = 0;
  const bool bound = port == 0 ? (port = bind_to_any_port(host)) > 0 : bind_to_port(host, port);
  if (!bound)
    return invalidArgument("cannot listen at " + host +
                           (port > 0 ? ":" + std::to_string(port) : "") + ": " +
                           reasonOf(host, errno));
  ::listen(svr_sock_, kBacklog);
  return port;
}

bool HttpListener::process_and_close_socket(int socket) {
  ++open_;
  {
    Connection connection(socket);
    // An idle client makes room for one that waits, but not before its first request.
    bool first = true;
    const auto giveUp = [&] { return closing_ || (waiting_ > 0 && !first); };
    while (connection.waitForRequest(first ? kFirstTime : kIdleTime, giveUp)) {
      bool closed = false;
      first = false;
      if (!process_request(connection, closing_, closed, nullptr) || closed ||
          !connection.reusable())
        break;
    }
    connection.finish();
  }
  --open_;
  return true;
}

} // namespace sinter
