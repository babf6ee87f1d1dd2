//===- Tune.cpp -----------------------------------------------------------===//
#include "Tune.h"

#include "Bars.h"
#include "Records.h"
#include "TunedFile.h"

#include "runtime/device/cuda/GpuSpeed.h"
#include "runtime/tune/Bench.h"
#include "sinter/Support/MappedFile.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

namespace sinter {
namespace {

using tune::Bench;
using tune::Fusion;
using tune::Linear;
using tune::Pack;
using tune::Sequence;

// A choice other than the rules' must be worth it. Next to itself a kernel is timed without those
// it will stand between, so that alone counts only when it says much; in a chain of the model's own
// launches, a little is enough.
constexpr double kWorthAlone = 0.92, kWorthInChain = 0.985;

/// A linear's variants that gave the right results, and their times; the first is the rules'.
struct Timed {
  const Linear *linear = nullptr;
  std::vector<const tune::Variant *> variants;
  std::vector<double> micros;
  size_t kept = 0;
  bool inChain = false;

  /// The others from the fastest on, as long as a neighbour might make them the best.
  std::vector<size_t> challengers() const {
    constexpr size_t kMost = 3;
    constexpr double kHopeful = 1.05;
    std::vector<size_t> order;
    for (size_t i = 1; i < variants.size(); ++i)
      if (micros[i] < kHopeful * micros[0])
        order.push_back(i);
    std::sort(order.begin(), order.end(),
              [&](size_t i, size_t j) { return micros[i] < micros[j]; });
    order.resize(std::min(order.size(), kMost));
    return order;
  }
};

/// Why the variant is no kernel for this: its results are not the first one's. Both round sums in
/// orders of their own.
Result<bool> agrees(Bench &bench, const Linear &linear, const tune::Variant &variant,
                    const std::vector<float> &expected) {
  SINTER_ASSIGN_OR_RETURN(
      const std::vector<float> got,
      bench.results(variant.sequence, linear.resultAt, linear.resultBytes, *linear.resultType));
  double off = 0, all = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    off += (double(got[i]) - expected[i]) * (double(got[i]) - expected[i]);
    all += double(expected[i]) * expected[i];
  }
  constexpr double kBound = 1e-2;
  return std::isfinite(off) && off <= kBound * kBound * all;
}

Result<Timed> timeLinear(Bench &bench, const Linear &linear) {
  Timed timed;
  timed.linear = &linear;
  timed.variants = {&linear.variants.front()};
  std::vector<float> expected;
  if (linear.resultType) {
    SINTER_ASSIGN_OR_RETURN(expected, bench.results(linear.variants[0].sequence, linear.resultAt,
                                                    linear.resultBytes, *linear.resultType));
  }
  for (size_t i = 1; i < linear.variants.size(); ++i) {
    const tune::Variant &variant = linear.variants[i];
    if (linear.resultType) {
      SINTER_ASSIGN_OR_RETURN(const bool same, agrees(bench, linear, variant, expected));
      if (!same) {
        std::printf("  wrong results: %s: %s\n", linear.shape.c_str(), variant.choice.c_str());
        continue;
      }
    }
    timed.variants.push_back(&variant);
  }
  std::vector<const Sequence *> sequences;
  for (const tune::Variant *variant : timed.variants)
    sequences.push_back(&variant->sequence);
  SINTER_ASSIGN_OR_RETURN(timed.micros, bench.time(sequences));
  const auto best = std::min_element(timed.micros.begin(), timed.micros.end());
  if (*best < kWorthAlone * timed.micros[0])
    timed.kept = size_t(best - timed.micros.begin());
  return timed;
}

/// The linear whose kernel by the rules a launch of the model is: variants are named after it.
Timed *linearOf(const Pack &pack, const tune::Launch &launch, std::vector<Timed> &all) {
  const std::string wanted = pack.manifest.kernels[launch.kernel].name + "_c0";
  for (Timed &timed : all) {
    const uint32_t first = timed.linear->variants[0].sequence.launches[0].kernel;
    if (pack.manifest.kernels[first].name == wanted)
      return &timed;
  }
  return nullptr;
}

/// Puts the best alternatives of each linear into the chain, one at a time, and keeps what makes
/// the chain faster.
Status tuneChain(Bench &bench, const Pack &pack, const Sequence &chain, std::vector<Timed> &all) {
  struct Trial {
    Timed *timed;
    size_t variant;
  };
  std::vector<Trial> trials;
  std::vector<Sequence> changed;
  for (size_t i = 0; i < chain.launches.size(); ++i) {
    Timed *timed = linearOf(pack, chain.launches[i], all);
    if (!timed || timed->inChain)
      continue;
    timed->inChain = true;
    timed->kept = 0;
    for (size_t variant : timed->challengers()) {
      const tune::Launch &other = timed->variants[variant]->sequence.launches[0];
      trials.push_back({timed, variant});
      changed.push_back(chain);
      changed.back().launches[i].kernel = other.kernel;
      changed.back().launches[i].grid = other.grid;
    }
  }
  std::vector<const Sequence *> sequences = {&chain};
  for (const Sequence &each : changed)
    sequences.push_back(&each);
  SINTER_ASSIGN_OR_RETURN(const std::vector<double> micros, bench.time(sequences));
  std::map<Timed *, double> best;
  for (size_t i = 0; i < trials.size(); ++i) {
    const double known = best.emplace(trials[i].timed, kWorthInChain * micros[0]).first->second;
    if (micros[i + 1] >= known)
      continue;
    best[trials[i].timed] = micros[i + 1];
    trials[i].timed->kept = trials[i].variant;
    std::printf("  in a chain of %zu: %8.2f -> %8.2f us  %s: %s\n", chain.launches.size(),
                micros[0], micros[i + 1], trials[i].timed->linear->shape.c_str(),
                trials[i].timed->variants[trials[i].variant]->choice.c_str());
  }
  return Status::ok();
}

Status tuneLinears(Bench &bench, const Pack &pack, TunedFile &table) {
  std::vector<Timed> all;
  for (const Linear &linear : pack.linears) {
    SINTER_ASSIGN_OR_RETURN(Timed timed, timeLinear(bench, linear));
    all.push_back(std::move(timed));
  }
  for (const Fusion &fusion : pack.fusions)
    if (fusion.shared)
      SINTER_RETURN_IF_ERROR(tuneChain(bench, pack, pack.sequences[fusion.fused], all));
  for (const Timed &timed : all) {
    const Linear &linear = *timed.linear;
    const tune::Variant &kept = *timed.variants[timed.kept];
    std::printf("%-48s %8.2f us (rules %8.2f, model %8.2f)  %s\n", linear.shape.c_str(),
                timed.micros[timed.kept], timed.micros[0], kept.predicted, kept.choice.c_str());
    for (size_t i = 0; i < timed.variants.size(); ++i)
      std::printf("    %8.2f (model %8.2f) %s\n", timed.micros[i], timed.variants[i]->predicted,
                  timed.variants[i]->choice.c_str());
    table.put(TunedLinear{linear.shape, linear.op, kept.choice, timed.micros[timed.kept],
                          timed.micros[0]});
  }
  return Status::ok();
}

Result<TunedFusion> tuneFusion(Bench &bench, const Pack &pack, const Fusion &fusion) {
  std::vector<const Sequence *> sequences = {&pack.sequences[fusion.fused],
                                             &pack.sequences[fusion.apart]};
  if (fusion.shared)
    sequences.push_back(&pack.sequences[*fusion.shared]);
  SINTER_ASSIGN_OR_RETURN(const std::vector<double> micros, bench.time(sequences));
  const double shared = fusion.shared ? micros[2] : 0;
  TunedFusion row;
  row.pass = fusion.pass, row.name = fusion.name, row.shape = fusion.shape;
  row.tokens = fusion.tokens;
  row.micros = micros[0] - shared, row.apart = micros[1] - shared;
  if (!(row.micros > 0) || !(row.apart > 0))
    return internalError(fusion.name + ": what stands before both sides took longer than both");
  for (auto [n, k] : fusion.gemms) {
    // The head computes the rows whose logits are wanted, which are fewer than a prompt's tokens.
    const uint32_t m =
        n == pack.vocab ? std::min(fusion.tokens, uint32_t(sequences[0]->rows)) : fusion.tokens;
    SINTER_ASSIGN_OR_RETURN(const auto gemm, bench.timeGemm(m, n, k));
    if (gemm)
      row.cublas = row.cublas.value_or(0) + *gemm;
    row.bytes += 2.0 * n * k;
    row.operations += 2.0 * m * n * k;
  }
  char cublas[32] = "";
  if (row.cublas)
    std::snprintf(cublas, sizeof cublas, "%8.2f", *row.cublas);
  std::printf("%-30s %-12s m%-5u %8.2f us, apart %8.2f%s, cuBLAS GEMM %s\n", fusion.name.c_str(),
              fusion.shape.c_str(), fusion.tokens, row.micros, row.apart,
              row.micros > row.apart ? " LOSES" : "", cublas);
  std::fflush(stdout);
  return row;
}

/// "0.6b" of "qwen3-0.6b".
std::string shortModel(const std::string &model) {
  const size_t dash = model.find('-');
  return dash == std::string::npos ? model : model.substr(dash + 1);
}

/// The four linears of a layer together, by tokens, where all were measured.
std::vector<BenchRecord> sumLinears(const std::vector<BenchRecord> &fused,
                                    const std::string &model) {
  const char *const names[] = {"norm_qkv", "o_proj_residual", "norm_gate_up_swiglu",
                               "down_residual"};
  std::map<std::string, std::vector<const BenchRecord *>> found; // by the name's last part
  for (const BenchRecord &record : fused)
    for (const char *name : names)
      if (record.name.rfind("fused/" + std::string(name) + "/", 0) == 0)
        found[record.name.substr(record.name.rfind('/'))].push_back(&record);
  const auto sum = [](const auto &parts, auto member) {
    std::optional<double> total = 0.0;
    for (const BenchRecord *part : parts)
      total = total && part->*member ? std::optional(*total + *(part->*member)) : std::nullopt;
    return total;
  };
  std::vector<BenchRecord> sums;
  for (const auto &[tokens, parts] : found) {
    if (parts.size() != std::size(names))
      continue;
    BenchRecord record = *parts.front();
    record.name = "linears/" + model + tokens;
    for (size_t i = 1; i < parts.size(); ++i)
      record.value += parts[i]->value;
    record.floor = sum(parts, &BenchRecord::floor);
    record.peer = parts.front()->secondPeer;
    record.peerValue = sum(parts, &BenchRecord::secondPeerValue);
    record.secondPeerValue.reset();
    sums.push_back(record);
  }
  return sums;
}

Status keepFusions(const TuneOptions &options, const Pack &pack, const std::string &hardware,
                   const std::vector<TunedFusion> &fusions, double bandwidth) {
  std::vector<BenchRecord> records;
  for (const TunedFusion &row : fusions) {
    BenchRecord record;
    record.name =
        "fused/" + row.name + "/" + shortModel(pack.model) + "/m" + std::to_string(row.tokens);
    record.value = row.micros;
    record.unit = "us";
    const double peak = tensorPeakOf(hardware);
    if (bandwidth > 0 && row.bytes > 0)
      record.floor = 1e6 * std::max(row.bytes / bandwidth, peak > 0 ? row.operations / peak : 0.0);
    record.hardware = hardware;
    record.commit = pack.compiler;
    record.peer = "our kernels apart";
    record.peerValue = row.apart;
    record.secondPeer = "cuBLAS GEMM alone";
    record.secondPeerValue = row.cublas;
    records.push_back(record);
  }
  for (BenchRecord &record : sumLinears(records, shortModel(pack.model)))
    records.push_back(std::move(record));
  return mergeRecords(options.json, records);
}

} // namespace

Result<int> benchTune(const TuneOptions &options) {
  constexpr uint64_t kMostBytes = uint64_t(1) << 31;
  if (options.output.empty() && options.json.empty())
    return invalidArgument("tune: says nothing about where results go (-o FILE, --json FILE)");
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(checkRecords(options.json));
  SINTER_ASSIGN_OR_RETURN(const std::string bytes, readTextFile(options.pack, kMostBytes));
  SINTER_ASSIGN_OR_RETURN(const Pack pack, tune::parsePack(bytes, options.pack));
  TunedFile table;
  if (!options.output.empty()) {
    SINTER_ASSIGN_OR_RETURN(table, TunedFile::open(options.output, pack.chip));
  }
  SINTER_RETURN_IF_ERROR(cuda::loadDriver().status());
  SINTER_ASSIGN_OR_RETURN(const auto gpu, cuda::Gpu::open(options.device));
  tune::BenchOptions how;
  how.poolBytes = options.poolMegabytes << 20;
  how.rounds = options.rounds;
  SINTER_ASSIGN_OR_RETURN(const auto bench,
                          Bench::create(pack, *gpu, how, [](const std::string &line) {
                            std::fprintf(stderr, "sinter-bench: %s\n", line.c_str());
                          }));
  const std::string hardware = gpu->name() + ", sm_" + std::to_string(gpu->capability());
  table.hardware = gpu->name();
  table.commit = pack.compiler;
  std::printf("%s on %s, %zu kernels%s\n", pack.model.c_str(), hardware.c_str(),
              pack.manifest.kernels.size(), bench->hasCublas() ? "" : ", no cuBLAS found");
  if (options.part != "fusions")
    SINTER_RETURN_IF_ERROR(tuneLinears(*bench, pack, table));
  std::vector<TunedFusion> fusions;
  if (options.part != "linears")
    for (const Fusion &fusion : pack.fusions) {
      SINTER_ASSIGN_OR_RETURN(const TunedFusion row, tuneFusion(*bench, pack, fusion));
      fusions.push_back(row);
      table.put(row);
    }
  if (!options.output.empty())
    SINTER_RETURN_IF_ERROR(table.write(options.output));
  if (!options.json.empty()) {
    SINTER_ASSIGN_OR_RETURN(const cuda::OwnedStream stream, cuda::makeStream());
    SINTER_ASSIGN_OR_RETURN(const double bandwidth,
                            cuda::measureGpuReadBandwidth(*gpu, stream.get()));
    SINTER_RETURN_IF_ERROR(keepFusions(options, pack, hardware, fusions, bandwidth));
  }
  return 0;
}

} // namespace sinter
