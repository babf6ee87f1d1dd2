//===- QkvTest.cpp - q/k norm, RoPE and the KV write against the reference ===//
#include "QkvCheck.h"
#include "Tests.h"

#include "runtime/kernels/QkNormRopeWrite.h"

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

struct QkvCase : QkvRows {
  QkvOptions o;

  explicit QkvCase(const QkvOptions &options)
      : QkvRows{options.variant.type,
                {options.variant.cache, options.kvHeads, options.variant.dim, options.pageLog2,
                 options.packed},
                options.heads,
                options.tokens,
                options.norm,
                options.kScale},
        o(options) {
    Random random(uint64_t(o.variant.dim + o.pageLog2 * 7 + int(o.packed)));
    const int width = columns();
    for (int i = 0; i < o.tokens * width; ++i)
      x.push_back(decode(o.variant.type, encode(o.variant.type, double(random.value() * 3))));
    makePlaces(random, o.gamma);
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
};

void checkCase(const Kernels &kernels, Report &report, const QkvOptions &o) {
  QkvCase problem(o);
  problem.run(kernels);
  for (const QkvRows::Finding &f : problem.check())
    report.expect(f.ok, std::string(o.variant.name) + f.text);
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
  report.expect(problem.wrong(), "not noticed: a wrong slot");
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
