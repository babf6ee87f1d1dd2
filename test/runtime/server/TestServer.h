//===- TestServer.h - a server over a fake engine, and a client -*- C++ -*-===//
#pragma once

#include "runtime/server/Server.h"

#include "test/runtime/server/FakeService.h"
#include "test/runtime/server/SmallTokenizer.h"

#include <gtest/gtest.h>
#include <httplib.h>

namespace sinter::test {

inline constexpr const char *kTestTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if tools %}T{{ tools | length }}{% endif %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking %}<think>\n{% endif %}";

/// What makes a model say `text`, whatever the prompt.
inline FakeOptions saying(const std::string &text, FakeOptions fake = {}) {
  const auto script = *smallTokenizer().encode(text);
  fake.script = [script](const std::vector<int32_t> &) { return script; };
  return fake;
}

class TestServer {
public:
  explicit TestServer(const std::string &says, FakeOptions fake = {}, ServerOptions options = {},
                      bool ready = true)
      : TestServer(saying(says, std::move(fake)), std::move(options), ready) {}

  explicit TestServer(FakeOptions fake, ServerOptions options = {}, bool ready = true)
      : server_((options.port = 0, std::move(options))) {
    fake.endToken = kEndToken;
    fake.limits.vocab = kSmallVocab;
    auto service = std::make_unique<FakeService>(std::move(fake));
    engine = service.get();
    model_ = std::make_shared<ServedModel>(ServedModel{smallTokenizer(),
                                                       *ChatTemplate::parse(kTestTemplate),
                                                       {},
                                                       {kEndToken},
                                                       std::move(service),
                                                       1700000000});
    model_->defaults.model = "fake";
    model_->defaults.vocab = kSmallVocab;
    const Status started = server_.start();
    EXPECT_TRUE(started) << started.message();
    if (ready)
      load();
  }

  void load() { server_.serve(model_); }
  Server &server() { return server_; }
  const RequestDefaults &defaults() const { return model_->defaults; }

  httplib::Client client() {
    httplib::Client client("127.0.0.1", server_.port());
    client.set_read_timeout(20);
    return client;
  }
  httplib::Result post(const std::string &path, const std::string &body) {
    return client().Post(path, body, "application/json");
  }
  /// A chat whose only message is "hi", with further fields.
  httplib::Result chat(const std::string &fields = "") {
    return post("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "hi"}])" +
                                            (fields.empty() ? "" : ", " + fields) + "}");
  }
  /// Waits until no request holds anything; false after two seconds.
  bool idle() {
    for (int i = 0; i < 200; ++i) {
      if (engine->figures().pagesUsed == 0)
        return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  FakeService *engine = nullptr;

private:
  std::shared_ptr<ServedModel> model_;
  Server server_;
};

inline OrderedJson json(const httplib::Result &result) {
  return result ? OrderedJson::parse(result->body, nullptr, false) : OrderedJson();
}

} // namespace sinter::test
