//===- sinter-inspect.cpp - shows what is in a compiled model -------------===//
//
// Reads and verifies the file; nothing in it is ever executed, so any artefact of any target can be
// looked at.
//
//===----------------------------------------------------------------------===//
#include "runtime/cli/Quantity.h"
#include "runtime/cli/ToolMain.h"
#include "runtime/model/Artifact.h"
#include "runtime/model/Occupancy.h"
#include "sinter/Support/CpuIsa.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

using namespace sinter;

namespace {

constexpr const char *kExamples = R"(examples:
  sinter-inspect model.sinter                 one screen
  sinter-inspect model.sinter --weights       every resident weight and what it is made of
  sinter-inspect model.sinter --meta | jq .kv)";

/// printf has no portable format for uint64_t.
unsigned long long ull(uint64_t value) { return value; }

std::string bytesOf(uint64_t bytes) { return formatBytes(double(bytes)); }

std::string shapeOf(const std::vector<uint64_t> &shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

const char *kindName(WeightKind kind) {
  switch (kind) {
  case WeightKind::Linear:
    return "linear";
  case WeightKind::Vector:
    return "vector";
  case WeightKind::KScale:
    return "k_scale";
  case WeightKind::Rope:
    return "rope";
  }
  return "?";
}

const char *layoutName(WeightLayout layout) {
  switch (layout) {
  case WeightLayout::Plain:
    return "plain";
  case WeightLayout::Tiled16:
    return "tiled16";
  case WeightLayout::RowMajor:
    return "row_major";
  }
  return "?";
}

const char *headName(HeadKind head) {
  return head == HeadKind::Argmax ? "argmax" : head == HeadKind::Sample ? "sample" : "logits";
}

std::string joined(const std::vector<std::string> &parts) {
  std::string text;
  for (const std::string &part : parts)
    text += (text.empty() ? "" : ", ") + part;
  return text;
}

void printSummary(const ArtifactFile &file) {
  const Manifest &m = file.manifest();
  const ArtifactSections &sections = file.sections();
  std::printf("%s: %s, %s\n", file.path().c_str(), m.model.name.c_str(),
              m.model.architecture.c_str());
  std::printf("  file        %s (code %s), sha256 %s\n", bytesOf(file.size()).c_str(),
              bytesOf(sections.codeBytes).c_str(), sections.digest.c_str());
  std::printf("  compiler    sinter %s (%s), LLVM %s, ABI %u\n", m.compilerVersion.c_str(),
              m.compilerBuild.c_str(), m.llvmVersion.c_str(), m.abi);
  std::printf("  target      %s%s%s\n", m.target.c_str(), m.isas.empty() ? "" : ": ",
              joined(m.isas).c_str());
  if (!sections.ptx.empty())
    std::printf("  gpu code    PTX %s, machine code %s\n", bytesOf(sections.ptx.size()).c_str(),
                sections.cubin.empty() ? "none" : bytesOf(sections.cubin.size()).c_str());
  std::printf("  options     %s\n", m.options.c_str());
  std::printf(
      "  model       %llu layers, hidden %llu, intermediate %llu, %llu heads, %llu kv heads "
      "of %llu,\n              vocabulary %llu, %llu positions, tokenizer %s, chat template "
      "%s\n",
      ull(m.model.layers), ull(m.model.hidden), ull(m.model.intermediate), ull(m.model.heads),
      ull(m.model.kvHeads), ull(m.model.headDim), ull(m.model.vocab), ull(m.model.maxPosition),
      sections.tokenizer.empty() ? "absent" : "included",
      sections.chatTemplate.empty() ? "absent" : "included");
  std::printf("  weights     %zu resident, %s, from %s\n", m.weights.size(),
              bytesOf(m.weightBytes()).c_str(),
              m.sourceFiles.empty() ? "nowhere (random weights only)" : m.sourceDirectory.c_str());
  std::printf("  kv cache    %s, %llu tokens per page, %s per page, %s per token\n",
              std::string(dtypeName(m.kv.dtype)).c_str(), ull(m.kv.pageSize),
              bytesOf(m.kv.pageBytes).c_str(), bytesOf(m.kv.tokenBytes()).c_str());
  if (m.kv.window)
    std::printf("  window      %llu tokens: pages that left it are reused\n", ull(m.kv.window));
  std::printf("  memory      arena %s", bytesOf(m.arenaBytes).c_str());
  std::printf(m.target == kCudaTarget ? "\n" : ", scratch %s per thread\n",
              bytesOf(m.scratchBytes).c_str());
  std::printf("  kernels     %zu\n", m.kernels.size());
  std::printf("  entries     %-28s %-7s %-18s %9s %9s\n", "name", "head", "tokens", "max rows",
              "launches");
  for (const EntryPlan &entry : m.entries) {
    std::string tokens = std::to_string(entry.minTokens) + " .. " + std::to_string(entry.maxTokens);
    if (entry.maxQ > 0)
      tokens += ", " + std::to_string(entry.maxQ) + " each";
    std::printf("              %-28s %-7s %-18s %9u %9zu\n", entry.name.c_str(),
                headName(entry.head), tokens.c_str(), entry.maxRows, entry.schedule.size());
  }
}

void printWeights(const Manifest &m) {
  std::printf("%-32s %-8s %-5s %-9s %-18s %10s  %s\n", "name", "kind", "dtype", "layout", "shape",
              "bytes", "sources");
  for (const WeightPlan &weight : m.weights) {
    std::vector<std::string> sources;
    for (const WeightSource &source : weight.sources)
      sources.push_back(source.tensor + "[" + std::to_string(source.rowBegin) + ":" +
                        std::to_string(source.rowEnd) + "]");
    std::printf("%-32s %-8s %-5s %-9s %-18s %10s  %s\n", weight.name.c_str(), kindName(weight.kind),
                std::string(dtypeName(weight.dtype)).c_str(), layoutName(weight.layout),
                shapeOf(weight.shape).c_str(), bytesOf(weight.bytes).c_str(),
                joined(sources).c_str());
  }
  std::printf("%zu weights, %s\n", m.weights.size(), bytesOf(m.weightBytes()).c_str());
}

void printBuffers(const Manifest &m) {
  for (const EntryPlan &entry : m.entries) {
    uint64_t sum = 0, end = 0;
    std::printf("%s\n  %-36s %12s %12s\n", entry.name.c_str(), "buffer", "offset", "bytes");
    for (const BufferPlan &buffer : entry.buffers) {
      std::printf("  %-36s %12llu %12llu\n", buffer.name.c_str(), ull(buffer.offset),
                  ull(buffer.bytes));
      sum += buffer.bytes;
      end = std::max(end, buffer.offset + buffer.bytes);
    }
    std::printf("  %s of buffers in %s\n", bytesOf(sum).c_str(), bytesOf(end).c_str());
  }
  std::printf("arena %llu bytes\n", ull(m.arenaBytes));
}

/// "98304+1024": the bytes that a launch asks for and those that the kernel has of its own.
std::string sharedOf(const KernelPlan &kernel) {
  std::string text = std::to_string(kernel.sharedBytes);
  if (kernel.staticSharedBytes > 0)
    text += "+" + std::to_string(kernel.staticSharedBytes);
  return text;
}

void printGpuKernels(const Manifest &m, const std::vector<uint64_t> &launches) {
  std::printf("%-56s %-24s %7s %9s %12s %6s %7s %7s %9s %8s\n", "kernel", "op", "threads",
              "registers", "shared", "spills", "cluster", "CTAs/SM", "occupancy", "launches");
  const std::string isa = m.isas.empty() ? "" : m.isas.front();
  for (size_t i = 0; i < m.kernels.size(); ++i) {
    const KernelPlan &kernel = m.kernels[i];
    // What only an assembler can count is unknown where there was none.
    const bool assembled = kernel.registers > 0;
    const auto known = [&](bool is, uint64_t number) { return is ? std::to_string(number) : "?"; };
    const Occupancy occupancy = occupancyOf(kernel, isa);
    const bool counted = occupancy.ctasPerSm > 0;
    std::printf("%-56s %-24s %7u %9s %12s %6s %7u %7s %7s %% %8llu\n", kernel.name.c_str(),
                kernel.op.c_str(), kernel.threads, known(assembled, kernel.registers).c_str(),
                sharedOf(kernel).c_str(), known(assembled, kernel.spillBytes).c_str(),
                kernel.cluster, known(counted, occupancy.ctasPerSm).c_str(),
                known(counted, uint64_t(100 * occupancy.warps + 0.5)).c_str(), ull(launches[i]));
  }
}

void printKernels(const Manifest &m) {
  std::vector<uint64_t> launches(m.kernels.size());
  for (const EntryPlan &entry : m.entries)
    for (const OpPlan &op : entry.schedule)
      ++launches[op.kernel];
  if (m.target == kCudaTarget) {
    printGpuKernels(m, launches);
    std::printf("%zu kernels\n", m.kernels.size());
    return;
  }
  std::printf("%-56s %-24s %-16s %8s\n", "kernel", "op", "isas", "launches");
  for (size_t i = 0; i < m.kernels.size(); ++i) {
    std::vector<std::string> isas;
    for (uint32_t isa : m.kernels[i].isas)
      isas.push_back(cpuIsaName(isa).substr(std::strlen("x86-64-")));
    std::printf("%-56s %-24s %-16s %8llu\n", m.kernels[i].name.c_str(), m.kernels[i].op.c_str(),
                joined(isas).c_str(), ull(launches[i]));
  }
  std::printf("%zu kernels\n", m.kernels.size());
}

void printSchedule(const ArtifactFile &file) {
  const std::string_view text = file.sections().schedule;
  if (!text.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return;
  }
  for (const EntryPlan &entry : file.manifest().entries) {
    std::printf("%s\n", entry.name.c_str());
    for (const OpPlan &op : entry.schedule) {
      std::printf("  %-32s %-24s %10s weights", op.name.c_str(), op.op.c_str(),
                  bytesOf(op.weightBytes).c_str());
      if (op.grid > 0)
        std::printf(" %6u CTAs, edge %s", op.grid, op.programmatic ? "programmatic" : "full");
      std::printf("\n");
    }
  }
}

struct Arguments {
  std::string path;
  bool meta = false, weights = false, buffers = false, kernels = false, schedule = false,
       tokenizer = false;
};

Result<int> inspect(const Arguments &arguments) {
  SINTER_ASSIGN_OR_RETURN(const ArtifactFile file, ArtifactFile::open(arguments.path));
  const Manifest &manifest = file.manifest();
  if (arguments.meta)
    std::printf("%s\n", nlohmann::ordered_json::parse(file.sections().meta).dump(2).c_str());
  else if (arguments.weights)
    printWeights(manifest);
  else if (arguments.buffers)
    printBuffers(manifest);
  else if (arguments.kernels)
    printKernels(manifest);
  else if (arguments.schedule)
    printSchedule(file);
  else if (arguments.tokenizer) {
    const std::string_view text = file.sections().tokenizer;
    if (text.empty())
      return notFound(arguments.path + ": has no tokenizer");
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else
    printSummary(file);
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Shows what is in a compiled model. Never runs any of it.\n", "sinter-inspect"};
  app.footer(kExamples);
  addVersionFlag(app);
  Arguments a;
  app.add_option("ARTEFACT", a.path, "Compiled model (.sinter)")->required();
  auto *views = app.add_option_group("Views", "At most one; default: a summary");
  views->add_flag("--meta", a.meta, "The metadata as JSON");
  views->add_flag("--weights", a.weights, "The weight plan");
  views->add_flag("--buffers", a.buffers, "Where activations live");
  views->add_flag("--kernels", a.kernels, "The kernels");
  views->add_flag("--schedule", a.schedule, "What runs, in order");
  views->add_flag("--tokenizer", a.tokenizer, "tokenizer.json as it was");
  views->require_option(0, 1);
  return toolMain(app, argc, argv, [&] { return inspect(a); });
}
