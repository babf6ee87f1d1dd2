//===- AnswerSplitter.h - reasoning, content and tool calls -----*- C++ -*-===//
//
// Cuts an answer as Qwen models write it: `<think>...</think>`, then text, and tool calls as
// `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`. Works on growing text: a piece goes
// out as soon as it is certain what it is. White space next to the marks belongs to nobody.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sinter {

struct ToolCall {
  std::string name;
  std::string arguments; ///< JSON text
};

/// What a piece of text added to an answer.
struct AnswerParts {
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> toolCalls;

  bool empty() const { return reasoning.empty() && content.empty() && toolCalls.empty(); }
};

struct SplitOptions {
  bool reasoning = false; ///< look for `<think>` at the beginning
  bool thinking = false;  ///< the prompt has opened `<think>` already
  bool tools = false;     ///< look for `<tool_call>`
};

class AnswerSplitter {
public:
  explicit AnswerSplitter(const SplitOptions &options);

  AnswerParts push(std::string_view text);
  /// The end. A tool call that was not closed, or is none, is content.
  AnswerParts flush();

private:
  enum class State { Start, Thinking, AfterThinking, Content, Call, AfterCall };

  bool advance(AnswerParts &out);
  bool start();
  bool thinking(AnswerParts &out);
  bool content(AnswerParts &out);
  bool call(AnswerParts &out);
  bool skipSpace(State next);

  SplitOptions options_;
  State state_;
  std::string pending_;
  bool anyReasoning_ = false;
};

} // namespace sinter
