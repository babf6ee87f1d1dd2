//===- sinter-bench.cpp - how fast, and how fast it could be --------------===//
#include "Bench.h"
#include "GpuAttention.h"
#include "Intrusion.h"
#include "Lookup.h"
#include "Startup.h"
#include "Throughput.h"
#include "Tune.h"

#include "runtime/cli/Quantity.h"
#include "runtime/cli/ToolMain.h"
#include "runtime/engine/PromptLookup.h"

using namespace sinter;

namespace {

const CLI::Range kPositive(1u, 1u << 20);

/// CLI::Range takes NaN for a number of any range.
CLI::Validator numberIn(double least, double most) {
  const auto check = [=](const std::string &text) {
    double value = 0;
    const bool fits = CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
    return fits ? std::string()
                : text + " is not a number from " + CLI::detail::to_string(least) + " to " +
                      CLI::detail::to_string(most);
  };
  return CLI::Validator(check, "FLOAT in [" + CLI::detail::to_string(least) + " - " +
                                   CLI::detail::to_string(most) + "]");
}

constexpr const char *kExamples = R"(examples:
  sinter-bench decode qwen3-0.6b --batch 1,8 --context 128,512
  sinter-bench prefill qwen3-0.6b --length 512 --json docs/benchmarks/cpu.json
  sinter-bench decode model.sinter --weights ~/Qwen3-0.6B
  sinter-bench decode qwen3-0.6b --batch 16 --profile
  sinter-bench throughput qwen3-0.6b --sequences 1,16 --max-length 256
  sinter-bench throughput qwen3-0.6b --sequences 256 --load 0.7
  sinter-bench throughput qwen3-0.6b --sequences 1,16 --prompt-length 8 --max-length 100
  sinter-bench throughput --server http://127.0.0.1:8000 --load 0.7
  sinter-bench intrude qwen3-0.6b --sequences 32 --prompt 32768
  sinter-bench lookup qwen3-0.6b --sequences 16 --prompt-lookup 7
  sinter-bench attention qwen3-0.6b --batch 1,64 --context 4096 --length 8192
  sinter-bench start qwen3-0.6b.sinter
  sinter-bench tune qwen3-0.6b.pack -o table.json

The roofline is the larger of bytes / read bandwidth and operations / FMA peak, both measured on the
same threads between the steps: each step is compared with the mean of the probes right before and
after it, and the median of these ratios is printed. The probes themselves are not in the times. On a
GPU only read bandwidth is measured, and a step's graph alone stands beside the step.
Named shapes are compiled on first use and run with random weights.)";

CLI::Option *addCommonFlags(CLI::App &command, BenchOptions &o) {
  CLI::Option *model = command.add_option(
      "MODEL", o.model, "Compiled model, model directory or a shape: qwen3-0.6b, ...");
  model->required();
  command.add_option("--weights", o.weights, "Directory of the weights, or random:SEED");
  command.add_option("--dtype", o.dtype, "Activations, when compiling: bf16, f32 or f16")
      ->check(CLI::IsMember({"bf16", "f32", "f16"}));
  command
      .add_option(
          "--kv-cache-dtype", o.kvCacheDtype,
          "Cache, when compiling: auto (as activations), bf16, f32, f16, fp8_e4m3, fp8_e5m2")
      ->check(CLI::IsMember({"auto", "bf16", "f32", "f16", "fp8_e4m3", "fp8_e5m2"}));
  command.add_option("--threads", o.threads, "Threads (default: the processors of this process)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--isa", o.isa, "Use at most this of x86-64: v3, v4, v4-bf16")
      ->check(CLI::IsMember({"v3", "v4", "v4-bf16"}));
  command.add_flag("--no-data-parallel", o.noDataParallel,
                   "On a CPU: threads always work on the same sequences, never on some each");
  command.add_option("--target", o.target,
                     "What to compile for: cpu, cuda, cuda:sm_90a (default: the GPU, if any)");
  command.add_option("--device", o.device, "Number of the GPU (0)")->check(CLI::Range(0, 1023));
  command.add_flag("--no-graph", o.noGraph, "On a GPU: start every kernel on its own");
  command.add_flag("--no-pdl", o.noPdl, "On a GPU: no kernel starts before the last has ended");
  command.add_option("--prefill-chunk", o.chunk, "Prompt tokens per step (512; on a GPU the most)")
      ->check(CLI::Range(1u, 1u << 20));
  command.add_flag("--no-cache", o.noCache, "Compile again and keep nothing");
  command.add_option("--json", o.json, "Merge the results into this file by name");
  return model;
}

void addProfileFlag(CLI::App &command, BenchOptions &o) {
  command.add_flag("--profile", o.profile,
                   "Then print a table per entry point: time, bytes and GB/s of every kind of "
                   "launch (steps on a GPU are slower with it)");
}

void addSamplingFlags(CLI::App &command, BenchOptions &o) {
  command.add_option("--temperature", o.temperature, "0 (default): greedy")
      ->check(numberIn(0.0, 100.0));
  command.add_option("--top-k", o.topK, "0 (default): off")->check(CLI::Range(0, 1 << 20));
  command.add_option("--top-p", o.topP, "1 (default): off")->check(numberIn(0.0, 1.0));
  command.add_option("--repetition-penalty", o.repetitionPenalty, "1 (default): off")
      ->check(numberIn(0.01, 100.0));
}

void addEngineFlags(CLI::App &command, BenchOptions &o) {
  command.add_option("--seed", o.seed, "Of lengths, prompts and arrivals (0)")
      ->check(checkUnsigned64);
  command.add_option("--prompt-lookup", o.promptLookup, "Guess up to N (7) tokens a step")
      ->check(CLI::Range(0u, kMaxPromptLookup))
      ->option_text("N");
}

/// Instead of a model: its server has one, and all that is said about it.
void addServerFlags(CLI::App &command, BenchOptions &o) {
  auto *server = command.add_option(
      "--server", o.server, "Drive a running server instead of MODEL: http://127.0.0.1:8000");
  for (const char *other :
       {"MODEL", "--weights", "--dtype", "--kv-cache-dtype", "--threads", "--isa",
        "--no-data-parallel", "--target", "--device", "--no-graph", "--no-pdl", "--prefill-chunk",
        "--no-cache", "--profile", "--max-sequences", "--prompt-lookup"})
    server->excludes(command.get_option(other));
  command.add_option("--api-key-file", o.apiKeyFile, "A file with the server's key")->needs(server);
}

void addThroughputFlags(CLI::App &command, BenchOptions &o) {
  addCommonFlags(command, o)->required(false);
  addProfileFlag(command, o);
  command.add_option("--sequences", o.sequences, "Requests (256)")
      ->delimiter(',')
      ->check(kPositive);
  command
      .add_option("--min-length", o.minLength,
                  "Shortest answer, and prompt without --prompt-length (100)")
      ->check(kPositive);
  command
      .add_option("--max-length", o.maxLength,
                  "Longest answer, and prompt without --prompt-length (1024)")
      ->check(kPositive);
  command
      .add_option("--prompt-length", o.promptLength,
                  "Tokens of every prompt (default: drawn like those of answers)")
      ->check(kPositive);
  auto *rate =
      command.add_option("--rate", o.rate, "Requests per second, Poisson (default: all at once)")
          ->check(numberIn(1e-3, 1e6));
  command
      .add_option("--load", o.load,
                  "All at once, then Poisson arrivals at this share of that throughput: 0.7")
      ->check(numberIn(0.01, 10.0))
      ->excludes(rate);
  command.add_option("--max-sequences", o.maxSequences, "That run at a time (256)")
      ->check(kPositive);
  addSamplingFlags(command, o);
  addEngineFlags(command, o);
  addServerFlags(command, o);
}

void addAttentionFlags(CLI::App &command, BenchOptions &o) {
  addCommonFlags(command, o);
  command.add_option("--batch", o.batches, "Sequences that decode (1,64)")
      ->delimiter(',')
      ->check(kPositive);
  command.add_option("--context", o.contexts, "Tokens of each (4096)")
      ->delimiter(',')
      ->check(kPositive);
  command.add_option("--length", o.lengths, "Prompt tokens (8192)")
      ->delimiter(',')
      ->check(kPositive);
}

void addLookupFlags(CLI::App &command, BenchOptions &o) {
  addCommonFlags(command, o);
  command.add_option("--prompt-file", o.promptFile,
                     "Prompts are pieces of this text (default: random tokens that repeat)");
  command.add_option("--sequences", o.sequences, "Requests (16)")->delimiter(',')->check(kPositive);
  command.add_option("--min-length", o.minLength, "Tokens of their prompts (100)")
      ->check(kPositive);
  command.add_option("--tokens", o.tokens, "Tokens of their answers (256)")->check(kPositive);
  command.add_option("--max-sequences", o.maxSequences, "That run at a time (1)")->check(kPositive);
  command.add_option("--seed", o.seed, "Of the prompts (0)")->check(checkUnsigned64);
  command.add_option("--prompt-lookup", o.promptLookup, "Tokens guessed at a time (7)")
      ->check(CLI::Range(1u, kMaxPromptLookup))
      ->option_text("N");
}

void addIntrudeFlags(CLI::App &command, BenchOptions &o) {
  addCommonFlags(command, o);
  command.add_option("--prompt", o.intrude, "Tokens of the long prompt (32768)")->check(kPositive);
  command.add_option("--sequences", o.sequences, "Answers that run (256)")
      ->delimiter(',')
      ->check(kPositive);
  command.add_option("--min-length", o.minLength, "Tokens of their prompts (100)")
      ->check(kPositive);
  command.add_option("--tokens", o.tokens, "Tokens of each before the long prompt comes (64)")
      ->check(kPositive);
  addSamplingFlags(command, o);
  addEngineFlags(command, o);
}

void addStartFlags(CLI::App &command, StartOptions &o) {
  command.add_option("MODEL", o.model, "Compiled model")->required();
  command.add_option("--weights", o.weights,
                     "Directory of the weights (default: what the model was compiled from, else a "
                     "temporary file of random ones in $TMPDIR)");
  command.add_option("--threads", o.threads, "Threads (default: the processors of this process)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--device", o.device, "Number of the GPU (0)")->check(CLI::Range(0, 1023));
  command.add_option("--repeats", o.repeats, "Loads and starts to measure (5)")->check(kPositive);
  command.add_option("--json", o.json, "Merge the results into this file by name");
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Measures a model through its own generation loop.\n", "sinter-bench"};
  app.footer(kExamples);
  addVersionFlag(app);
  app.require_subcommand(1);
  BenchOptions options;
  CLI::App *decode = app.add_subcommand("decode", "One token at a time for a batch of sequences");
  addCommonFlags(*decode, options);
  addProfileFlag(*decode, options);
  decode->add_option("--batch", options.batches, "Sequences: 1,8")
      ->delimiter(',')
      ->check(kPositive);
  decode->add_option("--context", options.contexts, "Tokens before the first step: 128,512")
      ->delimiter(',')
      ->check(kPositive);
  decode->add_option("--tokens", options.tokens, "Steps to measure (64)")->check(kPositive);
  addSamplingFlags(*decode, options);
  CLI::App *prefill = app.add_subcommand("prefill", "A prompt");
  addCommonFlags(*prefill, options);
  addProfileFlag(*prefill, options);
  prefill->add_option("--length", options.lengths, "Prompt tokens: 512")
      ->delimiter(',')
      ->check(kPositive);
  prefill->add_option("--repeats", options.repeats, "Runs to measure (3)")->check(kPositive);
  CLI::App *throughput = app.add_subcommand("throughput", "Many requests through the engine");
  addThroughputFlags(*throughput, options);
  BenchOptions alone;
  alone.batches = {1, 64}, alone.contexts = {4096}, alone.lengths = {8192};
  CLI::App *attention = app.add_subcommand("attention", "Attention alone, on a GPU");
  addAttentionFlags(*attention, alone);
  CLI::App *intrude = app.add_subcommand("intrude", "A long prompt that arrives while answers run");
  addIntrudeFlags(*intrude, options);
  BenchOptions guessing;
  guessing.sequences = {16}, guessing.tokens = 256, guessing.maxSequences = 1;
  guessing.promptLookup = kMaxPromptLookup;
  CLI::App *lookup = app.add_subcommand("lookup", "What guessing by prompt lookup gains");
  addLookupFlags(*lookup, guessing);
  StartOptions starting;
  CLI::App *start = app.add_subcommand("start", "Loading of weights, and sinter-run's first token");
  addStartFlags(*start, starting);
  TuneOptions tuning;
  CLI::App *tune = app.add_subcommand("tune", "Which of a pack's GPU kernels is fastest");
  tune->add_option("PACK", tuning.pack, "What sinter-compile --tune-pack wrote")->required();
  tune->add_option("-o,--output", tuning.output,
                   "Table for sinter-compile --tuned; rows of other shapes in it are kept");
  tune->add_option("--json", tuning.json, "Merge the fusions into this file of results");
  tune->add_option("--part", tuning.part, "linears, fusions or all (all)")
      ->check(CLI::IsMember({"linears", "fusions", "all"}));
  tune->add_option("--device", tuning.device, "Number of the GPU (0)")->check(CLI::Range(0, 1023));
  tune->add_option("--pool", tuning.poolMegabytes, "MiB of weights to go through (1024)")
      ->check(CLI::Range(1u, 1u << 20));
  tune->add_option("--rounds", tuning.rounds, "Measurements of each (9)")
      ->check(CLI::Range(1u, 1000u));
  return toolMain(app, argc, argv, [&] {
    return tune->parsed()        ? benchTune(tuning)
           : decode->parsed()    ? benchDecode(options)
           : prefill->parsed()   ? benchPrefill(options)
           : attention->parsed() ? benchAttention(alone)
           : start->parsed()     ? benchStart(starting)
           : intrude->parsed()   ? benchIntrusion(options)
           : lookup->parsed()    ? benchLookup(guessing)
                                 : benchThroughput(options);
  });
}
