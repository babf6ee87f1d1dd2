//===- AnswerFormat.cpp ---------------------------------------------------===//
#include "runtime/server/AnswerFormat.h"

#include <cstdio>
#include <ctime>
#include <random>
#include <utility>

namespace sinter {
namespace {

/// Letters and digits that no other answer has.
std::string freshId(const char *prefix) {
  thread_local std::mt19937_64 random{std::random_device{}()};
  char text[40];
  std::snprintf(text, sizeof text, "%016llx%08llx", static_cast<unsigned long long>(random()),
                static_cast<unsigned long long>(random() >> 32));
  return prefix + std::string(text);
}

/// Text may hold bytes of half a character where single tokens are shown.
std::string dump(const OrderedJson &value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

/// A call that begins, or is whole.
OrderedJson callObject(const ToolCallPart &call) {
  return {{"id", freshId("call_")},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

OrderedJson bytesOf(const std::string &text) {
  OrderedJson bytes = OrderedJson::array();
  for (const char c : text)
    bytes.push_back(uint8_t(c));
  return bytes;
}

} // namespace

std::string finishName(const AnswerEvent &event) {
  switch (event.finish) {
  case FinishReason::None:
    return {};
  case FinishReason::Length:
    return "length";
  case FinishReason::Eos:
  case FinishReason::Stopped:
    return event.cutCall ? "length" : event.calledTools ? "tool_calls" : "stop";
  case FinishReason::Cancelled:
  case FinishReason::Failed:
    break;
  }
  return "cancelled";
}

OrderedJson usageObject(const Usage &usage) {
  return {{"prompt_tokens", usage.promptTokens},
          {"completion_tokens", usage.completionTokens},
          {"total_tokens", usage.promptTokens + usage.completionTokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cachedTokens}}}};
}

AnswerFormat::AnswerFormat(const ServedModel &model, const char *idPrefix, bool logprobs)
    : model_(model), id_(freshId(idPrefix)), created_(std::time(nullptr)), logprobs_(logprobs) {}

std::string AnswerFormat::textOf(int32_t token) const {
  return std::string(model_.tokenizer.tokenBytes(token));
}

OrderedJson AnswerFormat::envelope(bool streamed) const {
  return {{"id", id_},
          {"object", objectName(streamed)},
          {"created", created_},
          {"model", model_.defaults.model},
          {"choices", OrderedJson::array()}};
}

std::string AnswerFormat::whole(const std::vector<CollectedSample> &samples,
                                const Usage &usage) const {
  OrderedJson object = envelope(false);
  for (size_t i = 0; i < samples.size(); ++i) {
    OrderedJson choice = {{"index", i}};
    choice.update(wholeChoice(samples[i]));
    choice["finish_reason"] = samples[i].finish;
    object["choices"].push_back(std::move(choice));
  }
  object["usage"] = usageObject(usage);
  return dump(object);
}

std::string AnswerFormat::chunk(const AnswerEvent &event, bool withUsage) {
  if (chunkHead_.empty()) {
    chunkHead_ = dump(envelope(true));
    chunkHead_.resize(chunkHead_.size() - std::string_view("]}").size());
  }
  const std::string finish = finishName(event);
  OrderedJson choice = {{"index", event.sample}};
  choice.update(deltaChoice(event));
  choice["finish_reason"] = finish.empty() ? OrderedJson(nullptr) : OrderedJson(finish);
  return chunkHead_ + dump(choice) + (withUsage ? R"(],"usage":null})" : "]}");
}

std::vector<std::string> AnswerFormat::chunks(AnswerEvent event, bool withUsage) {
  const FinishReason finish = std::exchange(event.finish, FinishReason::None);
  const std::vector<ToolCallPart> calls = std::exchange(event.delta.parts.toolCalls, {});
  std::vector<std::string> out;
  const auto send = [&] {
    out.push_back(chunk(event, withUsage));
    event.delta = {};
  };
  for (const ToolCallPart &call : calls) {
    event.delta.parts.toolCalls = {call};
    if (&call != &calls.back())
      send();
  }
  event.finish = finish;
  if (!finishName(event).empty() || !event.delta.parts.empty() || !event.delta.tokens.empty())
    send();
  return out;
}

std::string AnswerFormat::usageChunk(const Usage &usage) const {
  OrderedJson object = envelope(true);
  object["usage"] = usageObject(usage);
  return dump(object);
}

const char *ChatFormat::objectName(bool streamed) const {
  return streamed ? "chat.completion.chunk" : "chat.completion";
}

OrderedJson ChatFormat::logprobsOf(const std::vector<TokenDetail> &tokens) const {
  OrderedJson content = OrderedJson::array();
  const auto entry = [&](int32_t token, float logprob) {
    const std::string text = textOf(token);
    return OrderedJson{{"token", text}, {"logprob", logprob}, {"bytes", bytesOf(text)}};
  };
  for (const TokenDetail &detail : tokens) {
    OrderedJson one = entry(detail.token, detail.logprob);
    one["top_logprobs"] = OrderedJson::array();
    for (const TokenLogprob &likely : detail.likely)
      one["top_logprobs"].push_back(entry(likely.token, likely.logprob));
    content.push_back(std::move(one));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

OrderedJson ChatFormat::wholeChoice(const CollectedSample &sample) const {
  const AnswerParts &parts = sample.parts;
  OrderedJson message = {{"role", "assistant"}, {"content", parts.content}, {"refusal", nullptr}};
  if (!parts.reasoning.empty())
    message["reasoning_content"] = parts.reasoning;
  for (const ToolCallPart &call : parts.toolCalls)
    message["tool_calls"].push_back(callObject(call));
  if (!parts.toolCalls.empty() && parts.content.empty())
    message["content"] = nullptr;
  return {{"message", std::move(message)},
          {"logprobs", logprobs() ? logprobsOf(sample.tokens) : OrderedJson(nullptr)}};
}

OrderedJson ChatFormat::deltaChoice(const AnswerEvent &event) {
  const AnswerParts &parts = event.delta.parts;
  OrderedJson delta = OrderedJson::object();
  if (!begun_[event.sample]) {
    begun_[event.sample] = true;
    delta["role"] = "assistant";
  }
  if (!parts.reasoning.empty())
    delta["reasoning_content"] = parts.reasoning;
  if (!parts.content.empty())
    delta["content"] = parts.content;
  for (const ToolCallPart &call : parts.toolCalls) {
    uint32_t &calls = calls_[event.sample];
    calls += call.begins;
    OrderedJson object = {{"index", calls - 1}};
    object.update(call.begins ? callObject(call)
                              : OrderedJson{{"function", {{"arguments", call.arguments}}}});
    delta["tool_calls"].push_back(std::move(object));
  }
  return {{"delta", std::move(delta)},
          {"logprobs", logprobs() && !event.delta.tokens.empty() ? logprobsOf(event.delta.tokens)
                                                                 : OrderedJson(nullptr)}};
}

const char *CompletionFormat::objectName(bool) const { return "text_completion"; }

OrderedJson CompletionFormat::logprobsOf(const std::vector<TokenDetail> &details) const {
  OrderedJson tokens = OrderedJson::array(), logprobs = OrderedJson::array(),
              likely = OrderedJson::array(), offsets = OrderedJson::array();
  for (const TokenDetail &detail : details) {
    tokens.push_back(textOf(detail.token));
    logprobs.push_back(detail.logprob);
    OrderedJson alternatives = OrderedJson::object();
    for (const TokenLogprob &other : detail.likely)
      alternatives[textOf(other.token)] = other.logprob;
    likely.push_back(std::move(alternatives));
    offsets.push_back(detail.offset);
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(likely)},
          {"text_offset", std::move(offsets)}};
}

OrderedJson CompletionFormat::wholeChoice(const CollectedSample &sample) const {
  return {{"text", sample.parts.content},
          {"logprobs", logprobs() ? logprobsOf(sample.tokens) : OrderedJson(nullptr)}};
}

OrderedJson CompletionFormat::deltaChoice(const AnswerEvent &event) {
  return {{"text", event.delta.parts.content},
          {"logprobs", logprobs() && !event.delta.tokens.empty() ? logprobsOf(event.delta.tokens)
                                                                 : OrderedJson(nullptr)}};
}

} // namespace sinter
