//===- TextStreamTest.cpp - tokens to certain text ------------------------===//
#include "runtime/server/TextStream.h"

#include "runtime/server/Answer.h"

#include "runtime/text/Unicode.h"
#include "test/runtime/server/SmallTokenizer.h"

#include <cstring>
#include <gtest/gtest.h>
#include <iterator>
#include <poll.h>
#include <random>

using namespace sinter;
using namespace sinter::test;

namespace {

struct Streamed {
  AnswerParts parts;
  std::string tokens; ///< text of the tokens with log-probabilities
  std::vector<std::string> pieces;
  bool ended = false; ///< by the stream itself
  bool calledTools = false, cutCall = false;
};

/// Adds what came to what was there, parts of a tool call to the call.
void add(AnswerParts parts, AnswerParts &to) {
  to.reasoning += parts.reasoning;
  to.content += parts.content;
  for (ToolCallPart &part : parts.toolCalls) {
    EXPECT_EQ(part.begins, part.arguments.empty());
    if (part.begins)
      to.toolCalls.push_back(std::move(part));
    else
      to.toolCalls.back().arguments += part.arguments;
  }
}

/// Streams `text` token by token, bytes and marks alike.
Streamed stream(const std::string &text, const TextStreamOptions &options) {
  static const Tokenizer tokenizer = smallTokenizer();
  TextStream stream(tokenizer, options);
  Streamed out;
  auto collect = [&](TextDelta &delta) {
    for (const std::string *piece : {&delta.parts.reasoning, &delta.parts.content})
      EXPECT_EQ(text::findInvalidUtf8(*piece), std::nullopt);
    out.pieces.push_back(delta.parts.content);
    add(std::move(delta.parts), out.parts);
    for (const TokenDetail &detail : delta.tokens)
      out.tokens += tokenizer.tokenBytes(detail.token);
  };
  const auto ids = tokenizer.encode(text);
  for (const int32_t id : *ids) {
    TextDelta delta;
    out.ended = !stream.push({0, id, 0, {}}, delta);
    collect(delta);
    if (out.ended)
      break;
  }
  TextDelta delta;
  stream.finish(delta);
  collect(delta);
  out.calledTools = stream.calledTools();
  out.cutCall = stream.cutCall();
  return out;
}

TextStreamOptions withStops(std::vector<std::string> stops) {
  TextStreamOptions options;
  options.stops = std::move(stops);
  options.logprobs = true;
  return options;
}

TextStreamOptions withMarks(bool thinking = false) {
  TextStreamOptions options;
  options.split = {true, thinking, true};
  return options;
}

TEST(TextStream, WholeCodePointsOnly) { EXPECT_EQ(stream("a😀é", {}).parts.content, "a😀é"); }

TEST(TextStream, StopsAcrossTokens) {
  const Streamed out = stream("hello wor world, more", withStops({"world", "zzz"}));
  EXPECT_EQ(out.parts.content, "hello wor ");
  EXPECT_TRUE(out.ended);
  EXPECT_EQ(out.tokens, "hello wor ") << "tokens of a stop string are not reported";
}

TEST(TextStream, HoldsBackWhatMayStop) {
  const Streamed out = stream("abc", withStops({"bcd"}));
  EXPECT_EQ(out.pieces, (std::vector<std::string>{"a", "", "", "bc"}));
  EXPECT_FALSE(out.ended);
  EXPECT_EQ(out.tokens, "abc");
}

TEST(TextStream, TheFirstStopWins) {
  EXPECT_EQ(stream("xaabyy", withStops({"yy", "aab", "ab"})).parts.content, "x");
  EXPECT_EQ(stream("aaab", withStops({"aab"})).parts.content, "a");
  EXPECT_EQ(stream("é€x", withStops({"€"})).parts.content, "é");
}

TEST(TextStream, StopsEqualASearchInTheWholeText) {
  std::mt19937 random(7);
  auto word = [&](size_t most) {
    std::string text;
    for (size_t n = 1 + random() % most; n > 0; --n)
      text += "ab"[random() % 2];
    return text;
  };
  for (int i = 0; i < 3000; ++i) {
    const std::string text = word(40);
    const std::vector<std::string> stops = {word(6), word(6)};
    // The stop string that is whole first ends the text; what it began with goes, too.
    size_t expected = text.size();
    for (size_t end = 1; end <= text.size() && expected == text.size(); ++end)
      for (const std::string &stop : stops)
        if (const size_t at = text.substr(0, end).find(stop); at != std::string::npos)
          expected = std::min(expected, at);
    ASSERT_EQ(stream(text, withStops(stops)).parts.content, text.substr(0, expected))
        << text << " " << stops[0] << " " << stops[1];
  }
}

TEST(TextStream, SplitsReasoning) {
  const Streamed out = stream("<think>\nlet me see\n</think>\n\nAnswer.", withMarks());
  EXPECT_EQ(out.parts.reasoning, "let me see");
  EXPECT_EQ(out.parts.content, "Answer.");
  const Streamed opened = stream("hm </x> ok\n</think>\n\nYes", withMarks(true));
  EXPECT_EQ(opened.parts.reasoning, "hm </x> ok");
  EXPECT_EQ(opened.parts.content, "Yes");
  EXPECT_EQ(stream("<thin air", withMarks()).parts.content, "<thin air");
  EXPECT_EQ(stream("Say <think>", withMarks()).parts.content, "Say <think>");
  EXPECT_EQ(stream("<think>\n\n</think>\n\nx", withMarks()).parts.reasoning, "");
  EXPECT_EQ(stream("<think>cut", withMarks()).parts.reasoning, "cut");
}

TEST(TextStream, ParsesToolCalls) {
  const Streamed out = stream("Let me.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, "
                              "\"a\": \"</x>\"}}\n</tool_call>\n<tool_call>{\"name\": \"g\", "
                              "\"arguments\": {}}</tool_call>",
                              withMarks());
  EXPECT_EQ(out.parts.content, "Let me.");
  ASSERT_EQ(out.parts.toolCalls.size(), 2u);
  EXPECT_EQ(out.parts.toolCalls[0].name, "f");
  EXPECT_EQ(out.parts.toolCalls[0].arguments, R"({"b": 1, "a": "</x>"})") << "as written";
  EXPECT_EQ(out.parts.toolCalls[1].name, "g");
  EXPECT_TRUE(out.calledTools);
  EXPECT_FALSE(out.ended);
}

TEST(TextStream, WhatIsNoToolCallIsContent) {
  for (const char *text : {"<tool_call>nonsense</tool_call>", "<tool_call> nonsense",
                           "<tool_call>{\"name\": \"f\"}</tool_call>", "<tool_call>{\"x\": 1}",
                           "<tool_call>{\"name\": 1, \"arguments\": {}}</tool_call> x"}) {
    const Streamed out = stream(text, withMarks());
    EXPECT_EQ(out.parts.content, text);
    EXPECT_TRUE(out.parts.toolCalls.empty()) << text;
    EXPECT_FALSE(out.calledTools || out.cutCall) << text;
  }
  EXPECT_EQ(stream("<tool_call>{}", {}).parts.content, "<tool_call>{}") << "without tools";
}

TEST(TextStream, HalfAToolCallIsNoContent) {
  const std::string before = "Well.", open = "<tool_call>\n{\"name\": \"f\", \"arguments\": ";
  const std::string arguments = R"({"a": "}</tool_call>\"{", "b": [{"c": "é"}, 5]})";
  const std::string text = before + open + arguments + "}\n</tool_call>";
  for (size_t n = before.size() + std::strlen("<tool_call>"); n <= text.size(); ++n) {
    const std::string cut = text.substr(0, n);
    if (text::findInvalidUtf8(cut))
      continue;
    const Streamed out = stream(cut, withMarks());
    const size_t begin = before.size() + open.size();
    EXPECT_EQ(out.parts.content, before) << cut;
    ASSERT_EQ(out.parts.toolCalls.size(), n > begin ? 1u : 0u) << cut;
    EXPECT_EQ(out.calledTools, n >= begin + arguments.size()) << cut;
    EXPECT_NE(out.calledTools, out.cutCall) << cut;
    if (n > begin) {
      EXPECT_EQ(out.parts.toolCalls[0].name, "f");
      EXPECT_EQ(out.parts.toolCalls[0].arguments, cut.substr(begin, arguments.size()));
    }
  }
  TextStreamOptions stopped = withMarks();
  stopped.stops = {"[{"};
  const Streamed out = stream(text, stopped);
  EXPECT_EQ(out.parts.toolCalls[0].arguments, R"({"a": "}</tool_call>\"{", "b": )");
  EXPECT_TRUE(out.cutCall);
}

TEST(TextStream, CallsInAnotherForm) {
  for (const char *text : {R"({"arguments": {"x": [1, 2]}, "name": "f"})",
                           R"({"name": "f", "arguments": "{\"x\":[1,2]}"})",
                           R"({"id": 3, "name": "f", "arguments": {"x":[1,2]}})"})
    for (const char *end : {"</tool_call>", ""}) {
      const Streamed out = stream("<tool_call>" + std::string(text) + end, withMarks());
      ASSERT_EQ(out.parts.toolCalls.size(), 1u) << text;
      EXPECT_EQ(out.parts.toolCalls[0].name, "f");
      EXPECT_EQ(out.parts.toolCalls[0].arguments, R"({"x":[1,2]})");
      EXPECT_TRUE(out.calledTools && !out.cutCall) << text;
    }
  const Streamed broken =
      stream(R"(<tool_call>{"name": "f", "arguments": {"x": <5>, </tool_call> x)", withMarks());
  EXPECT_EQ(broken.parts.toolCalls.at(0).arguments, R"({"x": <5>, )") << "as written";
  EXPECT_EQ(broken.parts.content, "x");
}

TEST(TextStream, ToolCallsAreTheSameHoweverTextComes) {
  std::mt19937 random(11);
  const char *pieces[] = {"<tool_call>",
                          "</tool_call>",
                          "{",
                          "}",
                          "\"name\": \"f\"",
                          ", ",
                          "\"arguments\": ",
                          "\"",
                          "\\",
                          "[",
                          "]",
                          "<",
                          "x",
                          "\n",
                          "<tool_call>{\"name\": \"f\", \"arguments\": {"};
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (size_t n = random() % 12; n > 0; --n)
      text += pieces[random() % std::size(pieces)];
    AnswerParts whole, parts;
    AnswerSplitter once({false, false, true}), often({false, false, true});
    add(once.push(text), whole);
    add(once.flush(), whole);
    for (size_t at = 0; at < text.size();) {
      const size_t count = 1 + random() % 4;
      add(often.push(std::string_view(text).substr(at, count)), parts);
      at += count;
    }
    add(often.flush(), parts);
    ASSERT_EQ(parts.content, whole.content) << text;
    ASSERT_EQ(parts.toolCalls.size(), whole.toolCalls.size()) << text;
    for (size_t c = 0; c < parts.toolCalls.size(); ++c) {
      ASSERT_EQ(parts.toolCalls[c].name, whole.toolCalls[c].name) << text;
      ASSERT_EQ(parts.toolCalls[c].arguments, whole.toolCalls[c].arguments) << text;
    }
    ASSERT_EQ(often.calledTools(), once.calledTools()) << text;
    ASSERT_EQ(often.cutCall(), once.cutCall()) << text;
  }
}

TEST(TextStream, OneToolCall) {
  TextStreamOptions options = withMarks();
  options.split.oneToolCall = true;
  const std::string call = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
  const Streamed out = stream(call + " and " + call, options);
  EXPECT_EQ(out.parts.toolCalls.size(), 1u);
  EXPECT_EQ(out.parts.content, "");
  EXPECT_TRUE(out.ended);
}

/// Whether somebody who watches the answer is woken.
bool wakes(const Answer &answer) {
  pollfd watched = {answer.descriptor(), POLLIN, 0};
  return poll(&watched, 1, 0) == 1;
}

TEST(Answers, WakeWhoStreamsForEveryTokenAndOthersOnce) {
  static const Tokenizer tokenizer = smallTokenizer();
  const std::vector<int32_t> ids = *tokenizer.encode("ab");
  for (const bool streamed : {true, false}) {
    const auto answer = *Answer::create(tokenizer, {}, 1, streamed);
    for (const int32_t id : ids) {
      answer->onToken({0, id, 0, {}});
      EXPECT_EQ(wakes(*answer), streamed);
      if (streamed)
        answer->take();
    }
    answer->onFinish(0, FinishReason::Length, Status::ok());
    answer->onDone({});
    EXPECT_TRUE(wakes(*answer));
    const Answer::News news = answer->take();
    EXPECT_TRUE(news.done);
    EXPECT_EQ(news.events.size(), streamed ? 1u : ids.size() + 1);
    EXPECT_FALSE(wakes(*answer));
  }
}

} // namespace
