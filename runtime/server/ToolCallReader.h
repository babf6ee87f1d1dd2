//===- ToolCallReader.h - a tool call while it is being written -*- C++ -*-===//
//
// Reads what follows `<tool_call>`: `{"name": "f", "arguments": {...}}</tool_call>`. Once the name
// is known and the arguments have begun it is a call, and arguments go out as the model writes
// them, right or wrong. A call in another order, or with arguments in a string, goes out when it is
// whole.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <string>
#include <vector>

namespace sinter {

/// Of one call comes one that begins it, then more of its arguments.
struct ToolCallPart {
  bool begins = false;
  std::string name;      ///< of one that begins
  std::string arguments; ///< JSON text; empty in one that begins
};

class ToolCallReader {
public:
  enum class Outcome { More, Called, NoCall, Cut };

  /// Takes what is certain off the front of `text`. Called: through `</tool_call>`. NoCall: it is
  /// something else, and nothing was taken.
  Outcome read(std::string &text, std::vector<ToolCallPart> &out);
  /// The answer ends here. Cut: within a call, or what might have become one.
  Outcome end(std::string &text, std::vector<ToolCallPart> &out);

private:
  enum class State { Head, Arguments, Tail, Whole };

  Outcome head(std::string &text, std::vector<ToolCallPart> &out);
  Outcome arguments(std::string &text, std::vector<ToolCallPart> &out);
  Outcome tail(std::string &text);
  Outcome whole(std::string &text, std::vector<ToolCallPart> &out);

  State state_ = State::Head;
  int depth_ = 0; ///< of arguments: open braces and brackets
  bool inString_ = false, escaped_ = false;
  size_t searched_ = 0; ///< bytes in which no `</tool_call>` begins
};

} // namespace sinter
