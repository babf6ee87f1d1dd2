//===- HttpThroughput.cpp -------------------------------------------------===//
#include "HttpThroughput.h"

#include "CompletionClient.h"
#include "Load.h"
#include "LoadReport.h"

#include "runtime/cli/KeyFile.h"
#include "sinter/Support/Json.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <deque>
#include <mutex>
#include <random>
#include <system_error>
#include <thread>

namespace sinter {
namespace {

constexpr std::chrono::milliseconds kStartTime{200}; ///< for all threads to be there

/// Every run begins with an empty prefix cache, although the prompts are those of the last one.
std::string freshSalt() {
  std::random_device random;
  return "sinter-bench " + std::to_string(random()) + " " + std::to_string(random());
}

std::string makeBody(const BenchOptions &options, const ServerInfo &server,
                     const LoadLengths &lengths, uint32_t index, const std::string &salt) {
  const nlohmann::ordered_json body = {
      {"model", server.model},
      {"prompt", makeLoadPrompt(options, server.vocab, lengths.prompt, index)},
      {"max_tokens", lengths.tokens},
      {"ignore_eos", true},
      {"temperature", options.temperature},
      {"top_k", options.topK},
      {"top_p", options.topP},
      {"repetition_penalty", options.repetitionPenalty},
      {"seed", index},
      {"cache_salt", salt},
      {"stream", true},
      {"stream_options", {{"include_usage", true}}}};
  return body.dump();
}

/// Clients that end together where one of them fails.
class Fleet {
public:
  Fleet(const ServerAddress &server, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i)
      clients_.emplace_back(server);
  }

  /// Client i sends bodies[i] at times[i]. The error of the first that failed.
  Status run(const std::vector<std::string> &bodies,
             const std::vector<LoadClock::time_point> &times) {
    std::vector<std::thread> threads;
    try {
      for (size_t i = 0; i < clients_.size(); ++i)
        threads.emplace_back([&, i] {
          if (const Status status = clients_[i].run(bodies[i], times[i]); !status)
            fail(status);
        });
    } catch (const std::system_error &error) {
      fail(resourceExhausted("a thread for each of " + std::to_string(clients_.size()) +
                             " requests: " + error.code().message()));
    }
    for (std::thread &thread : threads)
      thread.join();
    return failure_;
  }

  const CompletionClient &operator[](size_t i) const { return clients_[i]; }

private:
  void fail(const Status &status) {
    const std::lock_guard lock(mutex_);
    if (!failure_)
      return;
    failure_ = status;
    for (CompletionClient &client : clients_)
      client.stop();
  }

  std::deque<CompletionClient> clients_; ///< they do not move
  std::mutex mutex_;
  Status failure_; ///< under the mutex
};

/// What an engine counted between two pictures of it.
EngineFigures between(const EngineFigures &before, EngineFigures after) {
  after.steps -= before.steps;
  after.stepSeconds -= before.stepSeconds;
  after.hostSeconds -= before.hostSeconds;
  after.preemptions -= before.preemptions;
  after.guessedTokens -= before.guessedTokens;
  after.acceptedGuesses -= before.acceptedGuesses;
  return after;
}

Result<LoadOutcome> runOnce(const BenchOptions &options, const ServerAddress &address,
                            const ServerInfo &server, uint32_t count, double rate) {
  LoadOutcome outcome;
  outcome.name = "throughput-http/" + shortName(server.model) + "/n" + std::to_string(count) +
                 lengthSuffix(options) + drawSuffix(options);
  outcome.rate = rate;
  const std::vector<LoadLengths> lengths = drawLengths(options, count);
  const std::vector<double> arrivals = drawArrivals(options, rate, count);
  const std::string salt = freshSalt();
  std::vector<std::string> bodies;
  for (uint32_t i = 0; i < count; ++i) {
    bodies.push_back(makeBody(options, server, lengths[i], i, salt));
    outcome.promptTokens += lengths[i].prompt;
  }
  SINTER_ASSIGN_OR_RETURN(const EngineFigures before, readFigures(address));
  Fleet fleet(address, count);
  const auto start = LoadClock::now() + kStartTime;
  std::vector<LoadClock::time_point> times;
  for (const double arrival : arrivals)
    times.push_back(start + toClock(arrival));
  SINTER_RETURN_IF_ERROR(fleet.run(bodies, times));
  SINTER_ASSIGN_OR_RETURN(const EngineFigures after, readFigures(address));
  outcome.figures = between(before, after);
  auto end = start;
  for (uint32_t i = 0; i < count; ++i) {
    outcome.tokens += fleet[i].tokens();
    outcome.turnedAway += fleet[i].turnedAway();
    addTimes(fleet[i].times(), times[i], outcome);
    end = std::max(end, fleet[i].end());
  }
  outcome.seconds = std::chrono::duration<double>(end - start).count();
  return outcome;
}

} // namespace

Result<int> benchThroughputOverHttp(const BenchOptions &options) {
  std::signal(SIGPIPE, SIG_IGN); // a server that leaves is an error of the socket
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(checkRecords(options.json));
  SINTER_ASSIGN_OR_RETURN(ServerAddress address, parseServerUrl(options.server));
  if (!options.apiKeyFile.empty()) {
    SINTER_ASSIGN_OR_RETURN(address.key, readKeyFile(options.apiKeyFile));
  }
  SINTER_ASSIGN_OR_RETURN(const ServerInfo server, describeServer(address));
  const uint32_t most = *std::max_element(options.sequences.begin(), options.sequences.end());
  if (const uint64_t longest = longestOf(drawLengths(options, most)); longest > server.context)
    return invalidArgument(std::to_string(longest) + " positions are more than the server's " +
                           std::to_string(server.context) +
                           ": shorten --prompt-length or --max-length");
  std::printf("%s: %s, at %s\n", server.model.c_str(), server.device.c_str(), address.url.c_str());
  SINTER_RETURN_IF_ERROR(
      measureLoads(options, {server.device, server.build}, [&](uint32_t count, double rate) {
        return runOnce(options, address, server, count, rate);
      }));
  return 0;
}

} // namespace sinter
