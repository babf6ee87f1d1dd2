//===- HttpFuzzTest.cpp - ten thousand malformed requests -----------------===//
#include "test/runtime/server/TestServer.h"

#include "test/runtime/server/RawClient.h"

#include <random>

using namespace sinter;
using namespace sinter::test;

namespace {

using Random = std::mt19937;

const std::pair<const char *, const char *> kValid[] = {
    {"/v1/chat/completions",
     R"({"model": "fake", "messages": [{"role": "system", "content": "s"}, {"role": "user",
        "content": [{"type": "text", "text": "hi"}]}], "temperature": 0.5, "top_p": 0.9,
        "max_tokens": 5, "stop": ["x", "y"], "logit_bias": {"5": 1}, "n": 2, "seed": 3,
        "logprobs": true, "top_logprobs": 2, "tools": [{"type": "function", "function":
        {"name": "f", "parameters": {"type": "object"}}}], "tool_choice": "auto"})"},
    {"/v1/chat/completions",
     R"({"messages": [{"role": "user", "content": "hi"}], "stream": true, "stream_options":
        {"include_usage": true}, "response_format": {"type": "json_schema", "json_schema":
        {"name": "n", "schema": {"type": "object", "properties": {"a": {"type": "array", "items":
        {"enum": [1, "x", null]}, "maxItems": 3}}, "required": ["a"]}}}})"},
    {"/v1/completions", R"({"prompt": [1, 2, 3], "max_tokens": 4, "stop_token_ids": [5]})"},
    {"/tokenize", R"({"prompt": "some text", "allow_special": false})"},
    {"/detokenize", R"({"tokens": [104, 105], "skip_special_tokens": true})"},
};

/// A body in which some bytes are others, gone, twice, or not text at all.
std::string damageText(std::string body, Random &random) {
  const std::string pieces[] = {"\"",
                                "{",
                                "}",
                                "[",
                                "]",
                                ",",
                                ":",
                                "\\",
                                "\xff",
                                std::string(1, '\0'),
                                "\xed\xa0\x80",
                                "1e999",
                                "-",
                                "null",
                                "\\ud800",
                                "[[[[[[[[",
                                "99999999999999999999999"};
  for (size_t n = 1 + random() % 4; n > 0 && !body.empty(); --n) {
    const size_t at = random() % body.size();
    switch (random() % 4) {
    case 0:
      body.insert(at, pieces[random() % std::size(pieces)]);
      break;
    case 1:
      body.erase(at, 1 + random() % 8);
      break;
    case 2:
      body[at] = char(random());
      break;
    default:
      body.resize(at);
    }
  }
  return body;
}

/// A value of another kind than any field has, or far out of its range.
OrderedJson wrongValue(Random &random) {
  const OrderedJson values[] = {-1,
                                1e300,
                                "\u0000text",
                                OrderedJson::array({OrderedJson::array()}),
                                {{"a", {{"b", 1}}}},
                                INT64_MIN,
                                UINT64_MAX,
                                true,
                                0.5,
                                "",
                                std::string(300, 'z')};
  return values[random() % std::size(values)];
}

/// Changes a random value somewhere inside, or adds a field.
void damageValue(OrderedJson &value, Random &random) {
  if ((value.is_object() || value.is_array()) && !value.empty() && random() % 4) {
    auto child = value.begin();
    std::advance(child, long(random() % value.size()));
    return damageValue(*child, random);
  }
  if (value.is_object() && random() % 2)
    value["field" + std::to_string(random() % 10)] = wrongValue(random);
  else
    value = wrongValue(random);
}

/// A request whose head is damaged.
std::string damageHead(const char *path, const std::string &body, Random &random) {
  std::string head =
      std::string("POST ") + path + " HTTP/1.1\r\nHost: x\r\n" +
      "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n";
  const std::string heads[] = {
      "POST " + std::string(path) + " HTTP/9.9\r\nHost: x\r\n\r\n",
      "FETCH / HTTP/1.1\r\nHost: x\r\n\r\n",
      "POST " + std::string(path) + " HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "POST " + std::string(path) + " HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
      "POST " + std::string(path) +
          " HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: "
          "chunked\r\n\r\nzz\r\n{}\r\n",
      "POST " + std::string(path) +
          " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: "
          "gzip\r\nContent-Length: 4\r\n\r\nabcd",
      "GET /health HTTP/1.1\r\nRange: bytes=" + std::string(4000, '1') + "\r\n\r\n",
      "GET /" + std::string(9000, '%') + " HTTP/1.1\r\n\r\n",
      "\r\n\r\n\r\n",
      std::string(3000, 'A'),
  };
  if (random() % 2)
    return heads[random() % std::size(heads)];
  return damageText(head, random) + body;
}

/// The status of an answer; 0: the connection was closed without one.
int statusOf(const std::string &answer) {
  return answer.compare(0, 9, "HTTP/1.1 ") == 0 ? std::atoi(answer.c_str() + 9) : 0;
}

/// Whether a damaged body happens to be a good request: the fuzzer must not blame the server then.
bool isValid(const char *path, const std::string &body, TestServer &server) {
  FirstError error;
  const RequestDefaults defaults = server.defaults();
  const OrderedJson object = parseBody(body, error);
  if (error)
    return false;
  if (std::string_view(path) == "/v1/chat/completions") {
    parseChatRequest(object, defaults, error);
  } else if (std::string_view(path) == "/v1/completions") {
    parseCompletionRequest(object, defaults, error);
  } else if (std::string_view(path) == "/tokenize") {
    parseTokenizeRequest(object, defaults, error);
  } else {
    parseDetokenizeRequest(object, defaults, error);
  }
  return !error;
}

TEST(HttpFuzz, MalformedBodiesAreClientErrors) {
  TestServer server("{\"a\": []}");
  Random random(1);
  httplib::Client client = server.client();
  client.set_keep_alive(true);
  int refused = 0;
  for (int i = 0; refused < 8000; ++i) {
    ASSERT_LT(i, 40000) << "too few of the damaged bodies are malformed";
    const auto &[path, valid] = kValid[random() % std::size(kValid)];
    std::string body = valid;
    if (i % 2) {
      OrderedJson value = OrderedJson::parse(body);
      for (size_t n = 1 + random() % 2; n > 0; --n)
        damageValue(value, random);
      body = value.dump(-1, ' ', random() % 2, OrderedJson::error_handler_t::replace);
    } else {
      body = damageText(std::move(body), random);
    }
    const bool good = isValid(path, body, server);
    const auto result = client.Post(path, body, "application/json");
    ASSERT_TRUE(result) << i << " " << path << " " << body;
    if (!good)
      ASSERT_TRUE(result->status >= 400 && result->status < 500)
          << i << " " << path << " " << body << "\n"
          << result->status << " " << result->body;
    ASSERT_LT(result->status, 500) << i << " " << path << " " << body << "\n" << result->body;
    if (result->status >= 400) {
      ++refused;
      const OrderedJson error = json(result);
      ASSERT_TRUE(error.is_object() && error["error"]["message"].is_string()) << result->body;
    }
  }
  EXPECT_EQ(server.client().Get("/health")->status, 200);
  EXPECT_EQ(server.chat()->status, 200);
  EXPECT_TRUE(server.idle());
}

TEST(HttpFuzz, MalformedHeadsAreClientErrors) {
  TestServer server("abc");
  Random random(2);
  int answered = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto &[path, valid] = kValid[2 + random() % 3];
    const std::string request = damageHead(path, valid, random);
    RawClient client(server.server().port());
    client.send(request);
    client.endInput();
    const int status = statusOf(client.receive("nothing more"));
    // What is left of a head may be a good one; nothing may be the server's fault.
    ASSERT_LT(status, 500) << i << " " << request.substr(0, 200);
    answered += status >= 400;
  }
  EXPECT_GT(answered, 1000);
  EXPECT_EQ(server.client().Get("/health")->status, 200);
  EXPECT_EQ(server.chat()->status, 200);
  EXPECT_TRUE(server.idle());
}

} // namespace
