//===- sinter-serve.cpp - an OpenAI-compatible server ---------------------===//
#include "Serve.h"

#include "runtime/cli/ToolMain.h"
#include "runtime/engine/PromptLookup.h"

using namespace sinter;

namespace {

constexpr const char *kExamples = R"(examples:
  sinter-serve shakespeare.sinter                            then open http://127.0.0.1:8000
  sinter-serve ~/Qwen3-0.6B --port 0                         any port; it is printed
  sinter-serve qwen3.sinter --host 0.0.0.0 --api-key-file key.txt
  sinter-serve qwen3.sinter --kv-memory 20GiB --max-context 32768
  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \
    -d '{"messages": [{"role": "user", "content": "Hello"}], "stream": true}'

SIGTERM or Ctrl-C: what runs is finished first. Endpoints, fields and errors: docs/server.md.)";

void addServerFlags(CLI::App &app, ServeOptions &o) {
  const char *group = "Server";
  app.add_option("--host", o.host, "Address to listen at (127.0.0.1: this machine only)")
      ->group(group);
  app.add_option("--port", o.port, "Port (8000); 0: any, which is printed")
      ->check(CLI::Range(0, 65535))
      ->group(group);
  app.add_option("--name", o.name, "The model's name for clients (default: that of its file)")
      ->group(group);
  auto *key =
      app.add_option("--api-key", o.apiKey, "Clients must send this key; others see it in ps")
          ->group(group);
  app.add_option("--api-key-file", o.apiKeyFile, "A file with the key")
      ->excludes(key)
      ->group(group);
  app.add_option("--chat-template", o.chatTemplate, "A Jinja file instead of the model's template")
      ->group(group);
  app.add_option("--max-body", o.maxBody, "Largest request body (4MiB)")->group(group);
  app.add_option("--max-connections", o.maxConnections, "Connections served at once (512)")
      ->check(CLI::Range(1u, 65536u))
      ->group(group);
  app.add_option("--drain-seconds", o.drainSeconds,
                 "How long running requests may take at the end (30)")
      ->check(CLI::Range(0u, 86400u))
      ->group(group);
  app.add_flag("-q,--quiet", o.quiet, "No line per request")->group(group);
}

void addEngineFlags(CLI::App &app, ServeOptions &o) {
  const char *group = "Engine";
  app.add_option("--max-context", o.maxContext, "Most tokens of prompt and answer (the model's)")
      ->check(CLI::Range(uint64_t(2), uint64_t(1) << 32))
      ->group(group);
  app.add_option("--max-sequences", o.maxSequences, "Answers that are computed together (256)")
      ->check(CLI::Range(1u, 65536u))
      ->group(group);
  app.add_option("--max-requests", o.maxRequests, "Requests taken, running and waiting (1024)")
      ->check(CLI::Range(1u, 1u << 20))
      ->group(group);
  app.add_option("--tokens-per-step", o.tokensPerStep,
                 "Prompt and answer tokens of one step (512; on a GPU 8192, of which 2048 while "
                 "answers are written)")
      ->check(CLI::Range(1u, 1u << 20))
      ->group(group);
  app.add_option("--prompt-tokens-per-step", o.promptTokensPerStep,
                 "Prompt tokens of a step in which answers wait for their next token (by the "
                 "model's size; all of --tokens-per-step where that is given)")
      ->check(CLI::Range(1u, 1u << 20))
      ->group(group);
  app.add_option("--swap-memory", o.swapMemory,
                 "Host memory, as 4GiB, for pages of interrupted answers, which are computed "
                 "again without it (none)")
      ->group(group);
  app.add_flag("--no-prefix-cache", o.noPrefixCache, "Compute every prompt from its beginning")
      ->group(group);
  app.add_option("--prompt-lookup", o.promptLookup,
                 "Guess up to N (7) tokens a step from repetitions and check them together")
      ->check(CLI::Range(0u, kMaxPromptLookup))
      ->option_text("N")
      ->group(group);
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Serves a compiled model (MODEL.sinter) or a model directory to many clients, and a "
               "chat page.\n",
               "sinter-serve"};
  app.footer(kExamples);
  addVersionFlag(app);
  ServeOptions options;
  app.add_option("MODEL", options.model, "Compiled model or model directory")->required();
  addServerFlags(app, options);
  addEngineFlags(app, options);
  addModelFlags(app, options);
  return toolMain(app, argc, argv, [&] { return serveModel(options); });
}
