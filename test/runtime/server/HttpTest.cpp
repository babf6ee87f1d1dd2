//===- HttpTest.cpp - endpoints over a socket -----------------------------===//
#include "test/runtime/server/RawClient.h"
#include "test/runtime/server/TestServer.h"

using namespace sinter;
using namespace sinter::test;

namespace {

/// The objects of a stream; `[DONE]` as a string at its end.
std::vector<OrderedJson> events(const std::string &body) {
  std::vector<OrderedJson> out;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    EXPECT_EQ(body.compare(at, 6, "data: "), 0) << body.substr(at, 40);
    const std::string data = body.substr(at + 6, end - at - 6);
    out.push_back(data == "[DONE]" ? OrderedJson(data) : OrderedJson::parse(data));
    at = end + 2;
  }
  return out;
}

/// The text that a streamed chat's first choice adds up to.
std::string contentOf(const std::vector<OrderedJson> &all) {
  std::string text;
  for (const OrderedJson &event : all)
    if (event.is_object() && event.contains("choices") && !event["choices"].empty())
      text += event["choices"][0]["delta"].value("content", "");
  return text;
}

std::string rawPost(const std::string &path, const std::string &body) {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(Http, ChatAnswersWhole) {
  TestServer server("Hello é there");
  const auto result = server.chat(R"("n": 2)");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 200) << result->body;
  const OrderedJson object = json(result);
  EXPECT_EQ(object["object"], "chat.completion");
  EXPECT_EQ(object["model"], "fake");
  ASSERT_EQ(object["choices"].size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(object["choices"][i]["index"], i);
    EXPECT_EQ(object["choices"][i]["message"]["content"], "Hello é there");
    EXPECT_EQ(object["choices"][i]["finish_reason"], "stop");
  }
  EXPECT_EQ(object["usage"]["completion_tokens"], 28);
  EXPECT_EQ(object["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST(Http, ChatStreams) {
  TestServer server("Hello é there");
  const auto result = server.chat(R"("stream": true, "stream_options": {"include_usage": true})");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->get_header_value("Content-Type"), "text/event-stream");
  const auto all = events(result->body);
  EXPECT_EQ(contentOf(all), "Hello é there");
  EXPECT_EQ(all[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(all.back(), "[DONE]");
  const OrderedJson &usage = all[all.size() - 2];
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 14);
  EXPECT_EQ(all[all.size() - 3]["choices"][0]["finish_reason"], "stop");
}

TEST(Http, StopsAndLengths) {
  TestServer server("one two three");
  OrderedJson object = json(server.chat(R"("stop": ["wo t"])"));
  EXPECT_EQ(object["choices"][0]["message"]["content"], "one t");
  EXPECT_EQ(object["choices"][0]["finish_reason"], "stop");
  object = json(server.chat(R"("max_completion_tokens": 3)"));
  EXPECT_EQ(object["choices"][0]["message"]["content"], "one");
  EXPECT_EQ(object["choices"][0]["finish_reason"], "length");
  object = json(server.chat(R"("stop_token_ids": [32])"));
  EXPECT_EQ(object["choices"][0]["message"]["content"], "one");
}

TEST(Http, Logprobs) {
  TestServer server("ab");
  OrderedJson object = json(server.chat(R"("logprobs": true, "top_logprobs": 2)"));
  const OrderedJson &content = object["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 2u);
  EXPECT_EQ(content[0]["token"], "a");
  EXPECT_EQ(content[0]["bytes"], OrderedJson::array({97}));
  EXPECT_EQ(content[0]["top_logprobs"][1]["token"], "b");
  object = json(server.post("/v1/completions", R"({"prompt": "x", "logprobs": 1})"));
  EXPECT_EQ(object["choices"][0]["logprobs"]["tokens"], OrderedJson::array({"a", "b"}));
  EXPECT_EQ(object["choices"][0]["logprobs"]["text_offset"], OrderedJson::array({0, 1}));
}

/// What the deltas say about tool calls, one an event.
std::vector<OrderedJson> callsOf(const std::vector<OrderedJson> &events) {
  std::vector<OrderedJson> calls;
  for (const OrderedJson &event : events)
    if (event.is_object() && event["choices"][0]["delta"].contains("tool_calls")) {
      EXPECT_EQ(event["choices"][0]["delta"]["tool_calls"].size(), 1u);
      calls.push_back(event["choices"][0]["delta"]["tool_calls"][0]);
    }
  return calls;
}

std::string argumentsOf(const std::vector<OrderedJson> &calls, int index) {
  std::string text;
  for (const OrderedJson &call : calls)
    if (call["index"] == index)
      text += call["function"]["arguments"].get<std::string>();
  return text;
}

TEST(Http, ReasoningAndToolCalls) {
  TestServer server("<think>\nhm\n</think>\n\nSure.\n<tool_call>\n{\"name\": \"f\", \"arguments\": "
                    "{\"x\": 1}}\n</tool_call>");
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "f"}}])";
  const OrderedJson object = json(server.chat(tools));
  const OrderedJson &message = object["choices"][0]["message"];
  EXPECT_EQ(message["reasoning_content"], "hm");
  EXPECT_EQ(message["content"], "Sure.");
  EXPECT_EQ(message["tool_calls"][0]["function"]["name"], "f");
  EXPECT_EQ(message["tool_calls"][0]["function"]["arguments"], "{\"x\": 1}");
  EXPECT_EQ(object["choices"][0]["finish_reason"], "tool_calls");
  const auto all = events(server.chat(tools + R"(, "stream": true)")->body);
  EXPECT_EQ(contentOf(all), "Sure.");
  const std::vector<OrderedJson> calls = callsOf(all);
  ASSERT_EQ(calls.size(), 1u + std::strlen("{\"x\": 1}")) << "a token a letter";
  EXPECT_EQ(calls[0]["index"], 0);
  EXPECT_EQ(calls[0]["type"], "function");
  EXPECT_EQ(calls[0]["id"].get<std::string>().substr(0, 5), "call_");
  EXPECT_EQ(calls[0]["function"], (OrderedJson{{"name", "f"}, {"arguments", ""}}));
  EXPECT_EQ(calls[3], (OrderedJson{{"index", 0}, {"function", {{"arguments", "x"}}}}));
  EXPECT_EQ(argumentsOf(calls, 0), "{\"x\": 1}");
  EXPECT_EQ(all[all.size() - 2]["choices"][0]["finish_reason"], "tool_calls");
}

TEST(Http, ToolCallsThatAreCutOff) {
  const std::string call = "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": 12}}</tool_call>";
  TestServer server(call + call);
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "f"}}], )";
  const auto tokens = [&](size_t more) {
    return std::to_string(smallTokenizer().encode(call)->size() + more);
  };
  for (const auto &[fields, count, arguments] :
       {std::tuple(R"("max_tokens": 9)" + std::string(), 0u, ""),
        std::tuple(R"("stop": "2}")" + std::string(), 1u, "{\"x\": 1"),
        std::tuple(R"("max_tokens": )" + tokens(10), 1u, "{\"x\": 12}"),
        std::tuple(R"("max_tokens": )" + tokens(34), 2u, "{\"x\": ")}) {
    const OrderedJson choice = json(server.chat(tools + fields))["choices"][0];
    EXPECT_EQ(choice["finish_reason"], "length") << choice.dump();
    EXPECT_TRUE(choice["message"]["content"].is_null() || choice["message"]["content"] == "")
        << choice.dump();
    const auto all = events(server.chat(tools + R"("stream": true, )" + fields)->body);
    EXPECT_EQ(contentOf(all), "");
    EXPECT_EQ(all[all.size() - 2]["choices"][0]["finish_reason"], "length");
    if (count == 0) {
      EXPECT_FALSE(choice["message"].contains("tool_calls")) << choice.dump();
      EXPECT_TRUE(callsOf(all).empty());
      continue;
    }
    ASSERT_EQ(choice["message"]["tool_calls"].size(), count) << choice.dump();
    EXPECT_EQ(choice["message"]["tool_calls"][count - 1]["function"]["arguments"], arguments);
    EXPECT_EQ(argumentsOf(callsOf(all), int(count) - 1), arguments);
  }
}

TEST(Http, AnswersFollowGrammars) {
  TestServer server("no JSON at all");
  OrderedJson object = json(server.chat(R"("response_format": {"type": "json_object"})"));
  EXPECT_EQ(OrderedJson::parse(object["choices"][0]["message"]["content"].get<std::string>()),
            OrderedJson::object())
      << object.dump();
  object = json(server.chat(
      R"("response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema":
         {"properties": {"k": {"enum": ["v"]}}, "required": ["k"]}}})"));
  EXPECT_EQ(OrderedJson::parse(object["choices"][0]["message"]["content"].get<std::string>()),
            (OrderedJson{{"k", "v"}}));
  object = json(server.chat(
      R"("tools": [{"type": "function", "function": {"name": "g", "parameters":
         {"properties": {"k": {"const": 7}}, "required": ["k"]}}}],
         "tool_choice": "required", "parallel_tool_calls": false,
         "chat_template_kwargs": {"enable_thinking": false})"));
  const OrderedJson &call = object["choices"][0]["message"]["tool_calls"][0]["function"];
  EXPECT_EQ(call["name"], "g") << object.dump();
  EXPECT_EQ(call["arguments"], "{\"k\": 7}");
  const auto refused = server.chat(
      R"("response_format": {"type": "json_schema", "json_schema": {"schema": {"pattern": ""}}})");
  EXPECT_EQ(json(refused)["error"]["param"], "response_format.json_schema.schema.pattern");
}

TEST(Http, VariablesThatTheTemplateDropsAreRefused) {
  TestServer server("x");
  EXPECT_EQ(server.chat(R"("chat_template_kwargs": {"enable_thinking": false})")->status, 200);
  const auto refused = server.chat(R"("chat_template_kwargs": {"no_such": false})");
  EXPECT_EQ(refused->status, 400);
  EXPECT_EQ(json(refused)["error"]["param"], "chat_template_kwargs.no_such");
}

TEST(Http, ReasoningComesBeforeGrammars) {
  TestServer server("<think>let me</think>x");
  const OrderedJson object = json(server.chat(R"("response_format": {"type": "json_object"})"));
  const OrderedJson &message = object["choices"][0]["message"];
  EXPECT_EQ(message["reasoning_content"], "let me");
  EXPECT_EQ(message["content"], "{}");
  TestServer opened("deep</think>\n\n{");
  const OrderedJson second = json(opened.chat(R"("response_format": {"type": "json_object"},
                          "chat_template_kwargs": {"enable_thinking": true})"));
  EXPECT_EQ(second["choices"][0]["message"]["reasoning_content"], "deep");
  EXPECT_EQ(second["choices"][0]["message"]["content"], "{}") << second.dump();
}

TEST(Http, CompletionsAndTokens) {
  TestServer server("abc");
  OrderedJson object = json(server.post("/v1/completions", R"({"prompt": "x", "max_tokens": 2})"));
  EXPECT_EQ(object["object"], "text_completion");
  EXPECT_EQ(object["choices"][0]["text"], "ab");
  EXPECT_EQ(object["choices"][0]["finish_reason"], "length");
  const auto all =
      events(server.post("/v1/completions", R"({"prompt": [1, 2], "stream": true})")->body);
  EXPECT_EQ(all[0]["choices"][0]["text"], "a");
  object = json(server.post("/tokenize", R"({"prompt": "hi<|im_end|>"})"));
  EXPECT_EQ(object["tokens"], OrderedJson::array({104, 105, 256}));
  object = json(server.post("/detokenize", R"({"tokens": [104, 105, 256]})"));
  EXPECT_EQ(object["prompt"], "hi<|im_end|>");
  object = json(server.client().Get("/v1/models"));
  EXPECT_EQ(object["data"][0]["id"], "fake");
  EXPECT_EQ(server.client().Get("/v1/models/fake")->status, 200);
  EXPECT_EQ(server.client().Get("/v1/models/other")->status, 404);
}

TEST(Http, ContextLength) {
  FakeOptions fake;
  fake.limits.maxTokens = 40;
  TestServer server("x", fake);
  for (const std::string &body : {R"({"prompt": ")" + std::string(40, 'a') + "\"}",
                                  std::string(R"({"prompt": "aaaa", "max_tokens": 37})")}) {
    const auto result = server.post("/v1/completions", body);
    EXPECT_EQ(result->status, 400);
    EXPECT_EQ(json(result)["error"]["code"], "context_length_exceeded");
    EXPECT_EQ(json(result)["error"]["param"], body.size() > 40 ? "prompt" : "max_tokens");
  }
  EXPECT_EQ(server.post("/v1/completions", R"({"prompt": "aaaa", "max_tokens": 36})")->status, 200);
}

TEST(Http, ErrorsHaveOpenAisForm) {
  TestServer server("x");
  const auto check = [](const httplib::Result &result, int status) {
    ASSERT_TRUE(result);
    EXPECT_EQ(result->status, status) << result->body;
    const OrderedJson object = json(result);
    ASSERT_TRUE(object.is_object() && object.contains("error")) << result->body;
    EXPECT_TRUE(object["error"]["message"].is_string());
    EXPECT_TRUE(object["error"]["type"].is_string());
  };
  check(server.post("/v1/chat/completions", "{"), 400);
  check(server.chat(R"("what": 1)"), 400);
  check(server.chat(R"("model": "other")"), 404);
  check(server.client().Get("/nothing"), 404);
  for (const auto &[path, methods] : {std::pair("/v1/chat/completions", "POST"),
                                      {"/v1/completions", "POST"},
                                      {"/tokenize", "POST"}}) {
    const auto result = server.client().Get(path);
    check(result, 405);
    EXPECT_EQ(result->get_header_value("Allow"), methods) << path;
  }
  const auto wrong = server.post("/v1/models/x", "{}");
  check(wrong, 405);
  EXPECT_EQ(wrong->get_header_value("Allow"), "GET, HEAD");
  check(server.post("/nothing", "{}"), 404);
  check(server.client().Get("/" + std::string(9000, 'a')), 414);
  check(server.client().Post("/tokenize", "x", "text/plain"), 415);
  check(server.client().Post("/tokenize", httplib::MultipartFormDataItems{{"a", "b", "", ""}}),
        415);
}

TEST(Http, BodiesAreLimited) {
  ServerOptions options;
  options.api.maxBodyBytes = 1000;
  TestServer server("x", {}, options);
  EXPECT_EQ(server.post("/tokenize", "{\"prompt\": \"" + std::string(2000000, 'a') + "\"}")->status,
            413);
  httplib::Client client = server.client();
  const auto chunked = client.Post(
      "/tokenize",
      [](size_t offset, httplib::DataSink &sink) {
        const std::string piece(1000, 'a');
        sink.write(piece.data(), piece.size());
        if (offset > 5000)
          sink.done();
        return true;
      },
      "application/json");
  ASSERT_TRUE(chunked);
  EXPECT_EQ(chunked->status, 413);
  EXPECT_EQ(server.post("/tokenize", R"({"prompt": "a"})")->status, 200);
}

TEST(Http, ApiKey) {
  ServerOptions options;
  options.api.apiKey = "secret%41";
  TestServer server("x", {}, options);
  EXPECT_EQ(server.chat()->status, 401);
  EXPECT_EQ(server.client().Get("/v1/models")->status, 401);
  EXPECT_EQ(server.client().Get("/metrics")->status, 401);
  EXPECT_EQ(server.client().Get("/health")->status, 200);
  EXPECT_EQ(server.client().Get("/")->status, 200);
  for (const auto &[key, status] :
       {std::pair("secret%41", 200), {"secretA", 401}, {"secret%4", 401}, {"secret%41s", 401}}) {
    httplib::Client client = server.client();
    client.set_bearer_token_auth(key);
    EXPECT_EQ(client.Get("/v1/models")->status, status) << key;
  }
}

TEST(Http, LoadingDrainingAndDead) {
  TestServer server("abc", {}, {}, /*ready=*/false);
  EXPECT_EQ(server.client().Get("/health")->status, 503);
  EXPECT_EQ(server.chat()->status, 503);
  EXPECT_EQ(server.chat()->get_header_value("Retry-After"), "1");
  EXPECT_EQ(server.client().Get("/metrics")->status, 200);
  server.load();
  EXPECT_EQ(server.client().Get("/health")->status, 200);
  server.engine->pause(true);
  std::thread waiting([&] {
    const auto result = server.chat();
    ASSERT_TRUE(result);
    EXPECT_EQ(result->status, 500);
    EXPECT_EQ(json(result)["error"]["message"], "the GPU fell off");
  });
  while (server.engine->figures().running == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server.engine->die(unavailable("the GPU fell off"));
  waiting.join();
  EXPECT_EQ(server.client().Get("/health")->status, 503);
  EXPECT_EQ(server.chat()->status, 503);
  EXPECT_FALSE(server.server().health());
}

TEST(Http, DeathEndsStreamsWithAnError) {
  FakeOptions fake;
  fake.stepTime = std::chrono::milliseconds(5);
  TestServer server(std::string(300, 'a'), fake);
  std::thread killer([&] {
    while (server.engine->figures().generatedTokens < 10)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    server.engine->die(unavailable("dead"));
  });
  const auto result = server.chat(R"("stream": true)");
  killer.join();
  ASSERT_TRUE(result);
  const auto all = events(result->body);
  EXPECT_EQ(all.back()["error"]["message"], "dead");
}

TEST(Http, DrainFinishesWhatRuns) {
  FakeOptions fake;
  fake.stepTime = std::chrono::milliseconds(5);
  TestServer server(std::string(60, 'a'), fake);
  std::thread running([&] {
    const auto result = server.chat();
    ASSERT_TRUE(result);
    EXPECT_EQ(json(result)["choices"][0]["message"]["content"], std::string(60, 'a'));
  });
  while (server.engine->figures().running == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server.server().drain(std::chrono::seconds(10));
  running.join();
  EXPECT_FALSE(server.chat()) << "nobody listens any more";
}

TEST(Http, DrainCancelsAtTheDeadline) {
  TestServer server("abc");
  server.engine->pause(true);
  std::thread running([&] {
    const auto result = server.chat();
    ASSERT_TRUE(result);
    EXPECT_EQ(result->status, 503);
  });
  while (server.engine->figures().running == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server.server().drain(std::chrono::milliseconds(50));
  running.join();
}

TEST(Http, AFullQueueIsRefused) {
  FakeOptions fake;
  fake.limits.maxRequests = 1;
  TestServer server("abc", fake);
  server.engine->pause(true);
  std::thread first([&] { EXPECT_EQ(server.chat()->status, 200); });
  while (server.engine->figures().running == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const auto refused = server.chat();
  EXPECT_EQ(refused->status, 429);
  EXPECT_EQ(refused->get_header_value("Retry-After"), "1");
  server.engine->pause(false);
  first.join();
}

TEST(Http, AClientThatLeavesCancels) {
  TestServer server("abc");
  for (const char *stream : {"true", "false"}) {
    server.engine->pause(true);
    RawClient client(server.server().port());
    client.send(
        rawPost("/v1/completions", std::string(R"({"prompt": "x", "stream": )") + stream + "}"));
    while (server.engine->figures().running == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    client.leave();
    EXPECT_TRUE(server.idle()) << "stream " << stream;
  }
  const std::string metrics = server.client().Get("/metrics")->body;
  EXPECT_NE(metrics.find("sinter_http_disconnects_total 2"), std::string::npos) << metrics;
}

TEST(Http, ConnectionsAreReusedAndPipelined) {
  TestServer server("abc");
  RawClient client(server.server().port());
  const std::string request = rawPost("/tokenize", R"({"prompt": "a"})");
  client.send(request + request);
  std::string text = client.receive("\"count\"");
  while (text.find("\"count\"", text.find("\"count\"") + 1) == std::string::npos) {
    const std::string more = client.receive("\"count\"");
    ASSERT_FALSE(more.empty()) << text;
    text += more;
  }
  // What follows a body that was not read must not be taken for a request.
  client.send("GET /health HTTP/1.1\r\nContent-Length: 30\r\n\r\n" + request);
  text = client.receive("nothing more");
  EXPECT_EQ(text.find("\"count\""), std::string::npos) << text;
}

TEST(Http, LengthsAreNumbers) {
  TestServer server("abc");
  for (const char *length : {"-5", "1e3", "99999999999999999999"}) {
    RawClient client(server.server().port());
    client.send("POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                "Content-Length: " +
                std::string(length) + "\r\n\r\n");
    const std::string status = length[0] == '9' ? " 413 " : " 400 ";
    EXPECT_NE(client.receive("\r\n").find(status), std::string::npos) << length;
  }
}

/// What a proxy in front may read in another way ends the connection, whatever follows.
TEST(Http, HeadsThatContradictThemselves) {
  TestServer server("abc");
  const std::string json = "Content-Type: application/json\r\n";
  for (const auto &[lines, what] :
       {std::pair("Content-Length: 15\r\nContent-Length: 3\r\n", "given twice"),
        {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "exclude each other"},
        {"Transfer-Encoding: gzip\r\n", "only chunked"},
        {"Transfer-Encoding: xchunked\r\n", "only chunked"},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", "only chunked"},
        {"Content-Length : 15\r\n", "no header"},
        {"Transfer-Encoding : chunked\r\nContent-Length: 15\r\n", "no header"},
        {"Transfer-Encoding: chunked\nContent-Length: 15\r\n", "no header"},
        {"X: a\r\n b\r\nContent-Length: 15\r\n", "no header"},
        {"Content-Length: %31%35\r\n", "malformed"}}) {
    RawClient client(server.server().port());
    client.send("POST /tokenize HTTP/1.1\r\nHost: x\r\n" + json + lines + "\r\n" +
                R"({"prompt": "a"})" + rawPost("/tokenize", R"({"prompt": "a"})"));
    const std::string all = client.receive("nothing more");
    EXPECT_EQ(all.find("HTTP/1.1 400 "), 0u) << lines << all;
    EXPECT_NE(all.find(what), std::string::npos) << lines << all;
    EXPECT_EQ(all.find("HTTP/1.1", 1), std::string::npos) << lines << all;
  }
  RawClient client(server.server().port()); // twice the same is no contradiction
  client.send("POST /tokenize HTTP/1.1\r\nHost: x\r\n" + json +
              "Content-Length: 15\r\nContent-Length: 15\r\n\r\n" + R"({"prompt": "a"})");
  EXPECT_NE(client.receive("\"count\"").find(" 200 "), std::string::npos);
}

TEST(Http, PostsWithoutABodyAreAnsweredAtOnce) {
  TestServer server("abc");
  const auto begin = std::chrono::steady_clock::now();
  RawClient client(server.server().port());
  for (const auto &[path, status] : {std::pair("POST /tokenize", " 400 "),
                                     {"POST /health", " 405 "},
                                     {"POST /nothing", " 404 "},
                                     {"PUT /tokenize", " 405 "},
                                     {"PATCH /nothing", " 404 "}}) {
    client.send(std::string(path) +
                " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n");
    EXPECT_NE(client.receive("}}").find(status), std::string::npos) << path;
  }
  client.send(rawPost("/tokenize", R"({"prompt": "a"})")); // on the same connection
  EXPECT_NE(client.receive("\"count\"").find(" 200 "), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

/// Nobody reads what no endpoint takes, however long it is.
TEST(Http, BodiesForNobodyAreNotRead) {
  TestServer server("abc");
  for (const char *line : {"POST /nothing", "PUT /tokenize"}) {
    RawClient client(server.server().port());
    client.send(std::string(line) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nabc");
    EXPECT_NE(client.receive("}}").find(line[1] == 'O' ? " 404 " : " 405 "), std::string::npos);
  }
}

TEST(Http, BodiesAreJson) {
  TestServer server("abc");
  const std::string body = R"({"prompt": "a"})";
  const auto status = [&](const httplib::Headers &headers, const char *type) {
    const auto result = server.client().Post("/tokenize", headers, body, type);
    return result ? result->status : 0;
  };
  for (const char *type : {"application/json", "Application/JSON",
                           "application/json; charset=utf-8", "application/json;charset=\"UTF-8\""})
    EXPECT_EQ(status({}, type), 200) << type;
  for (const char *type : {"application/jsonx", "application/json-patch+json", "text/json",
                           "application/json; charset=latin1"})
    EXPECT_EQ(status({}, type), 415) << type;
  EXPECT_EQ(status({{"Content-Encoding", "identity"}}, "application/json"), 200);
  for (const char *encoding : {"bogus", "GZIP"}) // which httplib would not decode
    EXPECT_EQ(status({{"Content-Encoding", encoding}}, "application/json"), 415) << encoding;
  RawClient client(server.server().port()); // as a page's fetch() without a type
  client.send("POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n" + body);
  EXPECT_NE(client.receive("}}").find(" 415 "), std::string::npos);
}

TEST(Http, OnlyNamesOfThisMachine) {
  ServerOptions options;
  options.api.onlyHost = "my-host";
  TestServer server("abc", {}, options);
  const auto status = [&](const std::string &host) {
    RawClient client(server.server().port());
    client.send("GET /metrics HTTP/1.1\r\n" + (host.empty() ? "" : "Host: " + host + "\r\n") +
                "\r\n");
    return client.receive("\r\n").substr(9, 3);
  };
  for (const char *host : {"", "localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:80", "[::1]",
                           "192.168.0.7", "a.localhost", "My-Host:1", "localhost."})
    EXPECT_EQ(status(host), "200") << host;
  for (const char *host : {"evil.example", "evil.example:80", "localhost.evil.example",
                           "127.0.0.1.evil.example", "[evil]", "localhostx",
                           "127.0.0.1%00.evil.example", "localhost%3A.evil", "[::1]evil", "[::1"})
    EXPECT_EQ(status(host), "403") << host;
}

TEST(Http, EndlessHeadsEnd) {
  TestServer server("abc");
  RawClient client(server.server().port());
  client.send("GET /health HTTP/1.1\r\n");
  for (int i = 0; i < 3000; ++i)
    client.send("X-Header-" + std::to_string(i) + ": " + std::string(100, 'x') + "\r\n");
  client.send("\r\n");
  client.receive("nothing more");
  EXPECT_EQ(server.client().Get("/health")->status, 200);
}

TEST(Http, MoreClientsThanThreads) {
  ServerOptions options;
  options.maxConnections = 4;
  TestServer server("abc", {}, options);
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 24; ++i)
    clients.emplace_back([&] {
      httplib::Client client = server.client();
      client.set_keep_alive(true);
      for (int k = 0; k < 3; ++k)
        if (const auto result = client.Get("/health"); result && result->status == 200)
          ++good;
    });
  for (std::thread &client : clients)
    client.join();
  EXPECT_EQ(good, 72);
}

TEST(Http, MetricsAreWellFormed) {
  TestServer server("abc");
  server.chat();
  const auto result = server.client().Get("/metrics");
  EXPECT_EQ(result->get_header_value("Content-Type"), "text/plain; version=0.0.4");
  EXPECT_NE(result->body.find("sinter_generated_tokens_total 3\n"), std::string::npos);
  EXPECT_NE(result->body.find("sinter_inter_token_seconds_bucket{le=\"+Inf\"} 0\n"),
            std::string::npos);
}

} // namespace
