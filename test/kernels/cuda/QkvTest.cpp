//===- QkvTest.cpp - q/k norm, RoPE and the KV write against the reference ===//
#include "PagedCache.h"
#include "Tests.h"

#include "runtime/kernels/QkNormRopeWrite.h"
#include "runtime/kernels/QkNormRopeWriteReference.h"

namespace sinter::test {

namespace {

struct QkvVariant {
  const char *name;
  Type type, cache;
  int dim;
};

const QkvVariant kVariants[] = {
#define SINTER_QKV(name, type, cache, dim) {#name, Type::type, Type::cache, dim},
#include "runtime/kernels/QkvVariants.def"
#undef SINTER_QKV
};

struct QkvOptions {
  QkvVariant variant;
  int heads = 6, kvHeads = 2, tokens = 19, pageLog2 = 4;
  bool packed = false, norm = true, dequant = false;
  float gamma = 1, kScale = 1;
};

/// Codes as integers in the order of their values: neighbours differ by one.
int ordered(Type t, uint32_t bits) {
  const uint32_t sign = 1u << (8 * bytesOf(t) - 1);
  return bits & sign ? -int(bits & (sign - 1)) : int(bits);
}

/// Compares rounded numbers with what they should round to: at most one step apart, rarely.
struct Codes {
  int64_t count = 0, apart = 0, wrong = 0;
  /// Where a rotation cancels, f32 rounding of the head's other elements (of size `size`) shows.
  void add(Type t, uint32_t got, double want, double size) {
    ++count;
    if (t == Type::F32) {
      const double g = double(decode(t, got));
      wrong += !(std::fabs(g - want) <= 2e-6 * (std::fabs(want) + size));
      return;
    }
    if (std::fabs(double(decode(t, got)) - want) <= 1e-6 * size)
      return;
    const int distance = std::abs(ordered(t, got) - ordered(t, encode(t, want)));
    apart += distance == 1;
    wrong += distance > 1;
  }
  bool ok() const { return count > 0 && wrong == 0 && apart * 100 <= count; }
  std::string text() const {
    return ": " + std::to_string(wrong) + " wrong, " + std::to_string(apart) + " one step off of " +
           std::to_string(count);
  }
};

struct QkvCase {
  QkvOptions o;
  CacheShape shape;
  int pages = 0, width = 0;
  std::vector<float> x, qGamma, kGamma, table, kDequant, vDequant;
  std::vector<int> positions, slots;
  std::vector<uint8_t> q, pool;

  explicit QkvCase(const QkvOptions &options)
      : o(options), shape{o.variant.cache, o.kvHeads, o.variant.dim, o.pageLog2, o.packed} {
    Random random(uint64_t(o.variant.dim + o.pageLog2 * 7 + int(o.packed)));
    width = (o.heads + 2 * o.kvHeads) * o.variant.dim;
    const size_t dim = size_t(o.variant.dim);
    for (int i = 0; i < o.tokens * width; ++i)
      x.push_back(decode(o.variant.type, encode(o.variant.type, double(random.value() * 3))));
    for (size_t d = 0; d < dim; ++d) {
      qGamma.push_back(1 + 0.3f * random.value());
      kGamma.push_back(o.gamma * (1 + 0.3f * random.value()));
    }
    const int maxPosition = 200;
    for (int p = 0; p < maxPosition; ++p)
      for (size_t i = 0; i < dim; ++i) {
        const double a = p * std::pow(1e4, -2.0 * double(i % (dim / 2)) / double(dim));
        table.push_back(float(i < dim / 2 ? std::cos(a) : std::sin(a)));
      }
    pages = o.tokens / shape.page() + 3;
    std::vector<int> all(size_t(pages * shape.page()));
    std::iota(all.begin(), all.end(), 0);
    for (int t = 0; t < o.tokens; ++t) {
      std::swap(all[size_t(t)], all[size_t(t + random.below(int(all.size()) - t))]);
      positions.push_back(random.below(maxPosition));
      slots.push_back(t % 5 == 3 ? -1 : all[size_t(t)]);
    }
    for (int h = 0; h < o.kvHeads; ++h) {
      kDequant.push_back(o.dequant ? 0.02f + 0.01f * float(h) : 1);
      vDequant.push_back(o.dequant ? 0.05f + 0.02f * float(h) : 1);
    }
  }

  void run(const Kernels &kernels) {
    std::vector<uint8_t> bytes(x.size() * size_t(bytesOf(o.variant.type)));
    for (size_t i = 0; i < x.size(); ++i)
      put(o.variant.type, bytes.data(), i, encode(o.variant.type, double(x[i])));
    Buffer qkv(bytes), qOut(size_t(o.tokens * o.heads * o.variant.dim * bytesOf(o.variant.type)));
    Buffer cache(size_t(pages) * shape.pageBytes()), angles(table), at(positions), to(slots);
    Buffer qg(qGamma), kg(kGamma), scale(std::vector<float>{o.kScale}), kd(kDequant), vd(vDequant);
    qOut.fill(0xff);
    cache.fill(0xff);
    kernels::QkvArgs args{};
    args.qkv = qkv.as();
    args.q = qOut.as();
    args.k = cache.as<uint8_t>() + shape.kOffset();
    args.v = cache.as<uint8_t>() + shape.vOffset();
    args.page_bytes = shape.pageBytes();
    args.table = angles.as<float>();
    args.positions = at.as<int>();
    args.slots = to.as<int>();
    args.q_gamma = o.norm ? qg.as<float>() : nullptr;
    args.k_gamma = o.norm ? kg.as<float>() : nullptr;
    args.k_scale = o.kScale != 1 ? scale.as<float>() : nullptr;
    args.k_dequant = o.dequant ? kd.as<float>() : nullptr;
    args.v_dequant = o.dequant ? vd.as<float>() : nullptr;
    args.eps = 1e-6f;
    args.tokens = o.tokens;
    args.heads = o.heads;
    args.kv_heads = o.kvHeads;
    args.page_log2 = o.pageLog2;
    args.k_packed = o.packed;
    const int warps = o.tokens * (o.heads + 2 * o.kvHeads);
    launch({kernels.get(o.variant.name, 0), (warps + 3) / 4, kernels::kQkvThreads, 0}, args);
    synchronize(o.variant.name);
    q = qOut.download<uint8_t>();
    pool = cache.download<uint8_t>();
  }

  /// What was written is right and nothing else was written.
  void check(Report &report) {
    const int dim = o.variant.dim;
    Codes queries, keys, values;
    std::vector<double> want(static_cast<size_t>(dim));
    std::vector<uint8_t> rest = pool;
    for (int t = 0; t < o.tokens; ++t)
      for (int h = 0; h < o.heads + 2 * o.kvHeads; ++h) {
        const bool isQ = h < o.heads, isV = h >= o.heads + o.kvHeads;
        const int kv = isV ? h - o.heads - o.kvHeads : h - o.heads;
        if (!isQ && slots[size_t(t)] < 0)
          continue;
        const float *gamma = !o.norm || isV ? nullptr : isQ ? qGamma.data() : kGamma.data();
        const double divisor = isQ   ? 1.0
                               : isV ? double(vDequant[size_t(kv)])
                                     : double(o.kScale) * double(kDequant[size_t(kv)]);
        kernels::qkNormRopeReference(x.data() + t * width + h * dim, gamma,
                                     isV ? nullptr : table.data() + positions[size_t(t)] * dim,
                                     1e-6, divisor, dim, want.data());
        double size = 0;
        for (double w : want)
          size = std::max(size, std::fabs(w));
        for (int d = 0; d < dim; ++d) {
          if (isQ) {
            const size_t index = size_t((t * o.heads + h) * dim + d);
            queries.add(o.variant.type, fetch(o.variant.type, q.data(), index), want[size_t(d)],
                        size);
            continue;
          }
          const int slot = slots[size_t(t)], offset = slot & (shape.page() - 1);
          const size_t base = size_t(slot >> o.pageLog2) * shape.pageBytes() +
                              size_t(kv) * shape.headBytes() +
                              (isV ? shape.vOffset() : shape.kOffset());
          const size_t index = isV ? shape.vIndex(offset, d) : shape.kIndex(offset, d);
          (isV ? values : keys)
              .add(o.variant.cache, fetch(o.variant.cache, pool.data() + base, index),
                   want[size_t(d)], size);
          put(o.variant.cache, rest.data() + base, index, 0xffffffffu);
        }
      }
    const std::string what = std::string(o.variant.name) + " page " + std::to_string(shape.page()) +
                             (o.packed ? " packed" : "");
    report.expect(queries.ok(), what + " q" + queries.text());
    report.expect(keys.ok(), what + " k" + keys.text());
    report.expect(values.ok(), what + " v" + values.text());
    report.expect(std::all_of(rest.begin(), rest.end(), [](uint8_t b) { return b == 0xff; }),
                  what + ": wrote outside of its slots");
  }
};

void checkCase(const Kernels &kernels, Report &report, const QkvOptions &o) {
  QkvCase problem(o);
  problem.run(kernels);
  problem.check(report);
}

} // namespace

void testQkv(const Kernels &kernels, Report &report) {
  for (const QkvVariant &v : kVariants)
    for (int page = 3; page <= 6; ++page)
      for (int packed = 0; packed < 2; ++packed) {
        QkvOptions o;
        o.variant = v;
        o.pageLog2 = page;
        o.packed = packed;
        o.norm = page != 5;
        o.dequant = bytesOf(v.cache) == 1;
        checkCase(kernels, report, o);
      }
  report.group("qkv: every variant");
  for (const QkvVariant &v : kVariants) {
    QkvOptions o;
    o.variant = v;
    o.heads = 16;
    o.kvHeads = 8;
    o.tokens = 130;
    o.gamma = 96;
    o.kScale = 2048;
    checkCase(kernels, report, o);
  }
  report.group("qkv: 96x k norm, k scale");
  QkvOptions o;
  o.variant = kVariants[0];
  QkvCase problem(o);
  problem.run(kernels);
  problem.slots[0] ^= 1;
  Report wrong;
  wrong.quiet();
  problem.check(wrong);
  report.expect(wrong.failures() > 0, "not noticed: a wrong slot");
  report.group("qkv: checker notices");
}

void quickQkv(const Kernels &kernels, Report &report) {
  QkvOptions o;
  for (const QkvVariant &v : kVariants)
    if (std::string(v.name) == "sinter_qkv_bf16_bf16_d128")
      o.variant = v;
  o.kScale = 4;
  checkCase(kernels, report, o);
  o.packed = true;
  checkCase(kernels, report, o);
  report.group("qkv: quick");
}

void timeQkv(const Kernels &kernels) {
  for (int tokens : {1, 8, 64, 2048}) {
    QkvOptions o;
    o.heads = 16;
    o.kvHeads = 8;
    o.tokens = tokens;
    const size_t dim = 128, bytes = size_t(tokens) * 32 * dim * 2;
    Buffer qkv(bytes), q(bytes), cache(size_t(tokens + 16) / 16 * 2 * 8 * 16 * dim * 2);
    Buffer table(size_t(4096) * dim * 4), gamma(dim * 4);
    qkv.fill(0x3f);
    table.fill(0x3e);
    gamma.fill(0x3f);
    std::vector<int> slots(size_t(tokens), 0);
    std::iota(slots.begin(), slots.end(), 0);
    Buffer positions(slots);
    kernels::QkvArgs args{};
    args.qkv = qkv.as();
    args.q = q.as();
    args.k = cache.as();
    args.v = cache.as<uint8_t>() + 8 * 16 * dim * 2;
    args.page_bytes = 2 * 8 * 16 * dim * 2;
    args.table = table.as<float>();
    args.positions = args.slots = positions.as<int>();
    args.q_gamma = args.k_gamma = gamma.as<float>();
    args.eps = 1e-6f;
    args.tokens = tokens;
    args.heads = 16;
    args.kv_heads = 8;
    args.page_log2 = 4;
    for (bool overlap : {false, true}) {
      const Launch l{kernels.get("sinter_qkv_bf16_bf16_d128", 0), tokens * 32 / 4,
                     kernels::kQkvThreads, 0, overlap};
      const double us = graphMicroseconds(
                            [&](cudaStream_t stream) {
                              for (int i = 0; i < 32; ++i)
                                launch(l, args, stream);
                            },
                            15) /
                        32;
      std::printf("sinter_qkv_bf16_bf16_d128 %5d tokens %s %8.2f us\n", tokens,
                  overlap ? "pdl" : "   ", us);
    }
  }
}

} // namespace sinter::test
