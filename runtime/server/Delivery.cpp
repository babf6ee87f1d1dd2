//===- Delivery.cpp -------------------------------------------------------===//
#include "runtime/server/Delivery.h"

#include <algorithm>
#include <iterator>

namespace sinter {
namespace {

constexpr const char *kJson = "application/json";
constexpr std::chrono::milliseconds kPatience{1000};

void collect(CollectedSample &sample, AnswerEvent event) {
  sample.parts.reasoning += event.delta.parts.reasoning;
  sample.parts.content += event.delta.parts.content;
  for (ToolCallPart &part : event.delta.parts.toolCalls)
    if (part.begins)
      sample.parts.toolCalls.push_back(std::move(part));
    else
      sample.parts.toolCalls.back().arguments += part.arguments;
  std::move(event.delta.tokens.begin(), event.delta.tokens.end(),
            std::back_inserter(sample.tokens));
  if (event.finish != FinishReason::None)
    sample.finish = finishName(event);
}

/// What a client hears of a sample that did not come to its end.
std::optional<ApiError> errorOf(const AnswerEvent &event) {
  if (event.finish == FinishReason::Cancelled)
    return ApiError{503, "the server is shutting down", {}, "unavailable"};
  if (event.finish == FinishReason::Failed)
    return ApiError{500, event.status.message(), {}, "generation_failed"};
  return std::nullopt;
}

std::string sse(const std::string &data) { return "data: " + data + "\n\n"; }

} // namespace

Delivery::~Delivery() {
  if (!done_)
    model_->service->cancel(request_);
}

std::optional<Answer::News> Delivery::wait() {
  using Wait = Connection::Wait;
  Wait outcome = Wait::Timeout;
  while (outcome == Wait::Timeout)
    outcome = Connection::current().waitFor(answer_->descriptor(), kPatience);
  if (outcome == Wait::ClientLeft) {
    model_->service->cancel(request_);
    return std::nullopt;
  }
  Answer::News news = answer_->take();
  done_ = news.done;
  if (done_) {
    Connection::current().record.promptTokens = news.usage.promptTokens;
    Connection::current().record.completionTokens = news.usage.completionTokens;
  }
  return news;
}

void Delivery::whole(httplib::Response &response) {
  std::vector<CollectedSample> samples(samples_);
  std::optional<ApiError> error;
  Usage usage;
  while (!done_) {
    auto news = wait();
    if (!news) {
      response.status = 499; // nobody reads it; the log line shows it
      return;
    }
    for (AnswerEvent &event : news->events) {
      if (!error)
        error = errorOf(event);
      CollectedSample &sample = samples[event.sample];
      collect(sample, std::move(event));
    }
    usage = news->usage;
  }
  response.status = error ? error->status : 200;
  response.set_content(error ? error->body() : format_->whole(samples, usage), kJson);
}

bool Delivery::stream(httplib::DataSink &sink, bool includeUsage) {
  auto news = wait();
  if (!news)
    return false;
  std::string text;
  std::optional<ApiError> error;
  for (AnswerEvent &event : news->events) {
    error = errorOf(event);
    if (error)
      break;
    for (const std::string &chunk : format_->chunks(std::move(event), includeUsage))
      text += sse(chunk);
  }
  const bool ends = error || news->done;
  if (error)
    text += sse(error->body());
  else if (ends && includeUsage)
    text += sse(format_->usageChunk(news->usage));
  if (ends && !error)
    text += sse("[DONE]");
  if (!text.empty() && !sink.write(text.data(), text.size())) {
    Connection::current().record.clientLeft = true;
    return false;
  }
  if (ends)
    sink.done();
  return true;
}

} // namespace sinter
