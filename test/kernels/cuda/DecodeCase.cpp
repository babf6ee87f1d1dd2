//===- DecodeCase.cpp -----------------------------------------------------===//
#include "DecodeCase.h"

#include "runtime/kernels/DecodeAttentionReference.h"

namespace sinter::test {

/// Kernels of sm_90 have layouts of their own.
static int limitOn(int sm90) {
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "capability");
  return major == 9 ? sm90 : kernels::kDecodeSharedLimit;
}

const std::vector<DecodeVariant> &decodeVariants() {
  const int usual = limitOn(kernels::kDecodeSharedLimitSm90);
  const int one = limitOn(kernels::kDecodeSharedLimitOne);
  static const std::vector<DecodeVariant> variants = {
      {"sinter_decode_qwen3_bf16", Type::BF16, Type::BF16, 128, 1, 4, usual},
      {"sinter_decode_qwen3_f16", Type::F16, Type::F16, 128, 1, 4, usual},
      {"sinter_decode_qwen3_06b", Type::BF16, Type::BF16, 128, 1, 4, usual},
      {"sinter_decode_qwen3_06b_one", Type::BF16, Type::BF16, 128, 1, 4, one},
      {"sinter_decode_window_qwen3_bf16", Type::BF16, Type::BF16, 128, 1, 4, usual},
      {"sinter_decode_window_qwen3_f16", Type::F16, Type::F16, 128, 1, 4, one},
      {"sinter_decode_window_bf16_bf16_d128", Type::BF16, Type::BF16, 128, 1},
      {"sinter_decode_window_f16_f16_d64", Type::F16, Type::F16, 64, 1},
      {"sinter_decode_window_bf16_e4m3_d128", Type::BF16, Type::E4M3, 128, 1},
      {"sinter_decode_window_f32_f32_d64", Type::F32, Type::F32, 64, 1},
#define SINTER_DECODE(name, query, cache, dim, tiles) {#name, Type::query, Type::cache, dim, tiles},
#include "runtime/kernels/DecodeVariants.def"
#undef SINTER_DECODE
  };
  return variants;
}

const DecodeVariant &decodeVariant(const std::string &name) {
  for (const DecodeVariant &v : decodeVariants())
    if (v.name == name)
      return v;
  std::fprintf(stderr, "error: no decode variant %s\n", name.c_str());
  std::exit(1);
}

DecodeCase::DecodeCase(const Kernels &kernels, const DecodeOptions &options)
    : cache({decodeVariant(options.kernel).cache, options.kvHeads,
             decodeVariant(options.kernel).dim, options.pageLog2, options.packed},
            options.ctx, options.seed, options.kMagnitude / options.kScale,
            hiddenBy(options.window, options.ctx, options.query)),
      variant_(decodeVariant(options.kernel)), options_(options) {
  const size_t seqs = options.ctx.size();
  const int group = options.heads / options.kvHeads, rows = variant_.rows;
  cuQ_ = {0};
  int entries = 0;
  for (size_t s = 0; s < seqs; ++s) {
    const int n = s < options.query.size() ? options.query[s] : 1;
    for (int i = 0; i < n; ++i)
      positionOf_.push_back(options.blind && i == 0 ? -1 : options.ctx[s] - n + i);
    cuQ_.push_back(cuQ_.back() + n);
    entries += (n * group + rows - 1) / rows * kernels::kDecodeMaxSplits;
  }
  tokens_ = cuQ_.back();

  Random random(options.seed + 99);
  std::vector<float> q(size_t(tokens_) * size_t(options.heads * variant_.dim));
  std::vector<uint8_t> bytes(q.size() * size_t(bytesOf(variant_.query)));
  for (size_t i = 0; i < q.size(); ++i) {
    const uint32_t bits = encode(variant_.query, double(random.value()));
    put(variant_.query, bytes.data(), i, bits);
    q[i] = decode(variant_.query, bits);
  }
  kDequant_.assign(size_t(options.kvHeads), 1.0f);
  vDequant_ = kDequant_;
  for (size_t h = 0; options.dequant && h < kDequant_.size(); ++h) {
    kDequant_[h] = 0.75f + 0.1f * float(h);
    vDequant_[h] = 1.5f - 0.2f * float(h);
  }
  computeExpected(q);

  q_ = Buffer(bytes);
  out = Buffer(bytes.size());
  pool_ = Buffer(cache.pool);
  table = Buffer(cache.table);
  positions = Buffer(positionOf_);
  ctx = Buffer(options.ctx);
  cuQBuffer_ = Buffer(cuQ_);
  count_ = Buffer(sizeof(int));
  work_ = Buffer(size_t(entries) * sizeof(kernels::DecodeWork));
  const size_t items = size_t(entries) * size_t(options.kvHeads);
  partial_ = Buffer(items * size_t(rows * variant_.dim) * 4);
  partialMl_ = Buffer(items * size_t(rows) * 8);
  counters_ = Buffer(items * 16);
  counters_.fill(0);
  kScaleBuffer_ = Buffer(std::vector<float>{options.kScale});
  kDequantBuffer_ = Buffer(kDequant_);
  vDequantBuffer_ = Buffer(vDequant_);

  plan = {cuQBuffer_.as<int>(),
          ctx.as<int>(),
          count_.as<int>(),
          work_.as<kernels::DecodeWork>(),
          int(seqs),
          entries,
          std::min(options.maxSlots, entries),
          group,
          rows,
          options.maxQuery,
          options.minChunk,
          options.maxChunk,
          options.targetSplits,
          options.fixedChunk,
          options.window};
  args.q = q_.as();
  args.out = out.as();
  args.k = pool_.as<uint8_t>() + cache.shape.kOffset();
  args.v = pool_.as<uint8_t>() + cache.shape.vOffset();
  args.page_bytes = cache.shape.pageBytes();
  args.block_table = table.as<int>();
  args.positions = positions.as<int>();
  args.k_scale = options.kScale != 1 ? kScaleBuffer_.as<float>() : nullptr;
  args.k_dequant = options.dequant ? kDequantBuffer_.as<float>() : nullptr;
  args.v_dequant = options.dequant ? vDequantBuffer_.as<float>() : nullptr;
  args.count = count_.as<int>();
  args.work = work_.as<kernels::DecodeWork>();
  args.partial = partial_.as<float>();
  args.partial_ml = partialMl_.as<float>();
  args.counters = counters_.as<unsigned>();
  args.scale = 1.0f / std::sqrt(float(variant_.dim));
  args.heads = options.heads;
  args.kv_heads = options.kvHeads;
  args.block_table_stride = cache.stride;
  args.page_log2 = options.pageLog2;
  args.k_packed = options.packed;
  args.max_entries = entries;
  args.early = options.early;
  args.window = options.window;

  const kernels::DecodeLayout layout = variant_.layout();
  planLaunch_ = {kernels.get("sinter_decode_plan", 64), 1, 256, 64};
  attentionLaunch_ = {kernels.get(options.kernel, layout.shared_bytes), options.grid,
                      layout.threads(), layout.shared_bytes};
}

void DecodeCase::computeExpected(const std::vector<float> &q) {
  expected_.assign(q.size(), 0.0);
  const int heads = options_.heads, dim = variant_.dim, group = heads / options_.kvHeads;
  std::vector<int> seqOf;
  for (size_t s = 0; s + 1 < cuQ_.size(); ++s)
    seqOf.resize(size_t(cuQ_[s + 1]), int(s));
  parallelFor(tokens_ * heads, [&](int row) {
    const size_t token = size_t(row / heads), seq = size_t(seqOf[token]);
    const size_t kvHead = size_t(row % heads / group);
    const double scale =
        1.0 / std::sqrt(double(dim)) * double(options_.kScale) * double(kDequant_[kvHead]);
    kernels::attentionRowReference(q.data() + size_t(row * dim), cache.keys[seq].data(),
                                   cache.values[seq].data(), options_.ctx[seq], positionOf_[token],
                                   options_.window, int(kvHead), options_.kvHeads, dim, scale,
                                   double(vDequant_[kvHead]), expected_.data() + size_t(row * dim));
  });
}

void DecodeCase::launchPlan(cudaStream_t stream, bool overlap) {
  Launch l = planLaunch_;
  l.overlap = overlap;
  launch(l, plan, stream);
}

void DecodeCase::launchAttention(cudaStream_t stream, bool overlap) {
  Launch l = attentionLaunch_;
  l.overlap = overlap;
  launch(l, args, stream);
}

std::vector<uint8_t> DecodeCase::run(bool overlap) {
  out.fill(0xff);
  launchPlan(nullptr, false);
  launchAttention(nullptr, overlap);
  synchronize(variant_.name);
  return out.download<uint8_t>();
}

Error DecodeCase::check(const std::vector<uint8_t> &raw) const {
  std::vector<float> got(expected_.size());
  for (size_t i = 0; i < got.size(); ++i)
    got[i] = decode(variant_.query, fetch(variant_.query, raw.data(), i));
  return relativeError(got, expected_, variant_.dim);
}

double DecodeCase::bound() const {
  // One rounding of the result (bf16 1.66e-3, f16 2.1e-4), and of f16 probabilities as much again;
  // f32 results keep f32 accuracy, with room for the approximate exponential.
  switch (variant_.query) {
  case Type::BF16:
    return 2e-3;
  case Type::F16:
    return 3.2e-4;
  default:
    return 1e-5;
  }
}

bool DecodeCase::countersAreZero() const {
  const std::vector<unsigned> counters = counters_.download<unsigned>();
  return std::all_of(counters.begin(), counters.end(), [](unsigned c) { return c == 0; });
}

} // namespace sinter::test
