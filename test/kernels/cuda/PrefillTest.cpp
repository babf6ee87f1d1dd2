//===- PrefillTest.cpp - prefill attention against its reference ----------===//
#include "PagedCache.h"
#include "Tests.h"

#include "runtime/kernels/DecodeAttentionReference.h"
#include "runtime/kernels/PrefillAttention.h"

#include <cstring>

namespace sinter::test {

namespace {

struct PrefillVariant {
  const char *name;
  Type type, cache;
  int dim;
  bool wgmma = false;
  int pageLog2 = 0; ///< the only one; 0: all
};

const PrefillVariant kVariants[] = {
#define SINTER_PREFILL(name, type, cache, dim) {#name, Type::type, Type::cache, dim},
#include "runtime/kernels/PrefillVariants.def"
#undef SINTER_PREFILL
    {"sinter_prefill_wgmma_bf16_page8", Type::BF16, Type::BF16, 128, true, 3},
    {"sinter_prefill_wgmma_bf16_page16", Type::BF16, Type::BF16, 128, true, 4},
    {"sinter_prefill_wgmma_bf16_page32", Type::BF16, Type::BF16, 128, true, 5},
    {"sinter_prefill_wgmma_bf16_page64", Type::BF16, Type::BF16, 128, true, 6},
    {"sinter_prefill_wgmma_f16_page16", Type::F16, Type::F16, 128, true, 4},
    {"sinter_prefill_wgmma_bf16_e4m3_page8", Type::BF16, Type::E4M3, 128, true, 3},
    {"sinter_prefill_wgmma_bf16_e4m3_page16", Type::BF16, Type::E4M3, 128, true, 4},
    {"sinter_prefill_wgmma_bf16_e5m2_page64", Type::BF16, Type::E5M2, 128, true, 6},
    {"sinter_prefill_wgmma_f16_e4m3_page32", Type::F16, Type::E4M3, 128, true, 5},
    {"sinter_prefill_wgmma_f16_e5m2_page16", Type::F16, Type::E5M2, 128, true, 4},
    {"sinter_prefill_qwen3_bf16", Type::BF16, Type::BF16, 128, true, 4},
};

/// Those that take a window, which others leave out for their registers' sake.
const PrefillVariant kWindowVariants[] = {
    {"sinter_prefill_window_bf16_bf16_d128", Type::BF16, Type::BF16, 128},
    {"sinter_prefill_window_f16_f16_d64", Type::F16, Type::F16, 64},
    {"sinter_prefill_window_bf16_e4m3_d128", Type::BF16, Type::E4M3, 128},
    {"sinter_prefill_window_f16_f16_d256", Type::F16, Type::F16, 256},
    {"sinter_prefill_wgmma_window_bf16_page8", Type::BF16, Type::BF16, 128, true, 3},
    {"sinter_prefill_wgmma_window_bf16_page16", Type::BF16, Type::BF16, 128, true, 4},
    {"sinter_prefill_wgmma_window_f16_page64", Type::F16, Type::F16, 128, true, 6},
    {"sinter_prefill_wgmma_window_bf16_e4m3_page16", Type::BF16, Type::E4M3, 128, true, 4},
    {"sinter_prefill_wgmma_window_f16_e5m2_page8", Type::F16, Type::E5M2, 128, true, 3},
};

const PrefillVariant &variantOf(const std::string &name) {
  for (const PrefillVariant &v : kVariants)
    if (v.name == name)
      return v;
  for (const PrefillVariant &v : kWindowVariants)
    if (v.name == name)
      return v;
  std::fprintf(stderr, "error: no prefill variant %s\n", name.c_str());
  std::exit(1);
}

struct PrefillOptions {
  std::string kernel = "sinter_prefill_bf16_bf16_d128";
  int heads = 4, kvHeads = 2, pageLog2 = 4;
  bool packed = false;
  std::vector<int> ctx, query; ///< per sequence: cached prefix of ctx - query positions
  float kScale = 1, kMagnitude = 1;
  int minQuery = 1, window = 0, grid = 264;
};

class PrefillCase {
public:
  PrefillCase(const Kernels &kernels, const PrefillOptions &o)
      : o(o), variant(variantOf(o.kernel)),
        layout(kernels::prefillLayout(variant.dim, bytesOf(variant.cache))),
        cache({variant.cache, o.kvHeads, variant.dim, o.pageLog2, o.packed}, o.ctx, 5,
              o.kMagnitude / o.kScale, hiddenBy(o.window, o.ctx, o.query)) {
    for (size_t s = 0; s < o.ctx.size(); ++s) {
      for (int i = 0; i < o.query[s]; ++i)
        positionOf.push_back(o.ctx[s] - o.query[s] + i);
      cuQ.push_back(cuQ.back() + o.query[s]);
      entries += (o.query[s] * o.heads / o.kvHeads + layout.rows - 1) / layout.rows;
    }
    Random random(77);
    q.resize(size_t(cuQ.back() * o.heads * variant.dim));
    std::vector<uint8_t> bytes(q.size() * 2);
    for (size_t i = 0; i < q.size(); ++i) {
      const uint32_t bits = encode(variant.type, double(random.value()));
      put(variant.type, bytes.data(), i, bits);
      q[i] = decode(variant.type, bits);
    }
    qBuffer = Buffer(bytes);
    out = Buffer(bytes.size());
    pool = Buffer(cache.pool);
    table = Buffer(cache.table);
    positions = Buffer(positionOf);
    ctx = Buffer(o.ctx);
    cu = Buffer(cuQ);
    scale = Buffer(std::vector<float>{o.kScale});
    count = Buffer(4);
    work = Buffer(size_t(entries) * sizeof(kernels::PrefillWork));
    plan = {cu.as<int>(),      ctx.as<int>(), count.as<int>(),     work.as<kernels::PrefillWork>(),
            int(o.ctx.size()), entries,       o.heads / o.kvHeads, layout.rows,
            o.minQuery};
    args.q = qBuffer.as();
    args.out = out.as();
    args.k = pool.as<uint8_t>() + cache.shape.kOffset();
    args.v = pool.as<uint8_t>() + cache.shape.vOffset();
    args.page_bytes = cache.shape.pageBytes();
    args.block_table = table.as<int>();
    args.positions = positions.as<int>();
    args.ctx = ctx.as<int>();
    args.k_scale = o.kScale != 1 ? scale.as<float>() : nullptr;
    args.count = count.as<int>();
    args.work = work.as<kernels::PrefillWork>();
    args.scale = 1.0f / std::sqrt(float(variant.dim));
    args.heads = o.heads;
    args.kv_heads = o.kvHeads;
    args.block_table_stride = cache.stride;
    args.page_log2 = o.pageLog2;
    args.k_packed = o.packed;
    args.window = o.window;
    planLaunch = {kernels.get("sinter_prefill_plan", 64), 1, 256, 64};
    const int threads = variant.wgmma ? kernels::kPrefillWgmmaThreads : kernels::kPrefillThreads;
    const int shared = variant.wgmma ? kernels::kPrefillWgmmaSharedBytes : layout.shared_bytes;
    attention = {kernels.get(o.kernel, shared), o.grid, threads, shared};
  }

  void attend(cudaStream_t stream = nullptr) {
    if (!variant.wgmma)
      return launch(attention, args, stream);
    kernels::PrefillMapped mapped{};
    mapped.args = args;
    if (bytesOf(variant.cache) == 1)
      return launch(attention, mapped, stream);
    const auto map = [&](const void *data, unsigned char (&to)[128]) {
      const CUtensorMap made =
          tensorMap(const_cast<void *>(data), variant.cache == Type::BF16, 1ull << 31,
                    uint64_t(variant.dim), 1u << o.pageLog2, uint32_t(variant.dim));
      std::memcpy(to, &made, sizeof(made));
    };
    map(args.k, mapped.k_map);
    map(args.v, mapped.v_map);
    launch(attention, mapped, stream);
  }

  std::vector<uint8_t> run() {
    out.fill(0xff);
    launch(planLaunch, plan);
    attend();
    synchronize(variant.name);
    return out.download<uint8_t>();
  }

  Error check(const std::vector<uint8_t> &raw) {
    const int dim = variant.dim, heads = o.heads, group = heads / o.kvHeads;
    std::vector<double> want(q.size());
    std::vector<int> seqOf;
    for (size_t s = 0; s + 1 < cuQ.size(); ++s)
      seqOf.resize(size_t(cuQ[s + 1]), int(s));
    parallelFor(cuQ.back() * heads, [&](int row) {
      const size_t token = size_t(row / heads), seq = size_t(seqOf[token]);
      kernels::attentionRowReference(
          q.data() + size_t(row) * size_t(dim), cache.keys[seq].data(), cache.values[seq].data(),
          o.ctx[seq], positionOf[token], o.window, row % heads / group, o.kvHeads, dim,
          double(o.kScale) / std::sqrt(double(dim)), 1.0, want.data() + size_t(row) * size_t(dim));
    });
    std::vector<float> got(want.size());
    for (size_t i = 0; i < got.size(); ++i)
      got[i] = decode(variant.type, fetch(variant.type, raw.data(), i));
    return relativeError(got, want, dim);
  }

  /// sqrt(2) roundings: 2.35e-3 for bf16, 2.9e-4 for f16.
  double bound() const { return variant.type == Type::BF16 ? 2.5e-3 : 3.2e-4; }

  PrefillOptions o;
  const PrefillVariant &variant;
  kernels::PrefillLayout layout;
  PagedCache cache;
  std::vector<int> cuQ{0}, positionOf;
  int entries = 0;
  std::vector<float> q;
  Buffer qBuffer, out, pool, table, positions, ctx, cu, scale, count, work;
  kernels::PrefillPlanArgs plan{};
  kernels::PrefillArgs args{};
  Launch planLaunch{}, attention{};
};

void checkCase(const Kernels &kernels, Report &report, const PrefillOptions &o) {
  PrefillCase problem(kernels, o);
  report.expectError(problem.check(problem.run()), problem.bound(),
                     o.kernel + " heads " + std::to_string(o.heads) + "/" +
                         std::to_string(o.kvHeads) + " page " + std::to_string(1 << o.pageLog2) +
                         (o.packed ? " packed" : "") + " query " + std::to_string(o.query[0]) +
                         " of " + std::to_string(o.ctx[0]) +
                         (o.window ? " window " + std::to_string(o.window) : ""));
}

void shapes(const Kernels &kernels, Report &report, const char *kernel) {
  for (int group : {1, 2, 4, 5, 8}) {
    PrefillOptions o;
    o.kernel = kernel;
    o.heads = 2 * group;
    o.ctx = {511, 513, 40, 1024};
    o.query = {511, 100, 33, 9};
    checkCase(kernels, report, o);
    o.ctx = {2100};
    o.query = {700};
    o.grid = 7;
    checkCase(kernels, report, o);
  }
  for (int n = 1; n <= 140; n += 3) {
    PrefillOptions o;
    o.kernel = kernel;
    o.ctx = {n, n + 57};
    o.query = {n, n};
    checkCase(kernels, report, o);
  }
  PrefillOptions o;
  o.kernel = kernel;
  for (int s = 0; s < 300; ++s) { // more sequences than threads plan them
    o.ctx.push_back(1 + s * 37 % 90);
    o.query.push_back(1 + s * 37 % 90 % 23);
  }
  o.minQuery = 9;
  for (int &n : o.query)
    n = std::max(n, 9);
  for (size_t s = 0; s < o.ctx.size(); ++s)
    o.ctx[s] = std::max(o.ctx[s], o.query[s]);
  checkCase(kernels, report, o);
  report.group(kernel);
}

/// Windows around pages, tiles and contexts, without the pages that left them.
void windows(const Kernels &kernels, Report &report, const PrefillVariant &variant) {
  for (int window : {1, 7, 16, 47, 48, 49, 64, 127, 128, 129, 200, 256, 500, 5000})
    for (int page = 3; page <= 6; ++page) {
      if (variant.pageLog2 && page != variant.pageLog2)
        continue;
      PrefillOptions o;
      o.kernel = variant.name;
      o.window = window;
      o.pageLog2 = page;
      o.packed = !variant.wgmma && page == 5;
      o.ctx = {1, 9, 64, 65, 300, 511, 700, 2100};
      o.query = {1, 9, 64, 65, 17, 511, 333, 130};
      checkCase(kernels, report, o);
      o.heads = 10; // groups of five: a tile ends inside a token's rows
      o.grid = 7;
      checkCase(kernels, report, o);
    }
}

/// A prompt at once and in parts that begin anywhere: the same bits.
void windowsInParts(const Kernels &kernels, Report &report, const PrefillVariant &variant) {
  for (int window : {5, 100, 129, 400}) {
    PrefillOptions o;
    o.kernel = variant.name;
    o.window = window;
    o.pageLog2 = variant.pageLog2 ? variant.pageLog2 : 4;
    o.ctx = {600};
    o.query = {450};
    PrefillCase whole(kernels, o);
    const std::vector<uint8_t> all = whole.run();
    for (int query : {1, 37, 128, 300}) { // the first tokens, with the same queries
      o.ctx = {150 + query};
      o.query = {query};
      PrefillCase part(kernels, o);
      const std::vector<uint8_t> some = part.run();
      report.expect(std::equal(some.begin(), some.end(), all.begin()),
                    std::string(variant.name) + ": bits depend on what comes after, window " +
                        std::to_string(window));
    }
  }
}

void repeats(const Kernels &kernels, Report &report, const char *kernel) {
  PrefillOptions o;
  o.kernel = kernel;
  o.ctx = {1500, 700};
  o.query = {1500, 300};
  PrefillCase problem(kernels, o);
  const std::vector<uint8_t> first = problem.run();
  int different = 0;
  for (int i = 0; i < 50; ++i)
    different += problem.run() != first;
  report.expect(different == 0, std::to_string(different) + " of 50 repeats differ");
  o.grid = 3;
  PrefillCase narrow(kernels, o);
  report.expect(narrow.run() == first, "the grid changes the result");
  std::vector<int> pages = problem.cache.table;
  pages[3] = pages[9];
  problem.table.upload(pages.data(), pages.size() * 4);
  report.expect(problem.check(problem.run()).all > problem.bound(), "not noticed: a wrong page");
}

} // namespace

void testPrefill(const Kernels &kernels, Report &report) {
  for (const PrefillVariant &v : kVariants)
    for (int page = 3; page <= 6; ++page)
      for (int packed = 0; packed < (v.wgmma ? 1 : 2); ++packed) {
        if (v.pageLog2 && page != v.pageLog2)
          continue;
        PrefillOptions o;
        o.kernel = v.name;
        if (o.kernel == "sinter_prefill_qwen3_bf16")
          o.heads = 16, o.kvHeads = 8;
        o.pageLog2 = page;
        o.packed = packed;
        o.ctx = {1, 9, 63, 64, 65, 200, 300};
        o.query = {1, 9, 63, 64, 65, 130, 17};
        checkCase(kernels, report, o);
      }
  report.group("prefill: every variant");
  for (const char *kernel :
       {"sinter_prefill_bf16_bf16_d128", "sinter_prefill_bf16_e4m3_d128",
        "sinter_prefill_wgmma_bf16_page16", "sinter_prefill_wgmma_bf16_e4m3_page16"})
    shapes(kernels, report, kernel);
  for (const char *kernel :
       {"sinter_prefill_bf16_bf16_d128", "sinter_prefill_f16_f16_d128",
        "sinter_prefill_bf16_e4m3_d128", "sinter_prefill_f16_e5m2_d128",
        "sinter_prefill_wgmma_bf16_page16", "sinter_prefill_wgmma_f16_page16",
        "sinter_prefill_wgmma_bf16_e4m3_page16", "sinter_prefill_wgmma_f16_e5m2_page16"}) {
    PrefillOptions o;
    o.kernel = kernel;
    o.ctx = {900};
    o.query = {500};
    o.kMagnitude = 96;
    o.kScale = 2048;
    checkCase(kernels, report, o);
  }
  report.group("prefill: 96x k norm");
  for (const char *kernel :
       {"sinter_prefill_bf16_bf16_d128", "sinter_prefill_bf16_e4m3_d128",
        "sinter_prefill_wgmma_bf16_page16", "sinter_prefill_wgmma_bf16_e4m3_page16"})
    repeats(kernels, report, kernel);
  report.group("prefill: repeats, checker");
  for (const PrefillVariant &v : kWindowVariants) {
    windows(kernels, report, v);
    windowsInParts(kernels, report, v);
  }
  report.group("prefill: windows");
}

void quickPrefill(const Kernels &kernels, Report &report) {
  PrefillOptions o;
  o.ctx = {70, 250, 513}; // 250 ends in a page that is a tile's last
  o.query = {70, 100, 400};
  o.kScale = 4;
  o.kMagnitude = 8;
  checkCase(kernels, report, o);
  o.kernel = "sinter_prefill_bf16_e4m3_d128";
  checkCase(kernels, report, o);
  o.grid = 5;
  for (const char *kernel :
       {"sinter_prefill_wgmma_bf16_page16", "sinter_prefill_wgmma_bf16_e4m3_page16"}) {
    o.kernel = kernel;
    checkCase(kernels, report, o);
  }
  for (const char *kernel :
       {"sinter_prefill_window_bf16_bf16_d128", "sinter_prefill_wgmma_window_bf16_page16"})
    for (int window : {5, 60, 150}) {
      o.kernel = kernel;
      o.window = window;
      checkCase(kernels, report, o);
    }
  report.group("prefill: quick");
}

static void timeOne(const Kernels &kernels, const char *kernel, int heads, int tokens, int grid) {
  PrefillOptions o;
  o.kernel = kernel;
  o.heads = heads;
  o.kvHeads = 8;
  o.ctx = o.query = {tokens};
  o.grid = std::min(grid, tokens * heads / 128);
  PrefillCase problem(kernels, o);
  launch(problem.planLaunch, problem.plan);
  const double us = graphMicroseconds(
                        [&](cudaStream_t stream) {
                          for (int i = 0; i < 4; ++i)
                            problem.attend(stream);
                        },
                        9) /
                    4;
  const double flops = 4.0 * heads * 128 * tokens * (tokens + 1.0) / 2;
  std::printf("%-30s %5d tokens %2d heads grid %5d %9.1f us %5.0f TFLOP/s\n", kernel, tokens, heads,
              o.grid, us, flops / us * 1e-6);
  std::fflush(stdout);
}

void timePrefill(const Kernels &kernels) {
  for (int heads : {16, 32})
    for (int tokens : {2048, 8192}) {
      timeOne(kernels, "sinter_prefill_bf16_bf16_d128", heads, tokens, 264 * 64);
      timeOne(kernels, "sinter_prefill_bf16_e4m3_d128", heads, tokens, 264 * 64);
      timeOne(kernels, "sinter_prefill_wgmma_bf16_page16", heads, tokens, 132);
      timeOne(kernels, "sinter_prefill_wgmma_bf16_e4m3_page16", heads, tokens, 132);
      if (heads == 16)
        timeOne(kernels, "sinter_prefill_qwen3_bf16", heads, tokens, 132);
    }
}

} // namespace sinter::test
