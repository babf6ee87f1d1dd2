//===- main.cpp - generated GPU kernels on a device -----------------------===//
//
// gpu-kernels-run FOLDER [check] [stress] [time] [tune] [only=NAME]   FOLDER: what gpu-kernel-gen
// --out wrote
//
//===----------------------------------------------------------------------===//
#include "Chain.h"
#include "RowCase.h"
#include "WriteCase.h"

#include <algorithm>
#include <cstdio>

using namespace sinter::test;

static std::string checkLinear(const Kernels &kernels, const Entry &entry, int &runs,
                               double &worst) {
  LinearCase c(entry);
  DeviceBatch batch(int(c.maxTokens), 10);
  std::vector<int64_t> counts = {0,  1,  2,  3,  4,  5,  6,  7,   8,   9,   10,  11,  12,  13, 14,
                                 15, 16, 17, 33, 63, 64, 65, 127, 128, 129, 200, 300, 513, 700};
  if (c.maxTokens > counts.back())
    counts.push_back(c.maxTokens);
  for (int64_t count : counts) {
    if (count > c.maxTokens || (count == 0 && !entry.line.has("rows")))
      continue;
    batch.setTokens(int(count));
    auto once = [&] {
      c.poison();
      launch(kernels, entry, c.pointers(batch), false);
      synchronize(entry.line.name.c_str());
    };
    once();
    ++runs;
    double error = 0;
    if (std::string problem = c.check(count, error); !problem.empty())
      return std::to_string(count) + " tokens: " + problem;
    worst = std::max(worst, error / c.bound());
    if (count != c.maxTokens)
      continue;
    const std::vector<uint8_t> bits = c.y.device.download<uint8_t>();
    for (int round = 0; round < (c.n * c.k > (1 << 24) ? 20 : 200); ++round) {
      once();
      if (c.y.device.download<uint8_t>() != bits)
        return "run " + std::to_string(round) + " gave other bits";
    }
  }
  return {};
}

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: gpu-kernels-run FOLDER [check] [stress] [time] [only=NAME]\n");
    return 2;
  }
  std::vector<std::string> parts(argv + 2, argv + argc);
  std::string only;
  if (!parts.empty() && parts.back().rfind("only=", 0) == 0) {
    only = parts.back().substr(5);
    parts.pop_back();
  }
  for (const std::string &part : parts)
    if (part != "check" && part != "stress" && part != "time" && part != "tune") {
      std::fprintf(stderr, "error: unknown part '%s'\n", part.c_str());
      return 2;
    }
  auto wanted = [&](const char *part) {
    return parts.empty() || std::find(parts.begin(), parts.end(), part) != parts.end();
  };
  const Kernels kernels(argv[1]);
  std::vector<Entry> entries = readManifest(argv[1]);
  const std::vector<Entry> all = entries; // where twins are found
  if (!only.empty())
    entries.erase(std::remove_if(entries.begin(), entries.end(),
                                 [&](const Entry &e) { return e.line.name != only; }),
                  entries.end());
  int failures = 0, runs = 0, checked = 0;
  if (wanted("check")) {
    double worst = 0;
    for (const Entry &e : entries) {
      if (e.line.what == "pair" || e.line.has("nocheck") || e.line.has("nowait"))
        continue;
      ++checked;
      const std::string problem = e.line.what != "linear" ? checkRows(kernels, e, runs, worst)
                                  : e.line.has("write")   ? checkWrite(kernels, all, e, runs)
                                                          : checkLinear(kernels, e, runs, worst);
      if (!problem.empty()) {
        ++failures;
        std::printf("FAIL %s: %s\n", e.line.text.c_str(), problem.c_str());
        std::fflush(stdout);
      }
    }
    std::printf("%d kernels, %d runs, %d failed, worst error / bound %.2f\n", checked, runs,
                failures, worst);
    failures += runs == 0; // a list without kernels shows nothing
    std::fflush(stdout);
  }
  if (wanted("stress")) {
    failures += stressChains(kernels, entries, 200);
    failures += comparePair(kernels, entries);
    if (only.empty() && !holdsStress(entries)) {
      std::printf("FAIL no chain and pair to stress\n");
      ++failures;
    }
  }
  if (wanted("time")) {
    timeAll(kernels, entries);
    timeRows(kernels, entries);
    timeChains(kernels, entries);
  }
  if (std::find(parts.begin(), parts.end(), "tune") != parts.end())
    tuneChains(kernels, entries);
  return failures ? 1 : 0;
}
