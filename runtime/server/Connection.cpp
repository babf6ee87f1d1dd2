//===- Connection.cpp -----------------------------------------------------===//
#include "runtime/server/Connection.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sinter {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxHeadBytes = 64 << 10;
constexpr milliseconds kHeadTime{10000};
constexpr milliseconds kWriteTime{30000};
constexpr milliseconds kLingerTime{1000};
constexpr size_t kLingerBytes = 16 << 20;

thread_local Connection *currentConnection = nullptr;

int pollFor(pollfd *descriptors, size_t count, milliseconds patience) {
  int ready = 0;
  do
    ready = poll(descriptors, count, int(std::max<int64_t>(patience.count(), 0)));
  while (ready < 0 && errno == EINTR);
  return ready;
}

milliseconds until(std::chrono::steady_clock::time_point deadline) {
  return std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
}

using NameOf = int (*)(int, sockaddr *, socklen_t *);

void addressOf(int socket, NameOf nameOf, std::string &ip, int &port) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST] = {}, service[NI_MAXSERV] = {};
  auto *generic = reinterpret_cast<sockaddr *>(&address);
  if (nameOf(socket, generic, &size) != 0 ||
      getnameinfo(generic, size, host, sizeof host, service, sizeof service,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return;
  ip = host;
  std::from_chars(service, service + std::strlen(service), port);
}

} // namespace

Connection::Connection(int socket) : socket_(socket) {
  const int on = 1; // an event of a stream is small and must not wait for the next one
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  currentConnection = this;
}

Connection::~Connection() {
  currentConnection = nullptr;
  ::close(socket_);
}

Connection &Connection::current() { return *currentConnection; }

void Connection::beginRequest() {
  buffer_.erase(0, at_);
  at_ = 0;
  inHead_ = true;
  headBytes_ = 0;
  head_.clear();
  clean_ = false;
  deadline_ = Clock::now() + kHeadTime;
  record = RequestRecord();
}

void Connection::headDone(bool hasBody, milliseconds bodyTime) {
  inHead_ = false;
  clean_ = !hasBody;
  // A client that sends head and body apart may wait for us to acknowledge the head, 40 ms.
  const int on = 1;
  if (hasBody)
    setsockopt(socket_, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
  deadline_ = Clock::now() + bodyTime;
}

bool Connection::hasInput(milliseconds patience) {
  if (at_ < buffer_.size())
    return true;
  return fill(Clock::now() + patience);
}

/// Reads what there is, waiting for the first byte only.
bool Connection::fill(Clock::time_point deadline) {
  if (inputEnded_)
    return false;
  pollfd descriptor = {socket_, POLLIN, 0};
  if (pollFor(&descriptor, 1, until(deadline)) <= 0)
    return false;
  char chunk[16384];
  const ssize_t got = recv(socket_, chunk, sizeof chunk, 0);
  if (got <= 0) {
    inputEnded_ = true;
    return false;
  }
  buffer_.erase(0, at_);
  at_ = 0;
  buffer_.append(chunk, size_t(got));
  return true;
}

ssize_t Connection::read(char *out, size_t size) {
  if (at_ == buffer_.size() && !fill(deadline_))
    return -1;
  const size_t count = std::min(size, buffer_.size() - at_);
  headBytes_ += inHead_ ? count : 0;
  if (headBytes_ > kMaxHeadBytes) {
    inputEnded_ = true;
    return -1;
  }
  std::copy_n(buffer_.data() + at_, count, out);
  if (inHead_)
    head_.append(out, count);
  at_ += count;
  return ssize_t(count);
}

ssize_t Connection::write(const char *data, size_t size) {
  if (broken_)
    return -1;
  const auto deadline = Clock::now() + kWriteTime;
  size_t sent = 0;
  while (sent < size) {
    const ssize_t count = send(socket_, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) {
      sent += size_t(count);
      continue;
    }
    if (count < 0 && errno == EINTR)
      continue;
    pollfd descriptor = {socket_, POLLOUT, 0};
    const bool full = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (!full || pollFor(&descriptor, 1, until(deadline)) <= 0) {
      broken_ = true;
      return -1;
    }
  }
  return ssize_t(size);
}

bool Connection::is_readable() const {
  pollfd descriptor = {socket_, POLLIN, 0};
  return at_ < buffer_.size() || pollFor(&descriptor, 1, milliseconds(0)) > 0;
}

bool Connection::is_writable() const { return true; } // write() waits and finds out

Connection::Wait Connection::waitFor(int descriptor, milliseconds patience) {
  pollfd both[] = {{descriptor, POLLIN, 0}, {socket_, POLLRDHUP, 0}};
  if (pollFor(both, 2, patience) <= 0)
    return Wait::Timeout;
  if (both[1].revents != 0) {
    record.clientLeft = true;
    broken_ = true;
    return Wait::ClientLeft;
  }
  return Wait::Ready;
}

/// Closing a socket with unread input resets it, and a reset can overtake the answer.
void Connection::finish() {
  if (clean_ || broken_)
    return;
  shutdown(socket_, SHUT_WR);
  const auto deadline = Clock::now() + kLingerTime;
  char chunk[16384];
  for (size_t total = 0; total < kLingerBytes;) {
    pollfd descriptor = {socket_, POLLIN, 0};
    if (pollFor(&descriptor, 1, until(deadline)) <= 0)
      return;
    const ssize_t got = recv(socket_, chunk, sizeof chunk, 0);
    if (got <= 0)
      return;
    total += size_t(got);
  }
}

void Connection::get_remote_ip_and_port(std::string &ip, int &port) const {
  addressOf(socket_, getpeername, ip, port);
}

void Connection::get_local_ip_and_port(std::string &ip, int &port) const {
  addressOf(socket_, getsockname, ip, port);
}

} // namespace sinter
