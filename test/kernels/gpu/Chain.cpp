//===- Chain.cpp - layers of kernels under dependent launch ---------------===//
#include "Chain.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

using namespace sinter::test;

static const Entry *find(const std::vector<Entry> &entries, const std::string &name) {
  for (const Entry &e : entries)
    if (e.line.name == name)
      return &e;
  return nullptr;
}

namespace {

/// Qwen3 0.6B's linears, in layers; attention is left out. With one token kernels that take the
/// norm weight, with more those that hand x times it and sums of squares from one to the next.
struct Chain {
  static constexpr int kLayers = 24;
  static constexpr size_t kHidden = 1024, kQkv = 4096, kHeads = 2048, kInner = 3072, kSums = 16,
                          kMostSums = 64;
  std::string name;
  size_t tokens;
  std::vector<Numbers> weights; ///< four per layer
  Numbers gamma{Type::F32, kHidden, 31, 0.4, 1};
  Numbers start, startSums;
  Buffer hidden, multiplied, sums, qkv, inner;
  DeviceBatch batch;

  Chain(std::string chainName, int count)
      : name(std::move(chainName)), tokens(size_t(count)),
        start(Type::BF16, tokens * kHidden, 32, 1),
        startSums(Type::F32, tokens * kMostSums, 33, 4, double(kHidden / kSums)),
        hidden(tokens * kHidden * 2), multiplied(tokens * kHidden * 2),
        sums(tokens * kMostSums * 4), qkv(tokens * kQkv * 2), inner(tokens * kInner * 2),
        batch(count, 10) {
    batch.setTokens(count);
    for (int layer = 0; layer < kLayers; ++layer)
      for (auto [n, k] :
           {std::pair{kQkv, kHidden}, {kHidden, kHeads}, {2 * kInner, kHidden}, {kHidden, kInner}})
        weights.emplace_back(Type::BF16, n * k, weights.size() + 40, 0.7 / std::sqrt(double(k)));
  }
  using Ops = std::array<const Entry *, 4>;
  static constexpr const char *kNames[4] = {"_qkv", "_o", "_gateup", "_down"};
  void record(const Kernels &kernels, const std::vector<Entry> &entries, const std::string &suffix,
              bool overlap, cudaStream_t stream) const {
    Ops ops;
    for (size_t i = 0; i < 4; ++i)
      ops[i] = find(entries, name + kNames[i] + suffix);
    record(kernels, ops, overlap, stream);
  }
  void record(const Kernels &kernels, const Ops &ops, bool overlap, cudaStream_t stream) const {
    auto copy = [&](const Buffer &to, const Numbers &from) {
      check(
          cudaMemcpyAsync(to.as(), from.device.as(), to.bytes(), cudaMemcpyDeviceToDevice, stream),
          "copy");
    };
    copy(hidden, start);
    copy(multiplied, start);
    copy(sums, startSums);
    void *h = hidden.as(), *q = qkv.as(), *a = inner.as(), *g = gamma.device.as(),
         *b = batch.batch.as(), *xg = multiplied.as(), *s = sums.as();
    for (int layer = 0; layer < kLayers; ++layer) {
      auto w = [&](int i) { return weights[size_t(4 * layer + i)].device.as(); };
      auto norm = [&](int i, void *y, bool after) {
        const KernelLine &l = ops[size_t(i)]->line;
        std::vector<void *> p = {l.has("xgin") ? xg : h, w(i)};
        if (!l.has("xgin"))
          p.push_back(g);
        if (l.number("sumsin"))
          p.push_back(s);
        p.insert(p.end(), {y, b});
        launch(kernels, *ops[size_t(i)], p, after, stream);
      };
      auto residual = [&](int i, void *x) {
        const KernelLine &l = ops[size_t(i)]->line;
        std::vector<void *> p = {x, w(i), h};
        if (l.has("xgout"))
          p.push_back(g);
        p.push_back(h);
        if (l.has("sumsout"))
          p.push_back(s);
        if (l.has("xgout"))
          p.push_back(xg);
        p.push_back(b);
        launch(kernels, *ops[size_t(i)], p, overlap, stream);
      };
      // The first kernel after a copy has a full edge.
      norm(0, q, overlap && layer > 0);
      residual(1, q);
      norm(2, a, overlap);
      residual(3, a);
    }
  }
  std::vector<uint16_t> state() const {
    std::vector<uint16_t> all = hidden.download<uint16_t>();
    for (const Buffer *b : {&qkv, &inner}) {
      const std::vector<uint16_t> more = b->download<uint16_t>();
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }
};

/// A recorded graph.
struct Graph {
  cudaStream_t stream;
  cudaGraphExec_t exec;
  explicit Graph(const std::function<void(cudaStream_t)> &record) {
    cudaGraph_t graph;
    check(cudaStreamCreate(&stream), "stream");
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    record(stream);
    check(cudaStreamEndCapture(stream, &graph), "capture");
    check(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
    cudaGraphDestroy(graph);
  }
  ~Graph() {
    cudaGraphExecDestroy(exec);
    cudaStreamDestroy(stream);
  }
  void run() {
    check(cudaGraphLaunch(exec, stream), "replay");
    check(cudaStreamSynchronize(stream), "replay");
  }
};

} // namespace

static int stressChain(const Kernels &kernels, const std::vector<Entry> &entries,
                       const std::string &name, int tokens, int rounds) {
  if (!find(entries, name + "_qkv"))
    return 0;
  Chain chain(name, tokens);
  auto graph = [&](const std::string &suffix, bool overlap) {
    return std::make_unique<Graph>([&, suffix, overlap](cudaStream_t stream) {
      chain.record(kernels, entries, suffix, overlap, stream);
    });
  };
  auto plain = graph("", false);
  plain->run();
  const std::vector<uint16_t> expected = chain.state();
  int failures = 0;
  float largest = 0;
  for (uint16_t bits : expected)
    largest = std::max(largest, std::fabs(decode(Type::BF16, bits)));
  if (!(largest < 1e4)) {
    std::printf("FAIL %s: its numbers are not finite\n", name.c_str());
    ++failures;
  }
  struct Variant {
    const char *name, *suffix;
    bool overlap, same;
  };
  for (const Variant &v : {Variant{"no overlap", "", false, true},
                           {"overlap", "", true, true},
                           {"overlap, delays", "_delays", true, true},
                           {"no wait", "_nowait", true, false}}) {
    auto g = graph(v.suffix, v.overlap);
    int different = 0;
    for (int round = 0; round < rounds; ++round) {
      g->run();
      different += chain.state() != expected;
    }
    const bool ok = v.same ? different == 0 : different > 0;
    failures += !ok;
    std::printf("%s %s %-16s %3d of %d rounds differ\n", ok ? "ok  " : "FAIL", name.c_str(), v.name,
                different, rounds);
    std::fflush(stdout);
  }
  return failures;
}

/// The chains that the list may have: name and tokens.
static const std::pair<const char *, int> kChains[] = {
    {"chain", 1}, {"chain8", 8}, {"chain32", 32}, {"chain64", 64}, {"chain128", 128}};

bool sinter::test::holdsStress(const std::vector<Entry> &entries) {
  return find(entries, "pair") &&
         std::any_of(std::begin(kChains), std::end(kChains), [&](const auto &c) {
           return find(entries, std::string(c.first) + "_qkv") != nullptr;
         });
}

int sinter::test::stressChains(const Kernels &kernels, const std::vector<Entry> &entries,
                               int rounds) {
  int failures = 0;
  for (auto [name, tokens] : kChains)
    failures += stressChain(kernels, entries, name, tokens, rounds);
  return failures;
}

void sinter::test::timeChains(const Kernels &kernels, const std::vector<Entry> &entries) {
  for (auto [name, tokens] : kChains) {
    if (!find(entries, std::string(name) + "_qkv"))
      continue;
    Chain chain(name, tokens);
    double us[2];
    for (int overlap = 0; overlap < 2; ++overlap)
      us[overlap] =
          graphMicroseconds(
              [&](cudaStream_t s) { chain.record(kernels, entries, "", overlap != 0, s); }, 100) /
          Chain::kLayers;
    std::printf("%-10s 0.6b, %3d tokens, us per layer: graph + pdl %6.2f graph %6.2f\n", name,
                tokens, us[1], us[0]);
  }
}

/// Of every kernel of a chain there may be variants, NAME_v...: takes the fastest of each in turn,
/// by the time of the whole chain.
void sinter::test::tuneChains(const Kernels &kernels, const std::vector<Entry> &entries) {
  for (auto [chainName, tokens] : kChains) {
    const std::string name = chainName;
    if (!find(entries, name + "_qkv"))
      continue;
    Chain chain(name, tokens);
    auto time = [&](const Chain::Ops &ops) {
      return graphMicroseconds([&](cudaStream_t s) { chain.record(kernels, ops, true, s); }, 40) /
             Chain::kLayers;
    };
    Chain::Ops ops;
    for (size_t i = 0; i < 4; ++i)
      ops[i] = find(entries, name + Chain::kNames[i]);
    std::printf("%s: %.2f us\n", name.c_str(), time(ops));
    for (int round = 0; round < 3; ++round) {
      for (size_t i : {0, 2, 1, 3}) {
        const std::string base = name + Chain::kNames[i];
        std::vector<std::pair<double, const Entry *>> all;
        for (const Entry &e : entries)
          if (e.line.name == base || e.line.name.rfind(base + "_v", 0) == 0) {
            Chain::Ops other = ops;
            other[i] = &e;
            all.emplace_back(time(other), &e);
          }
        std::sort(all.begin(), all.end());
        ops[i] = all.front().second;
        for (size_t j = 0; j < all.size() && j < (round == 2 ? 12 : 3); ++j)
          std::printf("  %d %6.2f %s (grid %d, shared %d)\n", round, all[j].first,
                      all[j].second->line.text.c_str(), all[j].second->grid,
                      all[j].second->sharedBytes);
      }
    }
    std::printf("%s: %.2f us tuned\n", name.c_str(), time(ops));
    std::fflush(stdout);
  }
}

int sinter::test::comparePair(const Kernels &kernels, const std::vector<Entry> &entries) {
  const Entry *pair = find(entries, "pair"), *first = find(entries, "pair_first"),
              *second = find(entries, "pair_second");
  if (!pair || !first || !second)
    return 0;
  const int64_t n = first->line.number("n"), k = first->line.number("k"),
                n2 = second->line.number("n");
  Numbers x(Type::BF16, size_t(k), 51, 1), w(Type::BF16, size_t(n * k), 52, 0.03),
      residual(Type::BF16, size_t(n), 53, 1), w2(Type::BF16, size_t(n2 * n), 54, 0.03),
      gamma(Type::F32, size_t(n), 55, 0.4, 1);
  Output middle(Type::BF16, size_t(n)), y(Type::BF16, size_t(n2));
  Buffer counter(4);
  counter.fill(0);
  DeviceBatch batch(1, 10);
  batch.setTokens(1);
  auto state = [&] {
    std::vector<uint16_t> all = middle.device.download<uint16_t>();
    const std::vector<uint16_t> more = y.device.download<uint16_t>();
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  void *mid = middle.device.as(), *out = y.device.as(), *b = batch.batch.as();
  middle.poison(), y.poison();
  launch(kernels, *first, {x.device.as(), w.device.as(), residual.device.as(), mid, b}, false);
  launch(kernels, *second, {mid, w2.device.as(), gamma.device.as(), out, b}, false);
  synchronize("pair");
  const std::vector<uint16_t> expected = state();
  int different = 0;
  for (int round = 0; round < 200; ++round) {
    middle.poison(), y.poison();
    launch(kernels, *pair,
           {x.device.as(), w.device.as(), residual.device.as(), mid, mid, w2.device.as(),
            gamma.device.as(), out, b, counter.as()},
           false);
    synchronize("persistent pair");
    different += state() != expected;
  }
  std::printf("%s persistent pair: %d of 200 rounds differ from two kernels\n",
              different ? "FAIL" : "ok  ", different);
  return different != 0;
}

void sinter::test::timeAll(const Kernels &kernels, const std::vector<Entry> &entries) {
  for (const Entry &e : entries) {
    if (!e.line.has("time") || e.line.what != "linear")
      continue;
    LinearCase c(e);
    DeviceBatch batch(int(c.maxTokens), 10);
    batch.setTokens(int(c.maxTokens));
    const int64_t copies = std::max<int64_t>(2, (320 << 20) / e.weightBytes + 1);
    std::vector<Buffer> weights;
    for (int64_t i = 0; i < copies; ++i) {
      weights.emplace_back(size_t(e.weightBytes));
      check(cudaMemcpy(weights.back().as(), c.w.device.as(), size_t(e.weightBytes),
                       cudaMemcpyDeviceToDevice),
            "copy");
    }
    const int launches = int(std::max<int64_t>(copies, 16));
    // Alternating: the clock follows the load.
    double us[2] = {1e9, 1e9};
    for (int round = 0; round < 4; ++round) {
      const int overlap = round % 2;
      auto record = [&](cudaStream_t stream) {
        for (int i = 0; i < launches; ++i)
          launch(kernels, e, c.pointers(batch, weights[size_t(i % copies)].as()), overlap && i > 0,
                 stream);
      };
      us[overlap] = std::min(us[overlap], graphMicroseconds(record, 15) / launches);
    }
    std::printf("%-26s %7.2f us pdl %7.2f us plain %6.2f TB/s %7.1f TFLOP/s grid %d x %d\n",
                e.line.name.c_str(), us[1], us[0], double(e.weightBytes) / us[1] * 1e-6,
                2e-6 * double(c.maxTokens) * double(c.n) * double(c.k) / us[1], e.grid, e.threads);
    std::fflush(stdout);
  }
}
