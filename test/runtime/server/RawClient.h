//===- RawClient.h - a socket without manners -------------------*- C++ -*-===//
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

namespace sinter::test {

/// A socket connected to a server, for what no client library would send.
class RawClient {
public:
  explicit RawClient(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(uint16_t(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
    const timeval patience = {5, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~RawClient() { leave(); }
  void send(const std::string &text) {
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t count = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0)
        return;
      sent += size_t(count);
    }
  }
  /// Until `mark` has come or nothing more does.
  std::string receive(const std::string &mark) {
    std::string text;
    char chunk[4096];
    while (text.find(mark) == std::string::npos) {
      const ssize_t got = recv(socket_, chunk, sizeof chunk, 0);
      if (got <= 0)
        break;
      text.append(chunk, size_t(got));
    }
    return text;
  }
  /// Nothing more will be sent.
  void endInput() { shutdown(socket_, SHUT_WR); }
  void leave() {
    if (socket_ >= 0)
      close(socket_);
    socket_ = -1;
  }

private:
  int socket_;
};

} // namespace sinter::test
