//===- sinter-run.cpp - runs a compiled model -----------------------------===//
#include "Run.h"

#include "runtime/cli/Quantity.h"
#include "runtime/cli/ToolMain.h"
#include "runtime/engine/PromptLookup.h"

using namespace sinter;

namespace {

constexpr const char *kExamples = R"(examples:
  sinter-run shakespeare.sinter -p "ROMEO:"
  sinter-run ~/Qwen3-0.6B -p "The capital of France is"     compiles on first use
  sinter-run ~/Qwen3-0.6B --chat
  sinter-run model.sinter --prompt-file essay.txt --max-tokens 0 --logits logits.npy
  sinter-run model.sinter --prompt-file code.py --prompt-lookup 7
  sinter-run model.sinter --token-ids 9707,11,1879 --greedy --json
  sinter-run model.sinter --profile -p "Hello" --weights random:1

A compiled model is code: run only files you trust.)";

void addPromptFlags(CLI::App &app, RunOptions &o) {
  auto *text = app.add_option("-p,--prompt", o.prompt, "The prompt (default: standard input)");
  auto *file = app.add_option("--prompt-file", o.promptFile, "A file with the prompt");
  auto *ids = app.add_option("--token-ids", o.tokenIds, "Token ids instead: 1,2,3 or @FILE");
  text->excludes(file)->excludes(ids);
  file->excludes(ids);
}

void addChatFlags(CLI::App &app, RunOptions &o) {
  const char *group = "Chat";
  auto *chat = app.add_flag("--chat", o.chat, "Talk to the model; /help says how")->group(group);
  for (const char *other :
       {"--prompt", "--prompt-file", "--token-ids", "--json", "--echo", "--logits", "--profile"})
    chat->excludes(app.get_option(other));
  app.add_option("--system", o.system, "The system prompt")->needs(chat)->group(group);
  app.add_option("--chat-template", o.chatTemplate, "A Jinja file instead of the model's template")
      ->needs(chat)
      ->group(group);
  app.add_flag("--no-thinking", o.noThinking, "Ask the model to answer at once")
      ->needs(chat)
      ->group(group);
}

void addGenerationFlags(CLI::App &app, RunOptions &o) {
  const char *group = "Generation (defaults: generation_config.json of the model)";
  app.add_option("--max-tokens", o.maxTokens,
                 "Most tokens to generate (the model's, else 256; 0 with --logits)")
      ->group(group);
  app.add_flag("--ignore-eos", o.ignoreEos, "Go on after an end token")->group(group);
  app.add_flag("--greedy", o.greedy, "Always take the most likely token")->group(group);
  app.add_option("--temperature", o.temperature, "Flatten (> 1) or sharpen (< 1); 0 is greedy")
      ->group(group);
  app.add_option("--top-k", o.topK, "Draw from the K most likely tokens; 0: all")->group(group);
  app.add_option("--top-p", o.topP, "Draw from the likeliest tokens that make up P")->group(group);
  app.add_option("--min-p", o.minP, "Draw from tokens at least P times as likely as the first")
      ->group(group);
  app.add_option("--repetition-penalty", o.repetitionPenalty,
                 "Above 1: less of what the prompt or the text has had; also with --greedy")
      ->group(group);
  app.add_option("--prompt-lookup", o.promptLookup,
                 "Guess up to N (7) tokens a step from repetitions and check them together")
      ->check(CLI::Range(0u, kMaxPromptLookup))
      ->option_text("N")
      ->group(group);
  app.add_option("--seed", o.seed, "Same seed, same text (default: a new one each time)")
      ->check(checkUnsigned64)
      ->group(group);
}

void addOutputFlags(CLI::App &app, RunOptions &o) {
  const char *group = "Output";
  auto *echo = app.add_flag("--echo", o.echo, "Print the prompt before the text")->group(group);
  app.add_flag("--json", o.json, "Print one JSON object instead of text: ids, text, timings")
      ->excludes(echo)
      ->group(group);
  app.add_option("--logits", o.logits, "Write f32 [prompt tokens, vocabulary] to this .npy file")
      ->group(group);
  app.add_flag(
         "--profile", o.profile,
         "Per operation: calls, time, bytes, share of the machine; on a GPU registers, shared "
         "memory, occupancy and busy multiprocessors too")
      ->group(group);
  app.add_flag("-q,--quiet", o.quiet, "No closing line and no measurement for it")->group(group);
}

/// Beside those that all tools have.
void addMemoryFlags(CLI::App &app, RunOptions &o) {
  const char *group = "Machine";
  app.add_option("--max-context", o.maxContext,
                 "Tokens the KV cache holds (default: prompt and --max-tokens)")
      ->excludes(app.get_option("--kv-memory"))
      ->group(group);
  app.add_option("--prefill-chunk", o.prefillChunk,
                 "Prompt tokens per step (512; on a GPU the most)")
      ->check(CLI::Range(1u, 1u << 20))
      ->group(group);
  app.add_option("--debug", o.debug,
                 "Tests: poison, sync, share-pages, shuffle-pages=SEED, separated by commas")
      ->group(group);
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Runs a compiled model (MODEL.sinter) or a model directory.\n", "sinter-run"};
  app.footer(kExamples);
  addVersionFlag(app);
  RunOptions options;
  app.add_option("MODEL", options.model, "Compiled model or model directory")->required();
  addPromptFlags(app, options);
  addGenerationFlags(app, options);
  addOutputFlags(app, options);
  addChatFlags(app, options);
  addModelFlags(app, options);
  addMemoryFlags(app, options);
  return toolMain(app, argc, argv, [&] { return runModel(options); });
}
