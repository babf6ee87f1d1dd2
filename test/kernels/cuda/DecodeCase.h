//===- DecodeCase.h - one problem of decode attention ------------*- C++ -*-===//
#pragma once

#include "PagedCache.h"

#include "runtime/kernels/DecodeAttention.h"

namespace sinter::test {

struct DecodeVariant {
  const char *name;
  Type query, cache;
  int dim, rowTiles;
  int rows = 8 * rowTiles; ///< R
  int limit = kernels::kDecodeSharedLimit;

  kernels::DecodeLayout layout() const {
    const bool mixed = query == Type::F16 && cache == Type::BF16;
    const int c = bytesOf(cache);
    return kernels::decodeLayout(c, kernels::decodeUsesFma(bytesOf(query), c, mixed), dim, rowTiles,
                                 rows, limit);
  }
};
const std::vector<DecodeVariant> &decodeVariants();
const DecodeVariant &decodeVariant(const std::string &name);

struct DecodeOptions {
  std::string kernel;
  int heads = 8, kvHeads = 4, pageLog2 = 4;
  bool packed = false;
  std::vector<int> ctx, query; ///< per sequence; query may be shorter: the rest is 1
  float kScale = 1, kMagnitude = 1;
  bool dequant = false;
  int minChunk = 64, maxChunk = 1 << 20, targetSplits = 16, fixedChunk = 0, maxSlots = 1 << 30;
  int maxQuery = kernels::kDecodeMaxQuery;
  bool blind = false; ///< the first token of every sequence sees nothing
  bool early = false; ///< old cache positions may be read before the wait
  int window = 0;
  int grid = 264;
  uint64_t seed = 1;
};

/// Device buffers and the expected result of one problem.
class DecodeCase {
public:
  DecodeCase(const Kernels &kernels, const DecodeOptions &options);

  /// Plan and attention over a poisoned output; the raw output.
  std::vector<uint8_t> run(bool overlap = false);
  Error check(const std::vector<uint8_t> &raw) const;
  /// The relative L2 error that this pair of types may have against f64.
  double bound() const;

  void launchPlan(cudaStream_t stream, bool overlap);
  void launchAttention(cudaStream_t stream, bool overlap);
  const std::vector<double> &expected() const { return expected_; }
  bool countersAreZero() const;

  // What mutants tamper with.
  PagedCache cache;
  kernels::DecodePlanArgs plan{};
  kernels::DecodeArgs args{};
  Buffer table, positions, ctx, out;

private:
  void computeExpected(const std::vector<float> &q);

  const DecodeVariant &variant_;
  DecodeOptions options_;
  int tokens_ = 0;
  std::vector<int> cuQ_, positionOf_;
  std::vector<float> kDequant_, vDequant_;
  std::vector<double> expected_;
  Buffer q_, pool_, cuQBuffer_, count_, work_, partial_, partialMl_, counters_, kScaleBuffer_,
      kDequantBuffer_, vDequantBuffer_;
  Launch planLaunch_{}, attentionLaunch_{};
};

} // namespace sinter::test
