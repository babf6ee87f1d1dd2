//===- CompletionClient.h - a running server from outside -------*- C++ -*-===//
#pragma once

#include "Load.h"

#include "sinter/Support/Status.h"

#include <condition_variable>
#include <cstdint>
#include <httplib.h>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace sinter {

struct ServerAddress {
  std::string url; ///< http://HOST:PORT
  std::string key; ///< empty: none
};

Result<ServerAddress> parseServerUrl(std::string url);

/// What a server says about itself.
struct ServerInfo {
  std::string model, device, build;
  uint64_t vocab = 0, context = 0;
};

Result<ServerInfo> describeServer(const ServerAddress &server);

/// Steps, their times, preemptions and guesses, as /metrics has them; the rest is zero.
Result<EngineFigures> readFigures(const ServerAddress &server);

/// One streamed completion on a connection of its own.
class CompletionClient {
public:
  explicit CompletionClient(const ServerAddress &server);

  /// Sends `body` at `time` and reads the answer to its end. A server whose queue is full is asked
  /// again after the time that it says.
  Status run(const std::string &body, LoadClock::time_point time);
  /// From any thread: run() ends soon, with an error.
  void stop();

  // Once run() has succeeded.
  /// When text came. A token without any, as half a character, has no time of its own.
  const std::vector<LoadClock::time_point> &times() const { return times_; }
  LoadClock::time_point end() const { return end_; }
  uint64_t tokens() const { return tokens_; }
  uint64_t turnedAway() const { return turnedAway_; }

private:
  /// Seconds after which to ask again; 0: the answer is there.
  Result<int> ask(const std::string &body);
  Status take(std::string_view bytes);
  Status takeEvent(const std::string &data);
  /// False: stopped before.
  bool waitUntil(LoadClock::time_point time);

  std::string url_;
  httplib::Client client_;
  std::string pending_; ///< of an event that is not complete
  std::vector<LoadClock::time_point> times_;
  LoadClock::time_point end_;
  uint64_t tokens_ = 0, turnedAway_ = 0;
  bool done_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopped_ = false; ///< under the mutex
};

} // namespace sinter
