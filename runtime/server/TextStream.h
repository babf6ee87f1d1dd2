//===- TextStream.h - the text of one sample, token by token ----*- C++ -*-===//
#pragma once

#include "runtime/engine/Request.h"
#include "runtime/server/AnswerSplitter.h"
#include "runtime/server/StopStrings.h"
#include "runtime/text/StreamDecoder.h"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace sinter {

struct TextStreamOptions {
  std::vector<std::string> stops;
  SplitOptions split;
  bool logprobs = false;
};

/// A token and its log-probability, with alternatives.
struct TokenDetail {
  int32_t token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> likely;
  uint64_t offset = 0; ///< of its text within the sample's, in bytes
};

/// What became certain about a sample.
struct TextDelta {
  AnswerParts parts;
  std::vector<TokenDetail> tokens; ///< only where log-probabilities are asked for
};

/// Tokens to text: whole code points, nothing that may be part of a stop string, cut into
/// reasoning, content and tool calls. Text past a stop is discarded.
class TextStream {
public:
  TextStream(const Tokenizer &tokenizer, const TextStreamOptions &options);

  /// False: the sample ends with this token.
  bool push(const TokenEvent &event, TextDelta &out);
  /// The sample has ended, here or elsewhere.
  void finish(TextDelta &out);

  /// Whether tools are called, which clients hear as finish reason "tool_calls".
  bool calledTools() const { return splitter_.calledTools(); }
  /// Once it has ended: whether that was within a tool call.
  bool cutCall() const { return splitter_.cutCall(); }

private:
  void release(const std::string &certain, TextDelta &out);
  void releaseTokens(TextDelta &out, bool all);

  StreamDecoder decoder_;
  StopStrings stops_;
  AnswerSplitter splitter_;
  bool logprobs_;
  uint64_t produced_ = 0; ///< bytes of text so far, held back ones included
  uint64_t released_ = 0;
  std::deque<TokenDetail> details_; ///< of tokens whose text is held back
};

} // namespace sinter
