//===- DecodeTest.cpp - decode attention against its reference ------------===//
#include "DecodeCase.h"
#include "Tests.h"

namespace sinter::test {

static std::string describe(const DecodeOptions &o) {
  std::string text = o.kernel + " heads " + std::to_string(o.heads) + "/" +
                     std::to_string(o.kvHeads) + " page " + std::to_string(1 << o.pageLog2) +
                     (o.packed ? " packed" : "") + " ctx";
  for (size_t i = 0; i < o.ctx.size() && i < 4; ++i)
    text += " " + std::to_string(o.ctx[i]);
  text += o.ctx.size() > 4 ? " ..." : "";
  return o.window ? text + " window " + std::to_string(o.window) : text;
}

static void checkCase(const Kernels &kernels, Report &report, const DecodeOptions &o) {
  DecodeCase problem(kernels, o);
  report.expectError(problem.check(problem.run()), problem.bound(), describe(o));
  report.expect(problem.countersAreZero(), describe(o) + ": counters are not zero again");
}

/// Every variant, page size and K layout, contexts around page and split boundaries.
static void everyVariant(const Kernels &kernels, Report &report) {
  for (const DecodeVariant &v : decodeVariants())
    for (int page = 3; page <= 6; ++page)
      for (int packed = 0; packed < 2; ++packed) {
        DecodeOptions o;
        o.kernel = v.name;
        if (o.kernel.starts_with("sinter_decode_window_"))
          o.window = 1 << 20; // more than there is; others in windows()
        const bool folded = o.kernel.starts_with("sinter_decode_qwen3_06b");
        if ((folded && page != 4) || (o.kernel.find("_qwen3_") != std::string::npos && packed))
          continue;
        if (folded)
          o.heads = 16, o.kvHeads = 8, o.early = true;
        o.pageLog2 = page;
        o.packed = packed;
        o.ctx = {1, 16, 17, 70, 511, 512, 513, 1300};
        o.query = {1, 1, 3, 8, 1, 2, 5, 1};
        o.dequant = bytesOf(v.cache) == 1;
        o.early = o.early || packed;
        o.grid = page == 5 ? 33 : 264;
        o.seed = uint64_t(page * 2 + packed);
        checkCase(kernels, report, o);
      }
  report.group("decode: every variant");
}

static void contexts(const Kernels &kernels, Report &report) {
  const char *names[] = {"sinter_decode_qwen3_bf16",     "sinter_decode_qwen3_f16",
                         "sinter_decode_bf16_bf16_d128", "sinter_decode_f16_f16_d128",
                         "sinter_decode_bf16_e4m3_d128", "sinter_decode_f32_f32_d128"};
  for (const char *name : names) {
    DecodeOptions o;
    o.kernel = name;
    for (int c = 1; c <= 70; ++c)
      o.ctx.push_back(c);
    checkCase(kernels, report, o);
    for (int batch : {1, 3, 8, 64}) {
      o.ctx.clear();
      for (int s = 0; s < batch; ++s)
        o.ctx.push_back(1 + (s * 337 + 500) % 1100);
      checkCase(kernels, report, o);
    }
    o.ctx = {4096};
    checkCase(kernels, report, o);
    o.ctx = {32768, 31};
    checkCase(kernels, report, o);
    o.targetSplits = 2;
    o.maxChunk = 2048; // 16 parts
    checkCase(kernels, report, o);
    o.fixedChunk = 256;
    o.query = {4, 2};
    checkCase(kernels, report, o);
    o.maxSlots = 20; // of 32: the sequence stays whole
    checkCase(kernels, report, o);
    o.maxSlots = 1 << 30;
    o.ctx = {0, 5, 0}; // padded sequences: zeros
    o.query = {};
    checkCase(kernels, report, o);
    o.ctx = {700, 3};
    o.query = {3, 1};
    o.blind = true;
    checkCase(kernels, report, o);
  }
  report.group("decode: contexts");
}

static void groups(const Kernels &kernels, Report &report) {
  const char *names[] = {"sinter_decode_qwen3_bf16", "sinter_decode_bf16_bf16_d128",
                         "sinter_decode_bf16_bf16_d128_r16", "sinter_decode_bf16_e4m3_d128_r16",
                         "sinter_decode_f32_f32_d128_r16"};
  for (const char *name : names)
    for (int group : {1, 2, 4, 5, 8})
      for (int query = 1; query <= 8; ++query) {
        DecodeOptions o;
        o.kernel = name;
        o.kvHeads = 2;
        o.heads = 2 * group;
        o.ctx = {130 + query, query, 600};
        o.query = {query, query, 9 - query};
        checkCase(kernels, report, o);
      }
  report.group("decode: groups and q_len");
}

/// Windows around pages, tiles, parts and contexts, without the pages that left them.
static void windows(const Kernels &kernels, Report &report) {
  const char *names[] = {"sinter_decode_window_qwen3_bf16",     "sinter_decode_window_qwen3_f16",
                         "sinter_decode_window_bf16_bf16_d128", "sinter_decode_window_f16_f16_d64",
                         "sinter_decode_window_bf16_e4m3_d128", "sinter_decode_window_f32_f32_d64"};
  for (const char *name : names)
    for (int window : {1, 7, 8, 16, 17, 63, 64, 65, 100, 512, 1000, 5000})
      for (int page = 3; page <= 6; ++page) {
        DecodeOptions o;
        o.kernel = name;
        o.window = window;
        o.pageLog2 = page;
        o.ctx = {1, 16, 17, 70, 511, 512, 513, 1300, 4096};
        o.query = {1, 1, 3, 8, 1, 2, 5, 1, 1};
        o.early = window % 2 != 0;
        o.packed = page == 4 && !o.kernel.starts_with("sinter_decode_window_qwen3_");
        checkCase(kernels, report, o);
        if (page == 4)
          o.fixedChunk = 128, o.maxSlots = 30, checkCase(kernels, report, o);
      }
  report.group("decode: windows");
}

/// Undivided, a token's bits are its own: alone, and first of others of its sequence.
static void windowsAlone(const Kernels &kernels, Report &report) {
  for (const char *name : {"sinter_decode_window_f32_f32_d64", "sinter_decode_window_qwen3_bf16"})
    for (int window : {5, 64, 100, 300})
      for (int query : {3, 8}) {
        DecodeOptions o;
        o.kernel = name;
        o.window = window;
        o.fixedChunk = 1 << 30;
        o.ctx = {700};
        o.query = {query};
        DecodeCase together(kernels, o);
        const std::vector<uint8_t> all = together.run();
        o.ctx = {700 - query + 1}; // up to the first one, which has the same query
        o.query = {1};
        DecodeCase alone(kernels, o);
        const std::vector<uint8_t> one = alone.run();
        report.expect(std::equal(one.begin(), one.end(), all.begin()),
                      std::string(name) + ": bits depend on what comes after, window " +
                          std::to_string(window));
      }
  report.group("decode: windows, alone");
}

/// Where there is no prefill kernel, decode takes prompts of any length.
static void prompts(const Kernels &kernels, Report &report) {
  for (const char *name : {"sinter_decode_f32_f32_d64", "sinter_decode_f32_f32_d96"}) {
    DecodeOptions o;
    o.kernel = name;
    o.heads = 3;
    o.kvHeads = 1;
    o.maxQuery = 1 << 20;
    o.ctx = {70, 33, 200};
    o.query = {70, 1, 90};
    checkCase(kernels, report, o);
    o.ctx.clear();
    o.query.clear();
    for (int s = 0; s < 300; ++s) // more sequences than threads plan them
      o.ctx.push_back(1 + s * 37 % 90), o.query.push_back(1 + s * 37 % 90 % 23);
    o.maxSlots = 500;
    o.minChunk = 16;
    checkCase(kernels, report, o);
  }
  report.group("decode: prompts");
}

/// Norm weights of 96: scores of several hundred, attention collapsed to single positions.
static void largeKeys(const Kernels &kernels, Report &report) {
  for (const char *name : {"sinter_decode_f16_f16_d128", "sinter_decode_bf16_bf16_d128",
                           "sinter_decode_qwen3_f16", "sinter_decode_bf16_e4m3_d128",
                           "sinter_decode_f16_e4m3_d128", "sinter_decode_f16_e5m2_d128"}) {
    DecodeOptions o;
    o.kernel = name;
    o.ctx = {900, 64, 33};
    o.kMagnitude = 96;
    o.kScale = 2048;
    checkCase(kernels, report, o);
  }
  report.group("decode: 96x k norm");
}

static void repeats(const Kernels &kernels, Report &report) {
  DecodeOptions o;
  o.kernel = "sinter_decode_qwen3_bf16";
  o.heads = 16;
  o.kvHeads = 8;
  o.ctx = {4096, 1000, 333, 2048, 77};
  DecodeCase together(kernels, o);
  const std::vector<uint8_t> first = together.run();
  int different = 0;
  for (int i = 0; i < 100; ++i)
    different += together.run(i % 2 != 0) != first;
  report.expect(different == 0, std::to_string(different) + " of 100 repeats differ");

  o.grid = 2112;
  o.early = true;
  DecodeCase wide(kernels, o);
  report.expect(wide.run() == first, "the grid or early reads change the result");

  // The same sequence by itself: same bits. Sequence 0 draws the same random numbers in both.
  o.ctx = {4096};
  DecodeCase alone(kernels, o);
  const std::vector<uint8_t> single = alone.run();
  report.expect(std::equal(single.begin(), single.end(), first.begin()),
                "a sequence's bits depend on its batch");
  report.group("decode: repeats, batch");
}

/// The checker must notice a broken input: these are wrong on purpose.
static void tampering(const Kernels &kernels, Report &report) {
  DecodeOptions o;
  o.kernel = "sinter_decode_bf16_bf16_d128";
  o.ctx = {600, 45};
  const auto broken = [&](const char *what, auto change) {
    DecodeCase problem(kernels, o);
    change(problem);
    const Error e = problem.check(problem.run());
    report.expect(e.all > problem.bound(), std::string("not noticed: ") + what);
  };
  broken("a page read twice", [](DecodeCase &c) {
    std::vector<int> table = c.cache.table;
    table[5] = table[6]; // swapping them would change nothing: attention is a sum
    c.table.upload(table.data(), table.size() * 4);
  });
  broken("context one too long", [](DecodeCase &c) {
    const std::vector<int> ctx = {601, 46}, positions = {600, 45};
    c.ctx.upload(ctx.data(), 8);
    c.positions.upload(positions.data(), 8);
  });
  broken("position off by one", [](DecodeCase &c) {
    const std::vector<int> positions = {598, 43};
    c.positions.upload(positions.data(), 8);
  });
  broken("wrong GQA map", [](DecodeCase &c) { std::swap(c.args.heads, c.args.kv_heads); });
  broken("k scale dropped", [](DecodeCase &c) { c.args.scale *= 0.5f; });
  broken("wrong layout", [](DecodeCase &c) { c.args.k_packed = 1; });
  o.kernel = "sinter_decode_window_qwen3_bf16";
  o.window = 40;
  broken("another window", [](DecodeCase &c) { c.args.window = 39; });
  report.group("decode: checker notices");
}

void testDecode(const Kernels &kernels, Report &report) {
  everyVariant(kernels, report);
  contexts(kernels, report);
  groups(kernels, report);
  windows(kernels, report);
  windowsAlone(kernels, report);
  prompts(kernels, report);
  largeKeys(kernels, report);
  repeats(kernels, report);
  tampering(kernels, report);
}

void quickDecode(const Kernels &kernels, Report &report) {
  DecodeOptions o;
  o.kernel = "sinter_decode_qwen3_bf16";
  o.ctx = {1, 15, 16, 17, 63, 64, 65, 513, 1500};
  o.query = {1, 2, 1, 3, 1, 4, 1, 8, 1};
  o.kMagnitude = 8;
  o.kScale = 4;
  checkCase(kernels, report, o);
  // Enough traffic that copies are late: what waits for them too briefly is seen.
  o.ctx.assign(96, 2000);
  o.query = {};
  o.heads = 16;
  o.kvHeads = 8;
  checkCase(kernels, report, o);
  o.ctx = {70, 90, 200, 1000};
  o.query = {1, 4, 1, 2};
  o.kernel = "sinter_decode_window_qwen3_bf16";
  for (int window : {5, 40, 130}) {
    o.window = window;
    checkCase(kernels, report, o);
  }
  report.group("decode: quick");
}

//===--- timing ---===//

static void timeOne(const Kernels &kernels, const char *name, int batch, int context, int sets,
                    int minChunk, int target, int grid, bool overlap) {
  // Sets of caches are rotated, together larger than the L2 cache. Contents do not matter for the
  // time as long as they are not trivial: one random pattern is repeated.
  DecodeOptions o;
  o.kernel = name;
  o.heads = 16;
  o.kvHeads = 8;
  o.minChunk = minChunk;
  o.targetSplits = target;
  o.grid = grid;
  o.early = overlap;
  const DecodeVariant &v = decodeVariant(name);
  CacheShape shape{v.cache, 8, v.dim, 4, false};
  o.ctx.assign(size_t(batch), 0);
  DecodeCase problem(kernels, o); // workspace and queries for the batch
  const size_t pagesPerSeq = size_t(context + 15) / 16, pages = pagesPerSeq * size_t(batch);
  const size_t pageBytes = 2 * shape.streamBytes();
  Buffer pool(pages * pageBytes * size_t(sets));
  std::vector<uint8_t> pattern(size_t(64) << 20);
  Random random(3);
  for (size_t i = 0; i < pattern.size(); i += size_t(bytesOf(v.cache)))
    put(v.cache, pattern.data(), i / size_t(bytesOf(v.cache)),
        encode(v.cache, double(random.value())));
  for (size_t at = 0; at < pool.bytes(); at += pattern.size())
    check(cudaMemcpy(pool.as<uint8_t>() + at, pattern.data(),
                     std::min(pattern.size(), pool.bytes() - at), cudaMemcpyHostToDevice),
          "pattern");
  std::vector<int> table(pages), ctx(size_t(batch), context), positions(size_t(batch), context - 1);
  std::iota(table.begin(), table.end(), 0);
  for (size_t i = pages; i > 1; --i)
    std::swap(table[i - 1], table[size_t(random.below(int(i)))]);
  Buffer tableBuffer(table), ctxBuffer(ctx), positionBuffer(positions);
  problem.plan.ctx = ctxBuffer.as<int>();
  problem.args.block_table = tableBuffer.as<int>();
  problem.args.block_table_stride = int(pagesPerSeq);
  problem.args.positions = positionBuffer.as<int>();
  problem.args.page_bytes = pageBytes;
  problem.launchPlan(nullptr, false);
  const int rounds = sets > 4 ? 1 : 4;
  const double us = graphMicroseconds(
                        [&](cudaStream_t stream) {
                          for (int i = 0; i < rounds * sets; ++i) {
                            uint8_t *base =
                                pool.as<uint8_t>() + size_t(i % sets) * pages * pageBytes;
                            problem.args.k = base;
                            problem.args.v = base + shape.streamBytes();
                            problem.launchAttention(stream, overlap && i > 0);
                          }
                        },
                        15) /
                    (rounds * sets);
  synchronize(name);
  const double bytes = double(pages * pageBytes);
  std::printf("%-28s %3d x %5d chunk>=%d splits %d grid %4d %s %9.2f us %7.0f GB/s\n", name, batch,
              context, minChunk, target, grid, overlap ? "pdl" : "   ", us, bytes / us * 1e-3);
  std::fflush(stdout);
}

void timeDecode(const Kernels &kernels) {
  struct Row {
    int batch, context, sets, target, grid;
  };
  const Row rows[] = {
      {64, 4096, 2, 1, 264},  {64, 4096, 2, 1, 512}, {1, 4096, 32, 16, 136}, {1, 4096, 32, 16, 264},
      {1, 32768, 4, 32, 264}, {1, 512, 64, 16, 136}, {1, 512, 64, 4, 136},   {8, 512, 32, 4, 264},
      {8, 512, 32, 2, 264},   {8, 4096, 4, 4, 264},  {32, 512, 16, 1, 264},  {64, 512, 8, 1, 264},
      {128, 512, 4, 1, 264},
  };
  for (const Row &r : rows)
    timeOne(kernels, "sinter_decode_qwen3_06b", r.batch, r.context, r.sets, 64, r.target, r.grid,
            true);
  timeOne(kernels, "sinter_decode_qwen3_bf16", 64, 4096, 2, 64, 1, 264, true);
  timeOne(kernels, "sinter_decode_bf16_e4m3_d128", 64, 4096, 2, 64, 1, 264, true);
}

} // namespace sinter::test
