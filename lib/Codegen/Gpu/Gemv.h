//===- Gemv.h - dot products on the FMA units -------------------*- C++ -*-===//
#pragma once

#include "LinearParts.h"

namespace sinter::gpu {

/// A warp owns `rows` rows of W; `warpsK` warps share a row group and split K.
class GemvTemplate : public LinearTemplate {
public:
  GemvTemplate(LinearSpec spec, const LinearTuning &tuning);
  TilePlan plan() const override;
  LinearTuning chosen() const override {
    LinearTuning t;
    t.kind = LinearTuning::Gemv;
    t.rows = rows, t.warpsN = warpsN, t.warpsK = warpsK, t.unroll = unroll, t.tokens = tokens;
    return t;
  }
  void prefetch(GpuBuilder &b, Value tile, Ring &ring) override;
  void compute(GpuBuilder &b, Value tile, Ring &ring) override;

private:
  int64_t rows, warpsN, warpsK, unroll, tokens;
  int64_t width; ///< elements per load: 8, or 1 when K is no multiple of 8

  // This thread's place in the tile, set by prefetch.
  Value rowTile, firstToken, tokensInStep, warpN, warpK, firstChunk;
  Values rowPointers;

  /// One pipeline stage: `unroll` slots, each a chunk of every row, of gamma and of every token.
  struct Stage {
    llvm::SmallVector<Chunk, 16> w, gamma, x;
  };
  struct Sums {
    Values dots;    ///< [row][token][even, odd]
    Values squares; ///< [token]
  };
  int64_t chunks() const { return spec.k / width; }
  int64_t slots() const { return ceilDiv(chunks(), warpsK * kWarp); }
  int64_t iterations() const { return ceilDiv(slots(), unroll); }
  int64_t lastSlots() const { return slots() - (iterations() - 1) * unroll; }
  bool partial(int64_t slot) const { return (slot + 1) * warpsK * kWarp > chunks(); }
  bool squaresHere() const { return spec.norm && !spec.sumsIn; }

  void locate(GpuBuilder &b, Value tileIndex);
  Value chunkOf(GpuBuilder &b, int64_t slot);
  template <typename Load> void eachSlot(GpuBuilder &b, Value iteration, int64_t slots, Load load);
  void loadConstants(GpuBuilder &b, Stage &stage, Value iteration, int64_t firstSlot,
                     int64_t count);
  void loadActivations(GpuBuilder &b, Stage &stage, Value iteration, int64_t firstSlot,
                       int64_t count);
  Chunk loadAt(GpuBuilder &b, Value base, DType type, Value iteration, int64_t slot, Access access);
  void consume(GpuBuilder &b, const Stage &stage, int64_t firstSlot, int64_t count, Sums &sums);
  void reduce(GpuBuilder &b, Sums &sums);
};

} // namespace sinter::gpu
