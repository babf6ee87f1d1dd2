//===- RequestsTest.cpp - bodies to checked requests, or the field at fault ===//
#include "runtime/server/Requests.h"

#include <gtest/gtest.h>

using namespace sinter;

namespace {

RequestDefaults defaults() {
  RequestDefaults d;
  d.model = "m";
  d.sampling.temperature = 0.8;
  d.sampling.topK = 20;
  d.vocab = 1000;
  return d;
}

struct Parsed {
  ChatRequest request;
  FirstError error;
};

Parsed chat(const std::string &text) {
  Parsed parsed;
  const OrderedJson body = parseBody(text, parsed.error);
  parsed.request = parseChatRequest(body, defaults(), parsed.error);
  return parsed;
}

/// A chat request with further fields.
Parsed chatWith(const std::string &fields) {
  return chat(R"({"messages": [{"role": "user", "content": "hi"}])" +
              (fields.empty() ? "" : ", " + fields) + "}");
}

/// The parameter at fault, "-" for a body that is no JSON, "" for none.
std::string paramOf(const FirstError &error) {
  return !error ? "" : error->param.empty() ? "-" : error->param;
}

std::pair<CompletionRequest, FirstError> completion(const std::string &text) {
  FirstError error;
  const OrderedJson body = parseBody(text, error);
  CompletionRequest request = parseCompletionRequest(body, defaults(), error);
  return {std::move(request), error};
}

TEST(Requests, DefaultsComeFromTheModel) {
  const Parsed parsed = chatWith("");
  ASSERT_FALSE(parsed.error) << parsed.error->message;
  const GenerationFields &generation = parsed.request.generation;
  EXPECT_EQ(generation.sampling.temperature, 0.8);
  EXPECT_EQ(generation.sampling.topK, 20);
  EXPECT_FALSE(generation.maxTokens);
  EXPECT_EQ(generation.samples, 1u);
  EXPECT_EQ(generation.logprobs, -1);
  EXPECT_TRUE(parsed.request.tools.is_null());
}

TEST(Requests, EveryFieldArrives) {
  const Parsed parsed = chatWith(
      R"("model": "m", "temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1,
         "repetition_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": -0.3,
         "logit_bias": {"5": -100, "6": 2.5}, "seed": -1, "stop": ["a", "b"],
         "stop_token_ids": [9], "max_tokens": 12, "ignore_eos": true, "n": 3, "logprobs": true,
         "top_logprobs": 4, "stream": true, "stream_options": {"include_usage": true},
         "priority": -5, "cache_salt": "s", "user": "u", "metadata": {"a": "b"}, "store": false, "service_tier": "auto",
         "chat_template_kwargs": {"enable_thinking": false, "other": 1})");
  ASSERT_FALSE(parsed.error) << parsed.error->message;
  const GenerationFields &g = parsed.request.generation;
  EXPECT_EQ(g.sampling.temperature, 0.5);
  EXPECT_EQ(g.sampling.topP, 0.9);
  EXPECT_EQ(g.sampling.topK, 7);
  EXPECT_EQ(g.sampling.minP, 0.1);
  EXPECT_EQ(g.sampling.repetitionPenalty, 1.1);
  EXPECT_EQ(g.sampling.presencePenalty, 0.2);
  EXPECT_EQ(g.sampling.frequencyPenalty, -0.3);
  const std::vector<std::pair<int32_t, float>> bias = {{5, -100.f}, {6, 2.5f}};
  EXPECT_EQ(g.sampling.logitBias, bias);
  EXPECT_EQ(g.sampling.seed, ~uint64_t(0));
  EXPECT_EQ(g.stops, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(g.stopIds, std::vector<int32_t>{9});
  EXPECT_EQ(g.maxTokens, 12u);
  EXPECT_TRUE(g.ignoreEos && g.stream && g.includeUsage);
  EXPECT_EQ(g.samples, 3u);
  EXPECT_EQ(g.priority, -5);
  EXPECT_EQ(g.cacheSalt, "s");
  EXPECT_EQ(g.logprobs, 4);
  EXPECT_EQ(parsed.request.enableThinking, false);
  EXPECT_EQ(parsed.request.templateVariables["other"], 1);
}

TEST(Requests, MessagesBecomeWhatTemplatesRead) {
  const Parsed parsed = chat(R"({"messages": [
    {"role": "developer", "content": [{"type": "text", "text": "be "},
                                      {"type": "text", "text": "brief"}]},
    {"role": "user", "content": "2+2?", "name": "bob"},
    {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
      {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "4"},
    {"role": "assistant", "content": "4", "reasoning_content": "easy"}]})");
  ASSERT_FALSE(parsed.error) << parsed.error->message;
  const OrderedJson &messages = parsed.request.messages;
  EXPECT_EQ(messages[0], (OrderedJson{{"role", "system"}, {"content", "be brief"}}));
  EXPECT_EQ(messages[1], (OrderedJson{{"role", "user"}, {"content", "2+2?"}}));
  EXPECT_EQ(messages[2]["tool_calls"][0]["function"]["name"], "add");
  EXPECT_EQ(messages[3]["tool_call_id"], "c1");
  EXPECT_EQ(messages[4]["reasoning_content"], "easy");
}

TEST(Requests, ToolsAndTheirChoice) {
  const std::string tools =
      R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}])";
  const Parsed named =
      chatWith(tools + R"(, "tool_choice": {"type": "function", "function": {"name": "f"}})");
  ASSERT_FALSE(named.error) << named.error->message;
  EXPECT_EQ(named.request.toolChoice.kind, ToolChoice::Kind::Named);
  EXPECT_TRUE(named.request.usesTools());
  const Parsed none = chatWith(tools + R"(, "tool_choice": "none")");
  EXPECT_FALSE(none.request.usesTools());
  EXPECT_FALSE(none.request.tools.is_null());
}

TEST(Requests, ErrorsNameTheField) {
  const std::pair<const char *, const char *> cases[] = {
      {R"("temperature": "hot")", "temperature"},
      {R"("temperature": -0.1)", "temperature"},
      {R"("temperature": 1e300)", "temperature"},
      {R"("top_p": 0)", "top_p"},
      {R"("top_p": 1.5)", "top_p"},
      {R"("top_k": -2)", "top_k"},
      {R"("top_k": 1.5)", "top_k"},
      {R"("min_p": 2)", "min_p"},
      {R"("repetition_penalty": 0)", "repetition_penalty"},
      {R"("presence_penalty": 3)", "presence_penalty"},
      {R"("frequency_penalty": [])", "frequency_penalty"},
      {R"("logit_bias": [])", "logit_bias"},
      {R"("logit_bias": {"x": 1})", "logit_bias"},
      {R"("logit_bias": {"1000": 1})", "logit_bias"},
      {R"("logit_bias": {"1": "a"})", "logit_bias"},
      {R"("logit_bias": {"1": 1, "01": 2})", "logit_bias"},
      {R"("seed": 1.5)", "seed"},
      {R"("seed": 18446744073709551616)", "seed"},
      {R"("seed": -9223372036854775809)", "seed"},
      {R"("stop": 5)", "stop"},
      {R"("stop": "")", "stop"},
      {R"("stop": ["a", 1])", "stop"},
      {R"("stop_token_ids": [1000])", "stop_token_ids"},
      {R"("stop_token_ids": [-1])", "stop_token_ids"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("max_tokens": 5, "max_completion_tokens": 6)", "max_tokens"},
      {R"("max_completion_tokens": 99999999999)", "max_completion_tokens"},
      {R"("ignore_eos": 1)", "ignore_eos"},
      {R"("n": 0)", "n"},
      {R"("n": 65)", "n"},
      {R"("priority": 101)", "priority"},
      {R"("cache_salt": "")", "cache_salt"},
      {R"("cache_salt": 5)", "cache_salt"},
      {R"("logprobs": 3)", "logprobs"},
      {R"("top_logprobs": 3)", "top_logprobs"},
      {R"("logprobs": true, "top_logprobs": 21)", "top_logprobs"},
      {R"("stream": "yes")", "stream"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("stream": true, "stream_options": {"x": 1})", "stream_options.x"},
      {R"("stream": true, "stream_options": 1)", "stream_options"},
      {R"("tool_choice": "auto")", "tool_choice"},
      {R"("tools": {})", "tools"},
      {R"("tools": [{}])", "tools[0].type"},
      {R"("tools": [{"type": "function"}])", "tools[0].function"},
      {R"("tools": [{"type": "function", "function": {"name": "a b"}}])", "tools[0].function.name"},
      {R"("tools": [{"type": "function", "function": {"name": "f", "x": 1}}])",
       "tools[0].function.x"},
      {R"("response_format": {"type": "xml"})", "response_format.type"},
      {R"("response_format": {"type": "json_schema"})", "response_format.json_schema"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"name": "n"}})",
       "response_format.json_schema.schema"},
      {R"("chat_template_kwargs": {"enable_thinking": 3})", "chat_template_kwargs.enable_thinking"},
      {R"("response_format": {"type": "json_object"}, "ignore_eos": true)", "ignore_eos"},
      {R"("modalities": ["audio"])", "modalities"},
      {R"("functions": [])", "functions"},
      {R"("model": "other")", "model"},
  };
  for (const auto &[fields, param] : cases) {
    const Parsed parsed = chatWith(fields);
    EXPECT_EQ(paramOf(parsed.error), param) << fields;
    if (parsed.error)
      EXPECT_EQ(parsed.error->status, parsed.error->param == "model" ? 404 : 400);
  }
  EXPECT_EQ(paramOf(chatWith(R"("modalities": null)").error), "") << "null: not given";
}

TEST(Requests, MessageErrorsNameTheField) {
  const std::pair<const char *, const char *> cases[] = {
      {R"({})", "messages"},
      {R"({"messages": []})", "messages"},
      {R"({"messages": [1]})", "messages[0]"},
      {R"({"messages": [{"content": "x"}]})", "messages[0].role"},
      {R"({"messages": [{"role": "wizard", "content": "x"}]})", "messages[0].role"},
      {R"({"messages": [{"role": "user"}]})", "messages[0].content"},
      {R"({"messages": [{"role": "user", "content": 1}]})", "messages[0].content"},
      {R"({"messages": [{"role": "assistant"}]})", "messages[0].content"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})",
       "messages[0].content[0].type"},
      {R"({"messages": [{"role": "user", "content": [{"type": "text"}]}]})",
       "messages[0].content[0].text"},
      {R"({"messages": [{"role": "user", "content": "x", "tool_calls": []}]})",
       "messages[0].tool_calls"},
      {R"({"messages": [{"role": "tool", "content": "x"}]})", "messages[0].tool_call_id"},
      {R"({"messages": [{"role": "assistant", "tool_calls": [{}]}]})",
       "messages[0].tool_calls[0].id"},
  };
  for (const auto &[body, param] : cases)
    EXPECT_EQ(paramOf(chat(body).error), param) << body;
}

TEST(Requests, BodiesThatAreNoJson) {
  std::string deep(100000, '['), manyKeys = "{";
  for (int i = 0; i < 3000; ++i)
    manyKeys += "\"k" + std::to_string(i) + "\": 1,";
  manyKeys.back() = '}';
  const std::string cases[] = {
      "",
      "{",
      "[]",
      "1",
      "nul",
      deep,
      manyKeys,
      "{\"a\": 1e999}",
      "{\"a\": \"\xff\xfe\"}",
      "{\"a\": \"\\ud800\"}",
      "{\"a\": 1, \"a\": 2}",
      "{\"messages\": [], }",
      std::string("{\"a\": \0 1}", 10),
      "{\"a\": NaN}",
  };
  for (const std::string &body : cases) {
    const Parsed parsed = chat(body);
    ASSERT_TRUE(parsed.error) << body.substr(0, 40);
    EXPECT_EQ(parsed.error->code, "invalid_json") << body.substr(0, 40);
    EXPECT_EQ(parsed.error->status, 400);
    EXPECT_LT(parsed.error->message.size(), 300u);
    EXPECT_TRUE(OrderedJson::accept(parsed.error->body()));
  }
}

TEST(Requests, PromptsOfCompletions) {
  EXPECT_EQ(std::get<std::string>(completion(R"({"prompt": "a"})").first.prompt), "a");
  EXPECT_EQ(std::get<std::string>(completion(R"({"prompt": ["a"]})").first.prompt), "a");
  const std::vector<int32_t> ids = {1, 2};
  EXPECT_EQ(std::get<1>(completion(R"({"prompt": [1, 2]})").first.prompt), ids);
  EXPECT_EQ(std::get<1>(completion(R"({"prompt": [[1, 2]]})").first.prompt), ids);
  EXPECT_EQ(completion(R"({"prompt": "a"})").first.generation.maxTokens, 16u);
  for (const char *bad :
       {R"({})", R"({"prompt": []})", R"({"prompt": ["a", "b"]})", R"({"prompt": 1})",
        R"({"prompt": [1, "a"]})", R"({"prompt": [1000]})", R"({"prompt": [[]]})"})
    EXPECT_EQ(paramOf(completion(bad).second), "prompt") << bad;
  EXPECT_EQ(paramOf(completion(R"({"prompt": "a", "echo": true})").second), "echo");
  EXPECT_EQ(paramOf(completion(R"({"prompt": "a", "suffix": "b"})").second), "suffix");
  EXPECT_EQ(paramOf(completion(R"({"prompt": "a", "best_of": 2})").second), "best_of");
  EXPECT_EQ(paramOf(completion(R"({"prompt": "a", "logprobs": true})").second), "logprobs");
  EXPECT_EQ(completion(R"({"prompt": "a", "logprobs": 2})").first.generation.logprobs, 2);
}

TEST(Requests, Tokenize) {
  FirstError error;
  const OrderedJson body = parseBody(R"({"prompt": "x", "allow_special": false})", error);
  EXPECT_FALSE(parseTokenizeRequest(body, defaults(), error).allowSpecial);
  EXPECT_FALSE(error);
  parseDetokenizeRequest(body, defaults(), error);
  EXPECT_EQ(paramOf(error), "tokens");
}

} // namespace
