//===- SkinnyMma.h - few tokens on the tensor cores -------------*- C++ -*-===//
#pragma once

#include "LinearParts.h"

namespace sinter::gpu {

/// A warp owns 16 rows of W and 8 tokens; `warpsK` warps share them and split K.
class SkinnyMmaTemplate : public LinearTemplate {
public:
  SkinnyMmaTemplate(LinearSpec spec, const LinearTuning &tuning);
  TilePlan plan() const override;
  LinearTuning chosen() const override {
    LinearTuning t;
    t.kind = LinearTuning::SkinnyMma;
    t.rows = kRows, t.warpsN = warpsN, t.warpsK = warpsK, t.unroll = unroll, t.tokens = kTokens;
    return t;
  }
  void prefetch(GpuBuilder &b, Value tile, Ring &ring) override;
  void compute(GpuBuilder &b, Value tile, Ring &ring) override;

private:
  static constexpr int64_t kTokens = 8, kRows = 16;
  int64_t warpsN, warpsK, unroll;

  Value rowTile, firstToken, tokensInStep, warpN, warpK, firstChunk;
  Value rowPointers[2], tokenPointer;

  /// One pipeline stage: per slot (32 columns of K) two rows of W, gamma, one token of x.
  struct Stage {
    llvm::SmallVector<Chunk, 16> w, gamma, x;
  };
  struct Sums {
    Values d; ///< 4 accumulators
    Value squares;
  };
  int64_t chunks() const { return spec.k / 8; }
  int64_t slots() const { return ceilDiv(chunks(), 4 * warpsK); }
  int64_t iterations() const { return ceilDiv(slots(), unroll); }
  int64_t lastSlots() const { return slots() - (iterations() - 1) * unroll; }
  bool partial(int64_t slot) const { return (slot + 1) * warpsK * 4 > chunks(); }
  bool squaresHere() const { return spec.norm && !spec.sumsIn; }

  void locate(GpuBuilder &b, Value tileIndex);
  Chunk loadAt(GpuBuilder &b, Value base, DType type, Value iteration, int64_t slot, Access access);
  Stage loadConstants(GpuBuilder &b, Value iteration, int64_t firstSlot, int64_t count);
  void loadActivations(GpuBuilder &b, Stage &stage, Value iteration, int64_t firstSlot,
                       int64_t count);
  void consume(GpuBuilder &b, const Stage &stage, int64_t firstSlot, int64_t count, Sums &sums);
  void leave(GpuBuilder &b, Sums &sums);
  Values pack(const Stage &stage) const;
  Stage unpack(GpuBuilder &b, mlir::ValueRange raw, int64_t count, bool withX) const;
};

} // namespace sinter::gpu
