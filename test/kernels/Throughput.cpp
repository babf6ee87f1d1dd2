//===- Throughput.cpp - how fast generated linears are --------------------===//
//
// Prints GB/s of weights at 1 token and GFLOP/s at more, beside this machine's read bandwidth and
// FMA peak measured in the same way. Not a test: numbers depend on the machine and its load.
//
//===----------------------------------------------------------------------===//
#include "Machine.h"
#include "ModuleText.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <thread>

using namespace sinter;
using namespace sinter::test;

namespace {

/// Time that this thread has run: unlike wall time it does not count other processes.
double threadSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

/// Runs body(thread) on `threads` threads at once; the best of `repeats` times in seconds, each the
/// time of the slowest thread.
double best(int threads, int repeats, const std::function<void(int)> &body) {
  double result = 1e9;
  for (int r = 0; r < repeats; ++r) {
    std::atomic<int> ready{0};
    std::vector<double> times(static_cast<size_t>(threads));
    auto work = [&](int t) {
      ++ready;
      while (ready < threads)
        _mm_pause();
      const double start = threadSeconds();
      body(t);
      times[static_cast<size_t>(t)] = threadSeconds() - start;
    };
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t)
      others.emplace_back(work, t);
    work(0);
    for (auto &t : others)
      t.join();
    result = std::min(result, *std::max_element(times.begin(), times.end()));
  }
  return result;
}

__attribute__((target("avx512f"))) void fma512(int64_t n, float *out) {
  __m512 a[12], x = _mm512_set1_ps(0.999f);
  for (auto &v : a)
    v = _mm512_set1_ps(1.0f);
  for (int64_t i = 0; i < n; ++i) {
    for (auto &v : a)
      v = _mm512_fmadd_ps(v, x, x);
    asm volatile("" ::: "memory");
  }
  for (auto &v : a)
    *out += _mm512_reduce_add_ps(v);
}

__attribute__((target("avx512f,avx512bf16"))) void dotPairs(int64_t n, float *out) {
  __m512 a[12];
  const auto x = __m512bh(_mm512_set1_epi32(0x3f803f80));
  for (auto &v : a)
    v = _mm512_set1_ps(1.0f);
  for (int64_t i = 0; i < n; ++i) {
    for (auto &v : a)
      v = _mm512_dpbf16_ps(v, x, x);
    asm volatile("" ::: "memory");
  }
  for (auto &v : a)
    *out += _mm512_reduce_add_ps(v);
}

const char *name(CpuIsa isa) {
  return isa == CpuIsa::V3 ? "v3" : isa == CpuIsa::V4 ? "v4" : "v4-bf16";
}

__attribute__((target("avx2,fma"))) void fma256(int64_t n, float *out) {
  __m256 a[12], x = _mm256_set1_ps(0.999f);
  for (auto &v : a)
    v = _mm256_set1_ps(1.0f);
  for (int64_t i = 0; i < n; ++i)
    for (auto &v : a)
      v = _mm256_fmadd_ps(v, x, x);
  for (auto &v : a)
    *out += _mm256_cvtss_f32(v);
}

__attribute__((target("avx2"))) void readAll(const uint8_t *p, size_t bytes, uint64_t *out) {
  __m256i s[4] = {};
  for (size_t i = 0; i < bytes; i += 128)
    for (int j = 0; j < 4; ++j)
      s[j] = _mm256_xor_si256(
          s[j], _mm256_load_si256(reinterpret_cast<const __m256i *>(p + i + 32 * size_t(j))));
  for (auto &v : s)
    *out += uint64_t(_mm256_extract_epi64(v, 0));
}

struct Shape {
  const char *op;
  int64_t rows, k;
  bool swiglu = false, norm = false, residual = false;
};

std::string moduleText(const Shape &s, int64_t tokens, int64_t &x, int64_t &y) {
  ModuleText m(tokens);
  const int64_t outputs = s.swiglu ? s.rows / 2 : s.rows;
  x = m.input("x", {s.k}, DType::BF16);
  m.input("r", {outputs}, DType::BF16);
  y = m.output(outputs, DType::BF16);
  const std::string half = s.swiglu ? str(s.rows / 2) : str(s.rows);
  const std::string w = "tensor<" + str(s.rows) + "x" + str(s.k) + "xbf16>";
  std::string sources = "[#xfmr.source<\"w\", 0, " + half + ">";
  if (s.swiglu)
    sources += ", #xfmr.source<\"u\", 0, " + half + ">";
  m.weight("w", w, sources + "]", "tiled16");
  m.vector("g", s.k);
  const std::string in = perToken({s.k}, DType::BF16), out = perToken({outputs}, DType::BF16);
  const std::string at = " {" + m.buffers({y});
  if (s.norm)
    m.body = std::string("%y = xfmr.") + s.op + " %x, %g, %w" + at + ", eps = 1.0e-6 : f32} : (" +
             in + ", tensor<" + str(s.k) + "xf32>, " + w + ") -> " + out;
  else
    m.body = std::string("%y = xfmr.") + s.op + " %x, %w, %r" + at + "} : (" + in + ", " + w +
             ", " + out + ") -> " + out;
  std::string text = m.text();
  const std::string range = "array<i64: 1, ";
  text.replace(text.find(range), range.size(), "array<i64: " + str(tokens) + ", ");
  return text;
}

/// Seconds of one launch, with weights rotated beyond the caches.
double seconds(const Shape &s, int64_t tokens, int threads, CpuIsa isa, int copies) {
  int64_t x, y;
  auto jit = Jit::compile(moduleText(s, tokens, x, y));
  if (!jit)
    std::exit(1);
  const StepOp &op = jit->program.entries[0].ops[0];
  std::vector<Buffer> weights;
  for (int i = 0; i < copies; ++i) {
    weights.emplace_back(size_t(op.weightBytes));
    for (size_t e = 0; e < weights.back().size() / 2; ++e)
      put(weights.back().data(), DType::BF16, e, 0.01 * double(e % 97) - 0.5);
  }
  Buffer arena(size_t(jit->program.arenaBytes));
  Buffer gamma = packPlain(std::vector<double>(size_t(s.k), 1.0));
  std::vector<Buffer> scratch;
  for (int t = 0; t < threads; ++t)
    scratch.emplace_back(size_t(jit->program.scratchBytes));
  for (size_t e = 0; e < arena.size() / 2; ++e)
    put(arena.data(), DType::BF16, e, 0.001 * double(e % 89));
  SinterBatch batch{};
  batch.num_tokens = uint32_t(tokens);
  SinterModel model{};
  SinterKernel kernel = jit->kernel(op.kernel, isa);
  const uint32_t tasks = op.grid.count;
  auto run = [&](int thread) {
    for (int i = 0; i < copies; ++i) {
      std::vector<void *> args;
      for (const SinterArg &a : op.args)
        args.push_back(a.kind == SINTER_ARG_ARENA    ? arena.data() + a.offset
                       : a.kind == SINTER_ARG_WEIGHT ? (a.index ? gamma : weights[size_t(i)]).data()
                                                     : nullptr);
      SinterLaunch launch{
          &batch, &model, args.data(), 0, op.grid.split, uint32_t(args.size()), SINTER_EDGE_FULL};
      const uint32_t chunks = uint32_t(threads) * op.grid.split;
      for (uint32_t c = uint32_t(thread); c < chunks; c += uint32_t(threads))
        kernel(&launch, tasks * c / chunks, tasks * (c + 1) / chunks,
               scratch[size_t(thread)].data());
    }
  };
  const double bytes = double(op.weightBytes) * copies * double(tokens); // the less, the oftener
  return best(threads, std::clamp(int(8e9 / bytes), 5, 60), run) / copies;
}

/// Weights of `model` come from memory, with `cached` from the last cache, as in a model that
/// small.
void measure(int threads, const std::vector<int64_t> &tokenCounts, bool cached) {
  Buffer memory(512u << 20);
  uint64_t sink[16] = {};
  const size_t part = memory.size() / size_t(threads);
  const double bandwidth =
      double(memory.size()) /
      best(threads, 15,
           [&](int t) { readAll(memory.data() + size_t(t) * part, part, sink + 8 * t); }) /
      1e9;
  float out[32] = {};
  const int64_t n = 20000000;
  const double peak256 = double(n) * 12 * 16 * threads /
                         best(threads, 7, [&](int t) { fma256(n, out + 16 * t); }) / 1e9;
  const double peak512 = !hasIsa(CpuIsa::V4)
                             ? 0
                             : double(n) * 12 * 32 * threads /
                                   best(threads, 7, [&](int t) { fma512(n, out + 16 * t); }) / 1e9;
  const double peakPairs =
      !hasIsa(CpuIsa::V4Bf16) ? 0 : double(n) * 12 * 64 * threads / best(threads, 7, [&](int t) {
                                      dotPairs(n, out + 16 * t);
                                    }) / 1e9;
  std::printf(
      "%d threads: read %.1f GB/s, FMA %.0f (256 bit) %.0f (512 bit) %.0f (bf16 pairs) GFLOP/s\n",
      threads, bandwidth, peak256, peak512, peakPairs);
  const Shape large[] = {{"rms_norm_linear", 4096, 1024, false, true, false},
                         {"rms_norm_swiglu", 6144, 1024, true, true, false},
                         {"linear_add", 1024, 3072, false, false, true},
                         {"linear_add", 1024, 2048, false, false, true}};
  const Shape small[] = {{"rms_norm_linear", 1024, 256, false, true, false},
                         {"rms_norm_swiglu", 1536, 256, true, true, false},
                         {"linear_add", 256, 768, false, false, true},
                         {"linear_add", 256, 512, false, false, true}};
  for (const Shape *it = cached ? small : large, *end = it + 4; it != end; ++it) {
    const Shape &s = *it;
    const double bytes = double(s.rows * s.k * 2), flops = double(s.rows * s.k * 2);
    for (CpuIsa isa : machineIsas()) {
      std::printf("%-16s %5dx%-5d %s:", s.op, int(s.rows), int(s.k), name(isa));
      const int copies = int((cached ? 12e6 : 384e6) / bytes);
      for (int64_t tokens : tokenCounts) {
        const double time = seconds(s, tokens, threads, isa, tokens >= 64 && !cached ? 2 : copies);
        const double peak = isa == CpuIsa::V3 ? peak256 : isa == CpuIsa::V4 ? peak512 : peakPairs;
        std::printf(" | %d: %.1f GB/s %.0f%% %.0f GF %.0f%%", int(tokens), bytes / time / 1e9,
                    100 * bytes / time / 1e9 / bandwidth, flops * double(tokens) / time / 1e9,
                    100 * flops * double(tokens) / time / 1e9 / peak);
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
}

} // namespace

/// One thread's attention, `count` tokens at the end of `context`, by the kernel of steps of up to
/// `most` tokens. The cache comes from memory, or with `cached` from L2.
void measureAttention(int64_t context, int64_t count, int64_t most, int64_t heads, bool cached) {
  constexpr int64_t dim = 128, page = 16;
  const int64_t queries = 2 * heads;
  ModuleText m(most);
  const std::string q = perToken({queries, dim}, DType::BF16),
                    kv = "!xfmr.kv<" + str(heads) + ", 16, 128, bf16, k_packed>";
  m.input("q", {queries, dim}, DType::BF16);
  const int64_t y = m.output(queries * dim, DType::BF16);
  m.argument("%batch: !xfmr.batch");
  m.argument("%kv: " + kv);
  m.body = "%y = xfmr.attention %q, %kv, %batch {" + m.buffers({y}) + ", scale = 0.088 : f32} : (" +
           q + ", " + kv + ", !xfmr.batch) -> " + q;
  m.returned = "%kv";
  m.returnedTypes = kv;
  auto jit = Jit::compile(m.text());
  if (!jit)
    std::exit(1);
  for (CpuIsa isa : machineIsas()) {
    Machine machine(*jit);
    machine.oneSequence(uint32_t(count));
    machine.contexts = {int32_t(context)};
    machine.blockTable.clear();
    for (int64_t p = 0; p * page < context; ++p)
      machine.blockTable.push_back(int32_t(p));
    for (int64_t t = 0; t < count; ++t)
      machine.positions[size_t(t)] = int32_t(context - count + t);
    // As in a model of 28 layers: a layer's pages lie apart, and come from memory each time.
    const int64_t layers = cached ? 1 : 28, layerBytes = 2 * heads * page * dim * 2;
    machine.pageBytes = size_t(layers * layerBytes);
    machine.kv =
        packPlain(randomValues(machine.blockTable.size() * machine.pageBytes / 2, 1, DType::BF16),
                  DType::BF16);
    machine.fill(0, randomValues(size_t(count * queries * dim), 2, DType::BF16), DType::BF16);
    Buffer others(cached ? 0 : 256u << 20); // what a step reads between two visits of a cache page
    auto &args = jit->program.entries[0].ops[0].args;
    auto allLayers = [&](int) {
      for (int64_t layer = 0; layer < layers; ++layer) {
        args[2].offset = uint64_t(layer * layerBytes);
        args[3].offset = uint64_t(layer * layerBytes + layerBytes / 2);
        machine.run(isa);
      }
    };
    double time = 1e9;
    for (int repeat = 0; repeat < (!cached ? 5 : count > 1 ? 200 : 20000); ++repeat) {
      uint64_t sink = 0;
      readAll(others.data(), others.size(), &sink);
      time = std::min(time, best(1, 1, allLayers) / layers);
    }
    const double pairs = double(count) * (double(context) - double(count - 1) / 2);
    std::printf(
        "attention %s%s, %d heads, %d tokens of %d: %.4f ms, %.1f GFLOP/s, cache %.1f GB/s\n",
        name(isa), cached ? " cached" : "", int(heads), int(count), int(context), time * 1e3,
        pairs * queries * dim * 4 / time / 1e9, double(context * heads * dim * 4) / time / 1e9);
  }
}

/// kernel-throughput [--cached] [THREADS [TOKENS...]]
int main(int argc, char **argv) {
  const bool cached = argc > 1 && !std::strcmp(argv[1], "--cached");
  if (cached)
    --argc, ++argv;
  std::vector<int64_t> tokens;
  for (int i = 2; i < argc; ++i)
    tokens.push_back(std::atoll(argv[i]));
  if (tokens.empty())
    tokens = {1, 2, 4, 8, 16, 64, 512};
  for (auto [context, count, most] :
       {std::array{128, 1, 1}, {512, 1, 1}, {128, 1, 512}, {512, 1, 512}, {512, 512, 512}})
    measureAttention(context, count, most, cached ? 2 : 8, cached);
  for (int threads : {1, 2})
    if (argc < 2 || std::atoi(argv[1]) == threads)
      measure(threads, tokens, cached);
}
