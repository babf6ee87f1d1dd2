//===- Connection.h - a client's socket -------------------------*- C++ -*-===//
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <httplib.h>
#include <string>

namespace sinter {

/// What is known about the request that a connection is at, for its log line.
struct RequestRecord {
  std::string method, path;
  uint64_t promptTokens = 0, completionTokens = 0;
  bool clientLeft = false;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
};

/// Reads with a buffer, a deadline for the whole request and a limit for its head, so that slow or
/// endless clients cost little; sees when the client leaves.
class Connection : public httplib::Stream {
public:
  /// Takes the socket over.
  explicit Connection(int socket);
  ~Connection() override;

  /// Waits for the first byte of a request. False: the client has left, `idle` has passed, or
  /// `giveUp`, asked every now and then, says so.
  template <typename GiveUp> bool waitForRequest(std::chrono::milliseconds idle, GiveUp giveUp) {
    const auto end = std::chrono::steady_clock::now() + idle;
    while (!hasInput(kPatience))
      if (inputEnded_ || giveUp() || std::chrono::steady_clock::now() > end)
        return false;
    beginRequest();
    return true;
  }

  /// The request's head has been read; its body may take `bodyTime`.
  void headDone(bool hasBody, std::chrono::milliseconds bodyTime);
  /// The request's head as it came; httplib's copy is decoded and leaves out what it cannot read.
  const std::string &head() const { return head_; }
  /// The request's body has been read: what follows is another request.
  void bodyDone() { clean_ = true; }
  /// Whether another request can follow.
  bool reusable() const { return clean_ && !broken_ && !inputEnded_; }

  enum class Wait { Ready, ClientLeft, Timeout };
  /// Waits until `descriptor` is readable.
  Wait waitFor(int descriptor, std::chrono::milliseconds patience);

  /// Ends the connection so that the client still gets what was written.
  void finish();

  RequestRecord record;

  /// The connection whose request this thread handles.
  static Connection &current();

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char *out, size_t size) override;
  ssize_t write(const char *data, size_t size) override;
  void get_remote_ip_and_port(std::string &ip, int &port) const override;
  void get_local_ip_and_port(std::string &ip, int &port) const override;
  int socket() const override { return socket_; }

private:
  using Clock = std::chrono::steady_clock;

  void beginRequest();
  bool hasInput(std::chrono::milliseconds patience);
  bool fill(Clock::time_point deadline);

  static constexpr std::chrono::milliseconds kPatience{50};

  int socket_;
  std::string buffer_;
  size_t at_ = 0; ///< first byte of the buffer that was not read
  bool inHead_ = true;
  std::string head_;
  size_t headBytes_ = 0;
  Clock::time_point deadline_;
  bool clean_ = false; ///< the whole request was read
  bool inputEnded_ = false;
  bool broken_ = false; ///< nothing more can be written
};

} // namespace sinter
