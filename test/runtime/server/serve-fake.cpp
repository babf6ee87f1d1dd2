//===- serve-fake.cpp - a server over a scripted engine, for end-to-end tests //
//
// serve-fake [--step-us N] [--key KEY] [--die-ms N]: prints its port, then serves until SIGTERM or
// until its engine dies. The answer to a chat is the last message of its prompt, whose text may
// hold `<think>` and
// `<tool_call>`; the answer to a plain prompt is the prompt.
//
//===----------------------------------------------------------------------===//
#include "test/runtime/server/TestServer.h"

#include <cstdio>
#include <cstring>

using namespace sinter;
using namespace sinter::test;

int main(int argc, char **argv) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  FakeOptions fake;
  int dieAfter = 0;
  ServerOptions options;
  fake.limits.maxTokens = 4096;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--step-us") == 0)
      fake.stepTime = std::chrono::microseconds(std::atoi(argv[i + 1]));
    else if (std::strcmp(argv[i], "--die-ms") == 0)
      dieAfter = std::atoi(argv[i + 1]);
    else if (std::strcmp(argv[i], "--key") == 0)
      options.api.apiKey = argv[i + 1];
  }
  const Tokenizer tokenizer = smallTokenizer();
  fake.script = [tokenizer](const std::vector<int32_t> &prompt) {
    std::string text = tokenizer.decode(prompt);
    constexpr std::string_view kUser = "<|im_start|>user\n", kEnd = "<|im_end|>";
    if (const size_t user = text.rfind(kUser); user != std::string::npos)
      text = text.substr(user + kUser.size(), text.find(kEnd, user) - user - kUser.size());
    return *tokenizer.encode(text);
  };
  TestServer server(fake, options);
  std::printf("%d\n", server.server().port());
  std::fflush(stdout);
  std::thread killer([&] {
    if (dieAfter > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(dieAfter));
      server.engine->die(unavailable("the device is gone"));
    }
  });
  const Status status = server.server().run(signals, std::chrono::seconds(5));
  killer.join();
  return status ? 0 : 1;
}
