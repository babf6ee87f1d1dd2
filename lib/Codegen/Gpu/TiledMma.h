//===- TiledMma.h - many tokens on the tensor cores -------------*- C++ -*-===//
#pragma once

#include "LinearParts.h"

namespace sinter::gpu {

/// A CTA owns `tokens` x `rows` outputs; its warps are `warpsM` x `warpsN`.
class TiledMmaTemplate : public LinearTemplate {
public:
  TiledMmaTemplate(LinearSpec spec, const LinearTuning &tuning);
  TilePlan plan() const override;
  LinearTuning chosen() const override {
    LinearTuning t;
    t.kind = LinearTuning::TiledMma;
    t.rows = rows, t.tokens = tokens, t.stages = stages;
    return t;
  }
  void prefetch(GpuBuilder &b, Value tile, Ring &ring) override;
  void compute(GpuBuilder &b, Value tile, Ring &ring) override;

private:
  static constexpr int64_t kColumns = 64; ///< of K per stage: rows of 128 bytes, 8 chunks
  int64_t tokens, rows, warpsM, warpsN, stages;

  Value rowTile, firstToken, tokensInStep, warpM, warpN;

  int64_t threads() const { return warpsM * warpsN * kWarp; }
  int64_t steps() const { return ceilDiv(spec.k, kColumns); }
  int64_t xBytes() const { return tokens * kColumns * 2; }
  int64_t wBytes() const { return rows * kColumns * 2; }
  int64_t gammaBytes() const { return gammaHere() ? kColumns * 4 : 0; }
  int64_t stageBytes() const { return xBytes() + wBytes() + gammaBytes(); }
  int64_t tokenBlocks() const { return tokens / warpsM / 16; } ///< m16 blocks of a warp
  int64_t rowBlocks() const { return rows / warpsN / 8; }      ///< n8 blocks of a warp
  bool squaresHere() const { return spec.norm && !spec.sumsIn; }

  struct Sums {
    Values d;       ///< [token block][row block][4]
    Values squares; ///< 2 x 4 accumulators of x x^T, of one token block
  };
  void locate(GpuBuilder &b, Value tileIndex);
  Value stage(GpuBuilder &b, Value step);
  void copyRows(GpuBuilder &b, Value step, int64_t count, int64_t offset,
                llvm::function_ref<Value(Value row)> rowPointer);
  void copyConstants(GpuBuilder &b, Value step);
  void copyTokens(GpuBuilder &b, Value step);
  Value matrices(GpuBuilder &b, Value base, Value row, Value chunk);
  void multiply(GpuBuilder &b, Value step, Sums &sums);
  void addSquares(GpuBuilder &b, llvm::ArrayRef<Values> x, Sums &sums);
  void scaleByGamma(GpuBuilder &b, Value stageBase, int64_t column,
                    llvm::MutableArrayRef<Values> x);
  void mainLoop(GpuBuilder &b);
  void leave(GpuBuilder &b, Sums &sums);
};

} // namespace sinter::gpu
