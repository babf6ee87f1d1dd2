//===- sinter-compile.cpp - a model becomes one file ----------------------===//
#include "Compile.h"
#include "ModelSource.h"

#include "models/NamedConfigs.h"
#include "runtime/cli/CacheFolder.h"
#include "runtime/cli/ToolMain.h"
#include "sinter/Support/GraphText.h"
#include "sinter/Support/OutputFile.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace sinter;

namespace {

constexpr const char *kExamples = R"(examples:
  sinter-compile ~/Qwen3-0.6B                        writes Qwen3-0.6B.sinter here
  sinter-compile ~/Qwen3-0.6B --dtype f32 -o a.sinter
  sinter-compile qwen3-0.6b                          a published shape, for random weights
  sinter-compile ~/Qwen3-0.6B --target=cuda          for an H100 or H200; no GPU needed here
  sinter-compile models/shakespeare --emit=fused     prints the graph after fusion
  sinter-compile graph.mlir --emit=asm               a graph as text

A compiled model is code: run only files that you trust.)";

constexpr int64_t kMaxTokensPerStep = 1 << 20;

struct Arguments {
  std::string input;
  std::string output;
  std::string dtype;
  std::string kvDtype = "auto";
  std::string emit;
  bool noKScale = false;
  bool noFusion = false;
  bool noReuse = false;
  bool timing = false;
  bool config = false;
  bool noCache = false;
  std::string tunePack;
  std::optional<int64_t> maxTokensPerStep;
  CompileRequest request;
  std::vector<std::string> modelOnly; ///< options given that a graph has decided itself
};

bool endsWith(const std::string &text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

Result<std::optional<ModelSource>> openInput(Arguments &arguments) {
  const std::string &input = arguments.input;
  std::error_code ignored;
  if (std::filesystem::is_directory(input, ignored)) {
    SINTER_ASSIGN_OR_RETURN(ModelSource source, openModelDirectory(input));
    return std::optional<ModelSource>(std::move(source));
  }
  if (models::findNamedConfig(input)) {
    SINTER_ASSIGN_OR_RETURN(ModelSource source, openNamedModel(input));
    return std::optional<ModelSource>(std::move(source));
  }
  if (!endsWith(input, ".mlir")) {
    std::string names;
    for (std::string_view name : models::namedConfigs())
      names += (names.empty() ? "" : ", ") + std::string(name);
    return notFound(input + ": neither a model directory, nor a .mlir file, nor one of " + names);
  }
  if (!arguments.modelOnly.empty())
    return invalidArgument(arguments.modelOnly.front() + ": does not apply to a graph, which has " +
                           "its types and sizes");
  arguments.request.graphFile = input;
  SINTER_ASSIGN_OR_RETURN(arguments.request.graphText, readGraphFile(input));
  return std::optional<ModelSource>();
}

Status parseEmit(const std::string &name, EmitStage &stage) {
  static const std::map<std::string, EmitStage> stages = {
      {"", EmitStage::Artifact},       {"xfmr", EmitStage::Xfmr}, {"fused", EmitStage::Fused},
      {"lowered", EmitStage::Lowered}, {"llvm", EmitStage::Llvm}, {"asm", EmitStage::Asm}};
  const auto found = stages.find(name);
  if (found == stages.end())
    return invalidArgument("--emit: \"" + name + "\" is not xfmr, fused, lowered, llvm or asm");
  stage = found->second;
  return Status::ok();
}

/// The imported graph has seen no pass: options about passes would do nothing.
Status checkXfmrStage(const Arguments &arguments) {
  const CompileRequest &request = arguments.request;
  if (request.emit != EmitStage::Xfmr)
    return Status::ok();
  const std::pair<const char *, bool> options[] = {
      {"--explain-fusion", request.explainFusion},
      {"--print-ir-after-all", request.printIrAfterAll},
      {"--no-fusion", arguments.noFusion},
      {"--disable-pass", !request.disabledPasses.empty()},
      {"--no-reuse", arguments.noReuse}};
  for (const auto &[name, given] : options)
    if (given)
      return invalidArgument(std::string(name) + ": --emit=xfmr stops before the fusions");
  return Status::ok();
}

Status parseKvDtype(Arguments &arguments) {
  CompileRequest &request = arguments.request;
  if (arguments.kvDtype == "auto")
    return Status::ok();
  request.kvDtype = parseDType(arguments.kvDtype);
  if (!request.kvDtype || *request.kvDtype == DType::I32)
    return invalidArgument("--kv-cache-dtype: \"" + arguments.kvDtype +
                           "\" is not auto, bf16, f16, f32, fp8_e4m3 or fp8_e5m2");
  // The imported graph belongs to no target.
  if (isFp8(*request.kvDtype) && request.emit != EmitStage::Xfmr &&
      request.target.compare(0, 4, "cuda") != 0)
    return unsupported("--kv-cache-dtype " + arguments.kvDtype +
                       ": only the cuda target has fp8 caches");
  return Status::ok();
}

Status checkArguments(Arguments &arguments) {
  CompileRequest &request = arguments.request;
  SINTER_RETURN_IF_ERROR(parseEmit(arguments.emit, request.emit));
  if (!arguments.dtype.empty()) {
    request.dtype = parseDType(arguments.dtype);
    if (!request.dtype || !isActivationType(*request.dtype))
      return invalidArgument("--dtype: \"" + arguments.dtype + "\" is not bf16, f16 or f32");
  }
  SINTER_RETURN_IF_ERROR(parseKvDtype(arguments));
  const int64_t page = request.pageSize;
  const bool cuda = request.target.compare(0, 4, "cuda") == 0;
  const int64_t least = cuda ? 8 : 16, most = cuda ? 64 : 1024;
  if (page < least || page > most || (page & (page - 1)) != 0)
    return invalidArgument("--page-size: " + std::to_string(page) + " is not a power of two from " +
                           std::to_string(least) + " to " + std::to_string(most) +
                           (cuda ? ", as the cuda target wants" : ""));
  request.maxTokensPerStep = arguments.maxTokensPerStep.value_or(cuda ? 8192 : 2048);
  if (request.maxTokensPerStep < 1 || request.maxTokensPerStep > kMaxTokensPerStep)
    return invalidArgument("--max-tokens-per-step: " + std::to_string(request.maxTokensPerStep) +
                           " is not between 1 and " + std::to_string(kMaxTokensPerStep));
  if (!arguments.tunePack.empty() && request.target.compare(0, 4, "cuda") != 0)
    return invalidArgument("--tune-pack: only the cuda target has kernels to choose from");
  SINTER_RETURN_IF_ERROR(checkXfmrStage(arguments));
  request.kScale = !arguments.noKScale;
  request.fusion = !arguments.noFusion;
  request.reuseBuffers = !arguments.noReuse;
  return Status::ok();
}

void printConfig(const ModelSource &model, const CompileRequest &request) {
  const models::ModelConfig &config = model.config;
  const auto line = [](const char *key, const auto &value) {
    fmt::print("{:<20}{}\n", key, value);
  };
  line("name", model.name);
  line("architecture", config.architecture);
  line("layers", config.layers);
  line("hidden", config.hidden);
  line("intermediate", config.intermediate);
  line("heads", fmt::format("{} query, {} key/value, {} wide", config.heads, config.kvHeads,
                            config.headDim));
  line("vocabulary", fmt::format("{}, {}", config.vocab,
                                 config.tieWordEmbeddings ? "tied head" : "separate head"));
  line("positions", config.maxPositionEmbeddings);
  const auto full = std::count(config.windows.begin(), config.windows.end(), 0);
  if (full < config.layers)
    line("window", fmt::format("{} tokens in {} of {} layers",
                               *std::max_element(config.windows.begin(), config.windows.end()),
                               config.layers - full, config.layers));
  line("q/k norm", model.variants.hasQkNorm ? "yes" : "no");
  line("bias", model.variants.hasOBias     ? "q, k, v, o"
               : model.variants.hasQkvBias ? "q, k, v"
                                           : "none");
  const DType activation = request.dtype.value_or(model.defaultDType());
  line("activations", dtypeName(activation));
  line("cache", dtypeName(request.kvDtype.value_or(activation)));
  line("weights", model.checkpoint ? model.directory : "none (a published shape)");
  line("tokenizer", model.tokenizer.empty() ? "none" : "tokenizer.json");
  line("chat template", model.chatTemplate.empty() ? "none" : "yes");
}

std::string formatBytes(size_t bytes) {
  return bytes < 1'000'000 ? fmt::format("{:.0f} KB", double(bytes) / 1e3)
                           : fmt::format("{:.1f} MB", double(bytes) / 1e6);
}

/// The graph, or a file of the model, is not to be written over.
Status checkNoInput(const std::string &output, const std::string &input) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_regular_file(output, error))
    return Status::ok();
  const std::string extension = fs::path(output).extension().string();
  const bool ofModel = fs::is_directory(input, error) &&
                       fs::equivalent(fs::absolute(output, error).parent_path(), input, error) &&
                       (extension == ".json" || extension == ".safetensors" ||
                        extension == ".jinja" || extension == ".txt");
  if (ofModel || fs::equivalent(output, input, error))
    return invalidArgument("-o " + output + ": would write over what is compiled");
  return Status::ok();
}

/// Where the result goes; empty: standard output.
std::string outputPath(const Arguments &arguments, const std::string &name) {
  const bool artefact = arguments.request.emit == EmitStage::Artifact;
  return arguments.output.empty() && artefact ? name + ".sinter" : arguments.output;
}

/// One line on a terminal that is written over until it is cleared.
class ProgressLine {
public:
  static void show(const CompileProgress &at) {
    std::string text = fmt::format("[{}/{}] {}", at.stage, at.stages, at.name);
    if (at.allKernels)
      text += fmt::format("   {} of {} kernels", at.kernels, at.allKernels);
    fmt::print(stderr, "\r\033[K{}", text);
  }
  ~ProgressLine() {
    if (on)
      fmt::print(stderr, "\r\033[K");
  }

  bool on = false;
};

/// Nobody looks at a line that is not on a terminal, and a stage that is printed speaks for itself.
Result<CompileResult> compileWithProgress(CompileRequest &request, const std::string &path) {
  ProgressLine line;
  line.on = isatty(STDERR_FILENO) && !path.empty() && !request.printIrAfterAll;
  if (line.on)
    request.progress = ProgressLine::show;
  return compile(request);
}

Status writeResult(const Arguments &arguments, const CompileResult &result, const std::string &path,
                   double seconds) {
  // Beside a stage on standard output the report would make it unreadable for other tools.
  (path.empty() ? std::cerr : std::cout) << result.fusionReport;
  if (path.empty()) {
    std::cout << result.output;
    return Status::ok();
  }
  SINTER_RETURN_IF_ERROR(writeWholeFile(path, result.output));
  if (arguments.request.emit != EmitStage::Artifact)
    return Status::ok();
  std::string device;
  if (result.cachedKernels)
    device += fmt::format(", {} cached", result.cachedKernels);
  if (result.hasCubins)
    device += fmt::format(", {} spilled bytes", result.spillBytes);
  fmt::print("wrote {} ({}, {} entry points, {} kernels{})   {:.1f} s\n", path,
             formatBytes(result.output.size()), result.entries, result.kernels, device, seconds);
  if (arguments.request.target.compare(0, 4, "cuda") == 0 && !result.hasCubins)
    fmt::print(stderr, "sinter-compile: no ptxas found (in $SINTER_CUDA, else $PATH, $CUDA_HOME or "
                       "/usr/local/cuda): PTX only, the driver compiles it where it runs\n");
  return Status::ok();
}

Status readTuned(CompileRequest &request) {
  constexpr uint64_t kMaxTable = 64 << 20;
  const bool cuda = request.target.compare(0, 4, "cuda") == 0;
  if (request.tunedFile.empty() || request.tunedFile == "none")
    return Status::ok();
  if (!cuda)
    return invalidArgument("--tuned: only the cuda target has tuned tables");
  SINTER_ASSIGN_OR_RETURN(request.tunedText, readTextFile(request.tunedFile, kMaxTable));
  return Status::ok();
}

Status run(Arguments &arguments) {
  const auto start = std::chrono::steady_clock::now();
  SINTER_RETURN_IF_ERROR(checkArguments(arguments));
  SINTER_ASSIGN_OR_RETURN(const auto model, openInput(arguments));
  if (arguments.config && !model)
    return invalidArgument("--config: a graph has no configuration");
  if (arguments.config) {
    printConfig(*model, arguments.request);
    return Status::ok();
  }
  const std::string path =
      !arguments.tunePack.empty()
          ? arguments.tunePack
          : outputPath(arguments, model ? model->name
                                        : std::filesystem::path(arguments.input).stem().string());
  if (!path.empty()) {
    SINTER_RETURN_IF_ERROR(checkNoInput(path, arguments.input));
    SINTER_RETURN_IF_ERROR(OutputFile::check(path));
  }
  arguments.request.model = model ? &*model : nullptr;
  // Without a usable folder every kernel is compiled anew; nothing else changes.
  if (const Result<std::string> folder = cacheFolder(); folder && !arguments.noCache)
    arguments.request.kernelCache = *folder + "/kernels";
  SINTER_RETURN_IF_ERROR(readTuned(arguments.request));
  if (!arguments.tunePack.empty()) {
    SINTER_ASSIGN_OR_RETURN(const CompileResult pack, compileTunePack(arguments.request));
    SINTER_RETURN_IF_ERROR(writeWholeFile(arguments.tunePack, pack.output));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    fmt::print("wrote {} ({}, {} kernels to measure)   {:.1f} s\n", arguments.tunePack,
               formatBytes(pack.output.size()), pack.kernels, took.count());
    return Status::ok();
  }
  SINTER_ASSIGN_OR_RETURN(const CompileResult result, compileWithProgress(arguments.request, path));
  if (arguments.timing)
    for (const StageTime &stage : result.times)
      fmt::print(stderr, "{:<16}{:8.1f} ms\n", stage.name, stage.seconds * 1e3);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return writeResult(arguments, result, path, took.count());
}

void declareOptions(CLI::App &app, Arguments &arguments) {
  CompileRequest &request = arguments.request;
  app.add_option("INPUT", arguments.input, "Model directory, shape name or .mlir file")->required();
  app.add_option("-o,--output", arguments.output, "Output file; NAME.sinter when not given");
  app.add_option("--emit", arguments.emit,
                 "Print a stage instead of writing a file: xfmr (the imported graph), fused (after "
                 "fusion, layout and plan), lowered (kernels), llvm, asm")
      ->option_text("STAGE");
  app.add_option(
         "--target", request.target,
         "cpu (all instruction sets), cpu:x86-64-v3, -v4 or -v4-bf16; cuda (sm_90a) or cuda:CHIP "
         "with sm_80, sm_86, sm_89, sm_90 or sm_90a")
      ->capture_default_str()
      ->option_text("TARGET");
  app.add_option("--dtype", arguments.dtype,
                 "Type of activations: bf16, f16 or f32; the checkpoint's by default");
  app.add_option("--kv-cache-dtype", arguments.kvDtype,
                 "Type of the cache: auto (that of activations), bf16, f16, f32; on cuda also "
                 "fp8_e4m3 and fp8_e5m2, half the bytes of bf16")
      ->capture_default_str()
      ->option_text("DTYPE");
  app.add_option(
      "--max-tokens-per-step", arguments.maxTokensPerStep,
      "Longest prefill chunk (2048, on cuda 8192); memory for activations grows with it");
  app.add_option("--page-size", request.pageSize, "Tokens per page of the cache")
      ->capture_default_str();
  app.add_flag(
      "--batch-invariant", request.batchInvariant,
      "Same bits for a token whatever stands beside it; always so on the cpu target, slower "
      "on cuda");
  app.add_flag("--no-cache", arguments.noCache, "Compile every GPU kernel anew and keep none");
  app.add_flag("--no-k-scale", arguments.noKScale,
               "Store K unscaled (with large k_norm weights f16 caches can overflow, fp8 caches "
               "saturate)");
  app.add_flag("--no-fusion", arguments.noFusion, "Leave out every merge and fusion");
  app.add_option("--disable-pass", request.disabledPasses,
                 "Leave out one merge or fusion, for example fuse-linear-add or, on cuda, "
                 "fuse-linear-write; may be repeated")
      ->option_text("NAME");
  app.add_flag("--no-reuse", arguments.noReuse,
               "Give every activation memory of its own (to look for errors of the plan)");
  app.add_flag("--explain-fusion", request.explainFusion, "Print what fused, what did not and why");
  app.add_option(
         "--tuned", request.tunedFile,
         "Table of measured GPU kernels (default: the built-in one of the chip; none: rules "
         "and cost model only)")
      ->option_text("FILE");
  app.add_option("--tune-pack", arguments.tunePack,
                 "Write every GPU kernel that might be fastest to FILE, for sinter-bench tune")
      ->option_text("FILE");
  app.add_flag("--print-ir-after-all", request.printIrAfterAll,
               "Print the graph to stderr after every pass that changed it");
  app.add_flag("--timing", arguments.timing, "Print the time of each stage to stderr");
  auto *config =
      app.add_flag("--config", arguments.config, "Print how the model was understood, and stop");
  for (const char *other :
       {"--output", "--emit", "--batch-invariant", "--no-fusion", "--disable-pass", "--no-reuse",
        "--explain-fusion", "--print-ir-after-all", "--timing", "--tuned", "--tune-pack",
        "--target", "--page-size", "--max-tokens-per-step", "--no-cache", "--no-k-scale"})
    config->excludes(app.get_option(other));
  app.get_option("--no-fusion")->excludes(app.get_option("--disable-pass"));
  for (const char *other : {"--output", "--emit", "--explain-fusion", "--no-fusion", "--tuned"})
    app.get_option("--tune-pack")->excludes(app.get_option(other));
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Compiles a model directory, a published shape or a graph to one file.\n",
               "sinter-compile"};
  app.footer(kExamples);
  app.set_version_flag("--version", "sinter-compile " + compilerDescription());
  Arguments arguments;
  declareOptions(app, arguments);
  return toolMain(app, argc, argv, [&]() -> Result<int> {
    for (const char *option :
         {"--dtype", "--kv-cache-dtype", "--max-tokens-per-step", "--page-size", "--no-k-scale"})
      if (app.count(option) > 0)
        arguments.modelOnly.push_back(option);
    SINTER_RETURN_IF_ERROR(run(arguments));
    return 0;
  });
}
