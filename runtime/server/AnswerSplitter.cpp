//===- AnswerSplitter.cpp -------------------------------------------------===//
#include "runtime/server/AnswerSplitter.h"

#include "runtime/server/StopStrings.h"

namespace sinter {
namespace {

constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";
constexpr std::string_view kCall = "<tool_call>";
constexpr std::string_view kSpace = " \t\r\n";

/// Takes up to `count` bytes off the front.
std::string take(std::string &text, size_t count) {
  std::string front = text.substr(0, count);
  text.erase(0, count);
  return front;
}

/// Where the white space at the end of `text` begins.
size_t endOfInk(std::string_view text) {
  const size_t last = text.find_last_not_of(kSpace);
  return last == std::string_view::npos ? 0 : last + 1;
}

/// How much of `text` is certain to come before `mark`, and white space in front of it.
size_t certainBefore(std::string_view text, std::string_view mark) {
  return endOfInk(text.substr(0, text.size() - overlap(text, mark)));
}

} // namespace

void AnswerParts::append(AnswerParts more) {
  reasoning += more.reasoning;
  content += more.content;
  for (ToolCallPart &part : more.toolCalls)
    toolCalls.push_back(std::move(part));
}

AnswerSplitter::AnswerSplitter(const SplitOptions &options)
    : options_(options), state_(options.thinking    ? State::Thinking
                                : options.reasoning ? State::Start
                                                    : State::Content) {}

bool AnswerSplitter::skipSpace(State next) {
  pending_.erase(0, pending_.find_first_not_of(kSpace));
  if (pending_.empty())
    return false;
  state_ = next;
  return true;
}

/// Only what comes first can be reasoning.
bool AnswerSplitter::start() {
  const size_t ink = pending_.find_first_not_of(kSpace);
  if (ink == std::string::npos)
    return false;
  const std::string_view rest = std::string_view(pending_).substr(ink);
  if (rest.size() < kThink.size() && kThink.starts_with(rest))
    return false;
  const bool thinks = rest.starts_with(kThink);
  if (thinks)
    pending_.erase(0, ink + kThink.size());
  state_ = thinks ? State::Thinking : State::Content;
  return true;
}

bool AnswerSplitter::thinking(AnswerParts &out) {
  if (!anyReasoning_)
    pending_.erase(0, pending_.find_first_not_of(kSpace));
  const size_t end = pending_.find(kThinkEnd);
  if (end == std::string::npos) {
    out.reasoning += take(pending_, certainBefore(pending_, kThinkEnd));
    anyReasoning_ = anyReasoning_ || !out.reasoning.empty();
    return false;
  }
  out.reasoning += pending_.substr(0, endOfInk(std::string_view(pending_).substr(0, end)));
  pending_.erase(0, end + kThinkEnd.size());
  state_ = State::AfterThinking;
  return true;
}

bool AnswerSplitter::content(AnswerParts &out) {
  const size_t begin = options_.tools ? pending_.find(kCall) : std::string::npos;
  if (begin == std::string::npos) {
    out.content +=
        take(pending_, options_.tools ? certainBefore(pending_, kCall) : pending_.size());
    return false;
  }
  out.content += pending_.substr(0, endOfInk(std::string_view(pending_).substr(0, begin)));
  pending_.erase(0, begin + kCall.size());
  state_ = State::Call;
  call_ = {};
  return true;
}

bool AnswerSplitter::call(AnswerParts &out) {
  switch (call_.read(pending_, out.toolCalls)) {
  case ToolCallReader::Outcome::More:
  case ToolCallReader::Outcome::Cut:
    return false;
  case ToolCallReader::Outcome::Called:
    calledTools_ = true;
    state_ = options_.oneToolCall ? State::Ended : State::AfterCall;
    return true;
  case ToolCallReader::Outcome::NoCall:
    break;
  }
  out.content += kCall;
  state_ = State::Content;
  return true;
}

/// One step; false when more text is needed.
bool AnswerSplitter::advance(AnswerParts &out) {
  switch (state_) {
  case State::Start:
    return start();
  case State::Thinking:
    return thinking(out);
  case State::AfterThinking:
  case State::AfterCall:
    return skipSpace(State::Content);
  case State::Content:
    return content(out);
  case State::Call:
    return call(out);
  case State::Ended:
    break;
  }
  return false;
}

AnswerParts AnswerSplitter::push(std::string_view text) {
  AnswerParts out;
  pending_ += text;
  while (advance(out)) {
  }
  return out;
}

AnswerParts AnswerSplitter::flush() {
  AnswerParts out;
  if (state_ == State::Thinking) {
    out.reasoning = pending_;
  } else if (state_ == State::Call) {
    const ToolCallReader::Outcome outcome = call_.end(pending_, out.toolCalls);
    calledTools_ = calledTools_ || outcome == ToolCallReader::Outcome::Called;
    cutCall_ = outcome == ToolCallReader::Outcome::Cut;
    if (outcome == ToolCallReader::Outcome::NoCall)
      out.content = std::string(kCall) + pending_;
  } else if (state_ == State::Content || state_ == State::Start) {
    out.content = pending_;
  }
  pending_.clear();
  return out;
}

} // namespace sinter
