//===- AnswerSplitter.h - reasoning, content and tool calls -----*- C++ -*-===//
//
// Cuts an answer as Qwen models write it: `<think>...</think>`, then text, and tool calls as
// `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` (ToolCallReader.h). Works on growing
// text: a piece goes out as soon as it is certain what it is. White space next to the marks belongs
// to nobody.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/server/ToolCallReader.h"

#include <string>
#include <string_view>
#include <vector>

namespace sinter {

/// What a piece of text added to an answer.
struct AnswerParts {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallPart> toolCalls;

  void append(AnswerParts more);
  bool empty() const { return reasoning.empty() && content.empty() && toolCalls.empty(); }
};

struct SplitOptions {
  bool reasoning = false;   ///< look for `<think>` at the beginning
  bool thinking = false;    ///< the prompt has opened `<think>` already
  bool tools = false;       ///< look for `<tool_call>`
  bool oneToolCall = false; ///< the first tool call ends the answer
};

class AnswerSplitter {
public:
  explicit AnswerSplitter(const SplitOptions &options);

  AnswerParts push(std::string_view text);
  /// The end. Half a tool call is no content.
  AnswerParts flush();

  /// Whether the rest of the answer does not count.
  bool ended() const { return state_ == State::Ended; }
  /// Whether tools were called.
  bool calledTools() const { return calledTools_; }
  /// After flush(): whether the answer ended within a tool call.
  bool cutCall() const { return cutCall_; }

private:
  enum class State { Start, Thinking, AfterThinking, Content, Call, AfterCall, Ended };

  bool advance(AnswerParts &out);
  bool start();
  bool thinking(AnswerParts &out);
  bool content(AnswerParts &out);
  bool call(AnswerParts &out);
  bool skipSpace(State next);

  SplitOptions options_;
  State state_;
  std::string pending_;
  ToolCallReader call_; ///< while in one
  bool anyReasoning_ = false, calledTools_ = false, cutCall_ = false;
};

} // namespace sinter
