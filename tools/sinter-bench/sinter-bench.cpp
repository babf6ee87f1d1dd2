//===- sinter-bench.cpp - how fast, and how fast it could be --------------===//
#include "Bench.h"
#include "Throughput.h"
#include "Tune.h"

#include "runtime/cli/ToolMain.h"

using namespace sinter;

namespace {

constexpr const char *kExamples = R"(examples:
  sinter-bench decode qwen3-0.6b --batch 1,8 --context 128,512
  sinter-bench prefill qwen3-0.6b --length 512 --json docs/benchmarks/cpu.json
  sinter-bench decode model.sinter --weights ~/Qwen3-0.6B
  sinter-bench throughput qwen3-0.6b --sequences 1,16 --max-length 256
  sinter-bench tune qwen3-0.6b.pack -o table.json

The roofline is the larger of bytes / read bandwidth and operations / FMA peak, both measured on the
same threads between the steps: each step is compared with the mean of the probes right before and
after it, and the median of these ratios is printed. The probes themselves are not in the times. On a
GPU only read bandwidth is measured, and a step's graph alone stands beside the step.
Named shapes are compiled on first use and run with random weights.)";

void addCommonFlags(CLI::App &command, BenchOptions &o) {
  command
      .add_option("MODEL", o.model, "Compiled model, model directory or a shape: qwen3-0.6b, ...")
      ->required();
  command.add_option("--weights", o.weights, "Directory of the weights, or random:SEED");
  command.add_option("--dtype", o.dtype, "Activations and cache, when compiling: bf16, f32 or f16")
      ->check(CLI::IsMember({"bf16", "f32", "f16"}));
  command.add_option("--threads", o.threads, "Threads (default: the processors of this process)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--isa", o.isa, "Use at most x86-64-v3 or -v4: v3, v4")
      ->check(CLI::IsMember({"v3", "v4"}));
  command.add_option("--target", o.target,
                     "What to compile for: cpu, cuda, cuda:sm_90a (default: the GPU, if any)");
  command.add_option("--device", o.device, "Number of the GPU (0)")->check(CLI::Range(0, 1023));
  command.add_flag("--no-graph", o.noGraph, "On a GPU: start every kernel on its own");
  command.add_flag("--no-pdl", o.noPdl, "On a GPU: no kernel starts before the last has ended");
  command.add_option("--prefill-chunk", o.chunk, "Prompt tokens per step (512; on a GPU the most)")
      ->check(CLI::Range(1u, 1u << 20));
  command.add_flag("--no-cache", o.noCache, "Compile again and keep nothing");
  command.add_option("--json", o.json, "Merge the results into this file by name");
}

void addSamplingFlags(CLI::App &command, BenchOptions &o) {
  command.add_option("--temperature", o.temperature, "0 (default): greedy")
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-k", o.topK, "0 (default): off")->check(CLI::Range(0, 1 << 20));
  command.add_option("--top-p", o.topP, "1 (default): off")->check(CLI::Range(0.0, 1.0));
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Measures a model through its own generation loop.\n", "sinter-bench"};
  app.footer(kExamples);
  addVersionFlag(app);
  app.require_subcommand(1);
  const auto positive = CLI::Range(1u, 1u << 20);
  BenchOptions options;
  CLI::App *decode = app.add_subcommand("decode", "One token at a time for a batch of sequences");
  addCommonFlags(*decode, options);
  decode->add_option("--batch", options.batches, "Sequences: 1,8")->delimiter(',')->check(positive);
  decode->add_option("--context", options.contexts, "Tokens before the first step: 128,512")
      ->delimiter(',')
      ->check(positive);
  decode->add_option("--tokens", options.tokens, "Steps to measure (64)")->check(positive);
  addSamplingFlags(*decode, options);
  CLI::App *prefill = app.add_subcommand("prefill", "A prompt");
  addCommonFlags(*prefill, options);
  prefill->add_option("--length", options.lengths, "Prompt tokens: 512")
      ->delimiter(',')
      ->check(positive);
  prefill->add_option("--repeats", options.repeats, "Runs to measure (3)")->check(positive);
  CLI::App *throughput = app.add_subcommand("throughput", "Many requests through the engine");
  addCommonFlags(*throughput, options);
  throughput->add_option("--sequences", options.sequences, "Requests, all at once (256)")
      ->delimiter(',')
      ->check(positive);
  throughput->add_option("--min-length", options.minLength, "Shortest prompt and answer (100)")
      ->check(positive);
  throughput->add_option("--max-length", options.maxLength, "Longest prompt and answer (1024)")
      ->check(positive);
  throughput->add_option("--seed", options.seed, "Of lengths and prompts (0)");
  addSamplingFlags(*throughput, options);
  throughput->add_option("--max-sequences", options.maxSequences, "That run at a time (256)")
      ->check(positive);
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
    return tune->parsed()      ? benchTune(tuning)
           : decode->parsed()  ? benchDecode(options)
           : prefill->parsed() ? benchPrefill(options)
                               : benchThroughput(options);
  });
}
