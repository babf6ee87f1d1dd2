//===- CompletionClient.cpp -----------------------------------------------===//
#include "CompletionClient.h"

#include "sinter/Support/Json.h"

#include <algorithm>
#include <map>
#include <sstream>

namespace sinter {
namespace {

constexpr std::chrono::seconds kConnectTime{10}, kAnswerTime{60};
constexpr std::chrono::hours kQueueTime{1}; ///< until a waiting request's first token
constexpr const char *kModels = "/v1/models", *kMetrics = "/metrics";
constexpr const char *kCompletions = "/v1/completions";

httplib::Client connectTo(const ServerAddress &server, std::chrono::seconds patience) {
  httplib::Client client(server.url);
  client.set_connection_timeout(kConnectTime);
  client.set_read_timeout(patience);
  client.set_tcp_nodelay(true); // head and body are written apart
  if (!server.key.empty())
    client.set_default_headers({{"Authorization", "Bearer " + server.key}});
  return client;
}

/// What a connection came to that brought no answer.
Status noAnswer(const std::string &url, httplib::Error error) {
  const bool connected =
      error != httplib::Error::Connection && error != httplib::Error::ConnectionTimeout;
  return unavailable(url + (connected ? ": the connection broke off" : ": cannot connect"));
}

/// `body`: OpenAI's error object, or anything else that is not shown.
Status badStatus(const std::string &url, const char *path, int status, const std::string &body) {
  std::string why;
  if (const auto json = parseJson(body, path); json && json->is_object())
    if (const auto error = json->find("error"); error != json->end() && error->is_object())
      if (const auto message = getString(*error, "message", path, ""))
        why = ": " + *message;
  return unavailable(url + path + ": status " + std::to_string(status) + why);
}

Result<std::string> get(const ServerAddress &server, const char *path) {
  httplib::Client client = connectTo(server, kAnswerTime);
  const httplib::Result answer = client.Get(path);
  if (!answer)
    return noAnswer(server.url, answer.error());
  if (answer->status != 200)
    return badStatus(server.url, path, answer->status, answer->body);
  return answer->body;
}

} // namespace

Result<ServerAddress> parseServerUrl(std::string url) {
  constexpr std::string_view kScheme = "http://";
  while (url.size() > kScheme.size() && url.back() == '/')
    url.pop_back();
  if (url.compare(0, kScheme.size(), kScheme) != 0 || url.size() == kScheme.size() ||
      url.find('/', kScheme.size()) != std::string::npos)
    return invalidArgument("--server " + url + ": expected http://HOST:PORT");
  return ServerAddress{url, {}};
}

Result<ServerInfo> describeServer(const ServerAddress &server) {
  SINTER_ASSIGN_OR_RETURN(const std::string text, get(server, kModels));
  const std::string where = server.url + kModels;
  SINTER_ASSIGN_OR_RETURN(const nlohmann::json root, parseJson(text, where));
  const auto data = root.is_object() ? root.find("data") : root.end();
  if (data == root.end() || !data->is_array() || data->empty())
    return invalidInput(where + ": lists no model");
  const nlohmann::json &model = data->front();
  ServerInfo info;
  SINTER_ASSIGN_OR_RETURN(info.model, getString(model, "id", where));
  SINTER_ASSIGN_OR_RETURN(info.device, getString(model, "device", where));
  SINTER_ASSIGN_OR_RETURN(info.build, getString(model, "compiler_build", where));
  SINTER_ASSIGN_OR_RETURN(info.vocab, getInt(model, "vocab_size", where, {}, kPositive));
  SINTER_ASSIGN_OR_RETURN(info.context, getInt(model, "max_model_len", where, {}, kPositive));
  return info;
}

Result<EngineFigures> readFigures(const ServerAddress &server) {
  SINTER_ASSIGN_OR_RETURN(const std::string text, get(server, kMetrics));
  std::map<std::string, double> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (const size_t space = line.find(' '); space != std::string::npos && line[0] != '#')
      values[line.substr(0, space)] = std::strtod(line.c_str() + space, nullptr);
  EngineFigures figures;
  figures.steps = uint64_t(values["sinter_steps_total"]);
  figures.stepSeconds = values["sinter_step_seconds_total"];
  figures.hostSeconds = values["sinter_host_seconds_total"];
  figures.preemptions = uint64_t(values["sinter_preemptions_total"]);
  figures.guessedTokens = uint64_t(values["sinter_guessed_tokens_total"]);
  figures.acceptedGuesses = uint64_t(values["sinter_accepted_guesses_total"]);
  return figures;
}

CompletionClient::CompletionClient(const ServerAddress &server)
    : url_(server.url), client_(connectTo(server, kQueueTime)) {}

Status CompletionClient::run(const std::string &body, LoadClock::time_point time) {
  while (waitUntil(time)) {
    SINTER_ASSIGN_OR_RETURN(const int again, ask(body));
    if (again == 0)
      return Status::ok();
    ++turnedAway_;
    time = LoadClock::now() + std::chrono::seconds(again);
  }
  return unavailable(url_ + ": stopped, as another request failed");
}

void CompletionClient::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  wake_.notify_all();
  client_.stop();
}

bool CompletionClient::waitUntil(LoadClock::time_point time) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_until(lock, time, [&] { return stopped_; });
}

Result<int> CompletionClient::ask(const std::string &body) {
  constexpr int kOk = 200, kQueueFull = 429, kMostSeconds = 60;
  int status = 0, again = 1;
  std::string errorBody;
  Status failed;
  httplib::Request request;
  request.method = "POST";
  request.path = kCompletions;
  request.headers = {{"Content-Type", "application/json"}};
  request.body = body;
  request.response_handler = [&](const httplib::Response &response) {
    status = response.status;
    if (response.has_header("Retry-After"))
      again = std::atoi(response.get_header_value("Retry-After").c_str());
    return true;
  };
  request.content_receiver = [&](const char *data, size_t size, uint64_t, uint64_t) {
    if (status != kOk)
      errorBody.append(data, size);
    else
      failed = take({data, size});
    return bool(failed);
  };
  const httplib::Result answer = client_.send(request);
  SINTER_RETURN_IF_ERROR(failed);
  if (!answer)
    return noAnswer(url_, answer.error());
  if (status == kQueueFull)
    return std::clamp(again, 1, kMostSeconds);
  if (status != kOk)
    return badStatus(url_, kCompletions, status, errorBody);
  if (!done_)
    return unavailable(url_ + kCompletions + ": the answer ended early");
  end_ = LoadClock::now();
  return 0;
}

Status CompletionClient::take(std::string_view bytes) {
  constexpr std::string_view kData = "data: ", kEnd = "\n\n";
  pending_ += bytes;
  size_t begin = 0;
  for (size_t end; (end = pending_.find(kEnd, begin)) != std::string::npos;
       begin = end + kEnd.size())
    if (pending_.compare(begin, kData.size(), kData) == 0) {
      begin += kData.size();
      SINTER_RETURN_IF_ERROR(takeEvent(pending_.substr(begin, end - begin)));
    }
  pending_.erase(0, begin);
  return Status::ok();
}

Status CompletionClient::takeEvent(const std::string &data) {
  if (data == "[DONE]") {
    done_ = true;
    return Status::ok();
  }
  const std::string where = url_ + kCompletions;
  SINTER_ASSIGN_OR_RETURN(const nlohmann::json event, parseJson(data, where));
  if (hasValue(event, "error")) {
    SINTER_ASSIGN_OR_RETURN(const std::string why, getString(event["error"], "message", where));
    return unavailable(where + ": " + why);
  }
  if (hasValue(event, "usage")) {
    SINTER_ASSIGN_OR_RETURN(tokens_,
                            getInt(event["usage"], "completion_tokens", where, {}, kNonNegative));
  }
  const auto choices = event.find("choices");
  if (choices == event.end() || !choices->is_array() || choices->empty())
    return Status::ok();
  SINTER_ASSIGN_OR_RETURN(const std::string text, getString(choices->front(), "text", where));
  if (!text.empty())
    times_.push_back(LoadClock::now());
  return Status::ok();
}

} // namespace sinter
