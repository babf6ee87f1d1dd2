//===- WgmmaGemm.h - many tokens on Hopper's tensor cores -------*- C++ -*-===//
#pragma once

#include "WgmmaRing.h"

namespace sinter::gpu {

/// Rows of W in a head that a GEMM can write to the cache.
constexpr int64_t kHeadRows = 128;
/// Whether tiles of so many rows of W have whole heads, each tile all of q, all of k or all of v.
inline bool holdsHeads(const CacheWriteSpec &write, int64_t rows) {
  const int64_t heads = rows / kHeadRows;
  return heads && rows % kHeadRows == 0 && write.heads % heads == 0 &&
         write.cache.heads % heads == 0;
}

/// Tokens are the m64 operand; two warpgroups share tiles or take them in turn. CTAs walk through
/// tiles.
class WgmmaGemmTemplate : public WgmmaRing {
public:
  WgmmaGemmTemplate(LinearSpec spec, const LinearTuning &tuning);

protected:
  void begin(GpuBuilder &b, const Place &place) override;
  void end(GpuBuilder &b, const Place &place, Values &accumulators) override;

private:
  static constexpr int64_t kPad = 16;

  // Of this thread and block: its two tokens of the warp's 16, the row scales, what it gathers.
  Value warpToken, g, t, scale[2], staging;
  // Asked for before the products: partial sums of squares, the first piece of residuals.
  llvm::SmallVector<Values, 2> ownSums;
  llvm::SmallVector<Chunk, 8> firstResiduals;
  Values squares;
  llvm::SmallVector<Candidate, 2> best;
  // With a cache write, [block][i]: position and slot of the tokens whose chunks the lane has; low
  // and high norm weights of its columns; what else its heads are multiplied by.
  llvm::SmallVector<Values, 2> positions, slots;
  Chunk gammas[2];
  Value keyFactor;

  int64_t outputs() const { return tile.outputs(spec); }
  /// 64, or what divides the outputs; a head with a cache write.
  int64_t pieceColumns() const {
    if (spec.write)
      return kHeadRows;
    return outputs() % 64 == 0 ? 64 : std::min<int64_t>(outputs(), 48);
  }
  int64_t stagingRow() const { return 2 * pieceColumns() + kPad; }
  bool wholeTiles() const { return spec.outputs() % outputs() == 0; }
  bool staged() const { return spec.y != DType::F32 && spec.outputs() % 8 == 0; }

  /// Two lanes share a token's partial sums where their number is even.
  bool halvesSums() const { return spec.sumsIn % 2 == 0 && !spec.invariant; }
  int64_t sumsPerLane() const { return halvesSums() ? spec.sumsIn / 2 : spec.sumsIn; }
  void enterBlock(GpuBuilder &b, const Place &place, int64_t block);
  Value sumsToken(GpuBuilder &b) const;
  Value firstSum(GpuBuilder &b) const;
  void findScales(GpuBuilder &b, int64_t block);
  Value tokenOf(GpuBuilder &b, int64_t i) const { return b.add(b.add(warpToken, g), 8 * i); }
  Value columnOf(GpuBuilder &b, const Place &place, int64_t j) const;
  Values values(GpuBuilder &b, const Place &place, const Values &d, int64_t j) const;
  void gather(GpuBuilder &b, const Place &place, int64_t j, const Values &v);
  Value inside(GpuBuilder &b, Value column, int64_t count) const;
  void leaveGathered(GpuBuilder &b, const Place &place);
  llvm::SmallVector<Chunk, 8> loadPiece(GpuBuilder &b, const Place &place, int64_t piece) const;
  Values packed(GpuBuilder &b, llvm::ArrayRef<Values> v) const;
  void stagePiece(GpuBuilder &b, const Values &words) const;
  void storePiece(GpuBuilder &b, const Place &place, int64_t piece, Value to,
                  llvm::ArrayRef<Values> v, bool counted) const;
  void leaveSquares(GpuBuilder &b, const Values &v, Value token, Value column) const;
  void eachChunk(
      GpuBuilder &b, const Place &place, int64_t piece,
      llvm::function_ref<void(int64_t i, Value inStaging, Value token, Value column)> body) const;
  void endStaged(GpuBuilder &b, const Place &place, const Values &d);
  void endPlain(GpuBuilder &b, const Place &place, const Values &d);

  // WgmmaGemmHeads.cpp
  void beginHeads(GpuBuilder &b, const Place &place);
  Value firstHead(GpuBuilder &b, const Place &place) const;
  Value chunkToken(GpuBuilder &b, int64_t i) const;
  Value stagedChunk(GpuBuilder &b, int64_t i) const;
  Chunk eight(GpuBuilder &b, Value row, bool other) const;
  std::pair<Chunk, Chunk> askAngle(GpuBuilder &b, int64_t block, int64_t i) const;
  std::pair<Values, Values> stagedHalves(GpuBuilder &b, int64_t i) const;
  void storeHalves(GpuBuilder &b, Value to, bool toCache, const Values &low,
                   const Values &high) const;
  void eachRow(GpuBuilder &b, Value head, int64_t block, int64_t first, int64_t count, bool toCache,
               llvm::function_ref<void(int64_t i, Value to)> store) const;
  void turn(GpuBuilder &b, Value head, bool toCache, int64_t block,
            llvm::ArrayRef<std::pair<Chunk, Chunk>> angles) const;
  void endHeads(GpuBuilder &b, const Place &place, const Values &d);
};

} // namespace sinter::gpu
