//===- ModelFlags.cpp -----------------------------------------------------===//
#include "runtime/cli/ModelFlags.h"

#include "runtime/cli/CompileCache.h"
#include "runtime/cli/Quantity.h"
#include "runtime/cli/TargetChoice.h"
#include "sinter/Support/CpuIsa.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <unistd.h>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;

void addMachineFlags(CLI::App &app, ModelFlags &f) {
  const char *group = "Machine";
  app.add_option("--threads", f.threads, "Threads (default: the processors of this process)")
      ->check(CLI::Range(1, 1024))
      ->group(group);
  app.add_option("--isa", f.isa, "Use at most this of x86-64: v3, v4, v4-bf16")
      ->check(CLI::IsMember({"v3", "v4", "v4-bf16"}))
      ->group(group);
  app.add_flag("--no-data-parallel", f.noDataParallel,
               "On a CPU: threads always work on the same sequences, never on some each")
      ->group(group);
  app.add_option("--device", f.device, "Number of the GPU (0)")
      ->check(CLI::Range(0, 1023))
      ->group(group);
  app.add_flag("--no-graph", f.noGraph, "On a GPU: start every kernel on its own")->group(group);
  app.add_flag("--no-pdl", f.noPdl, "On a GPU: no kernel starts before the one before has ended")
      ->group(group);
  app.add_option("--kv-memory", f.kvMemory, "Size of the KV cache: 512MB, 2GiB")->group(group);
  app.add_option("--weights", f.weights, "Directory of the weights, or random:SEED")->group(group);
}

void addCompileFlags(CLI::App &app, ModelFlags &f) {
  const char *group = "Compiling a model directory";
  app.add_option("--dtype", f.dtype, "Activations: bf16, f32 or f16")
      ->check(CLI::IsMember({"bf16", "f32", "f16"}))
      ->group(group);
  app.add_option("--kv-cache-dtype", f.kvCacheDtype,
                 "Cache: auto (as activations), bf16, f32, f16; on a GPU also fp8_e4m3, fp8_e5m2")
      ->check(CLI::IsMember({"auto", "bf16", "f32", "f16", "fp8_e4m3", "fp8_e5m2"}))
      ->group(group);
  app.add_option(
         "--target", f.target,
         "What to compile for: cpu, cuda, cuda:sm_90a (default: the GPU, where there is one)")
      ->group(group);
  app.add_flag("--batch-invariant", f.batchInvariant,
               "Same bits for a token whatever stands beside it; always so on the CPU")
      ->group(group);
  app.add_flag("--no-cache", f.noCache, "Compile again and keep nothing")->group(group);
}

bool isDirectory(const std::string &path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

/// Shows how far loading is, when it takes a while.
std::function<void(uint64_t, uint64_t)> makeProgress() {
  return [last = Clock::now() + std::chrono::milliseconds(300)](uint64_t done,
                                                                uint64_t total) mutable {
    if (done == total)
      std::fprintf(stderr, "\r\033[K");
    else if (Clock::now() > last) {
      std::fprintf(stderr, "\rloading weights: %3.0f %%", 100 * double(done) / double(total));
      last = Clock::now() + std::chrono::milliseconds(100);
    }
  };
}

} // namespace

void addModelFlags(CLI::App &app, ModelFlags &flags) {
  addMachineFlags(app, flags);
  addCompileFlags(app, flags);
}

Result<ArtifactFile> openModel(const ModelFlags &flags, const Say &say) {
  if (isDirectory(flags.model)) {
    CompileOptions compile;
    compile.dtype = flags.dtype;
    compile.kvCacheDtype = flags.kvCacheDtype;
    compile.batchInvariant = flags.batchInvariant;
    compile.useCache = !flags.noCache;
    compile.say = say;
    compile.target = flags.target;
    SINTER_RETURN_IF_ERROR(checkIsa(flags.target, cpuIsaFromFlag(flags.isa)));
    if (flags.isa.empty() && !flags.noDataParallel) { // else it is for a CPU
      SINTER_ASSIGN_OR_RETURN(compile.target,
                              chooseTarget(flags.target, flags.device.value_or(0), compile.say));
    }
    return compileDirectory(flags.model, compile);
  }
  if (flags.noCache)
    return invalidArgument("--no-cache is for model directories, " + flags.model + " is none");
  std::error_code ignored;
  if (!std::filesystem::exists(flags.model, ignored) &&
      flags.model.find('/') == std::string::npos && !flags.model.ends_with(".sinter"))
    return notFound(flags.model +
                    ": no such file or directory; a shape by name is compiled first: "
                    "sinter-compile " +
                    flags.model + ", then " + flags.model +
                    ".sinter --weights random:1 --token-ids 1,2,3");
  SINTER_ASSIGN_OR_RETURN(ArtifactFile file, ArtifactFile::open(flags.model));
  const Manifest &manifest = file.manifest();
  if (!flags.dtype.empty() && flags.dtype != dtypeName(manifest.dtype))
    return invalidArgument("--dtype " + flags.dtype + ": " + flags.model + " is compiled for " +
                           std::string(dtypeName(manifest.dtype)));
  const std::string_view cache =
      flags.kvCacheDtype == "auto" ? dtypeName(manifest.dtype) : flags.kvCacheDtype;
  if (!cache.empty() && cache != dtypeName(manifest.kv.dtype))
    return invalidArgument("--kv-cache-dtype " + flags.kvCacheDtype + ": " + flags.model +
                           " is compiled for " + std::string(dtypeName(manifest.kv.dtype)));
  if (flags.batchInvariant && manifest.target == kCudaTarget && !manifest.batchInvariant)
    return invalidArgument("--batch-invariant: " + flags.model +
                           " is compiled without it; compile the model directory again");
  if (!flags.target.empty() && !isCompiledFor(manifest, flags.target))
    return invalidArgument("--target " + flags.target + ": " + flags.model + " is compiled for " +
                           manifest.target);
  return file;
}

Result<SessionOptions> makeSessionOptions(const ModelFlags &flags, const Say &say, bool progress) {
  SessionOptions session;
  if (!flags.weights.empty()) {
    SINTER_ASSIGN_OR_RETURN(session.weights, parseWeightOptions(flags.weights));
  } else if (isDirectory(flags.model)) {
    session.weights.directory = flags.model;
  }
  if (progress && isatty(STDERR_FILENO))
    session.weights.progress = makeProgress();
  session.cpu.threads = flags.threads;
  session.cpu.dataParallel = !flags.noDataParallel;
  if (!flags.isa.empty())
    session.cpu.isa = cpuIsaFromFlag(flags.isa);
  session.device = flags.device;
  session.cuda.graphs = !flags.noGraph;
  session.cuda.programmaticLaunch = !flags.noPdl;
  session.say = say;
  if (!flags.kvMemory.empty()) {
    SINTER_ASSIGN_OR_RETURN(session.kvBytes, parseBytes(flags.kvMemory, "--kv-memory"));
    if (session.kvBytes == 0)
      return invalidArgument("--kv-memory 0: expected a size above zero");
  }
  return session;
}

} // namespace sinter
