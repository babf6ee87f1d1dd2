//===- WgmmaRing.h - wgmma fed by TMA ---------------------------*- C++ -*-===//
//
// What the two wgmma templates share. One warp copies boxes of x and W into a ring of stages of 64
// columns of K, `groups` warpgroups multiply out of it; mbarriers say which stages are full and
// which are free. A tile in the sense of the wrapper is a stream of output tiles, `streams` apart:
// copies run ahead over their borders. W is asked for before the wait, x after it.
//
//   shared memory: stages x (x [tokens][64], W [rows][64]), swizzled; scratch of the epilogue;
//   mbarriers; row scales
//
//===----------------------------------------------------------------------===//
#pragma once

#include "LinearParts.h"

namespace sinter::gpu {

class WgmmaRing : public LinearTemplate {
public:
  TilePlan plan() const override;
  llvm::SmallVector<TensorMap, 2> tensorMaps() const override;
  void prefetch(GpuBuilder &b, Value tile, Ring &ring) override;
  void compute(GpuBuilder &b, Value tile, Ring &ring) override;

protected:
  /// Which operand is the m64 one of the instruction; the other has up to 256 rows.
  enum Major { WeightRows, Tokens };
  WgmmaRing(LinearSpec spec, Major major) : LinearTemplate(std::move(spec)), major(major) {}

  static constexpr int64_t kColumns = 64, kRowBytes = 128;
  static constexpr int64_t kProcessors = 132;
  static constexpr int64_t kSharedLimit = 227 << 10;

  const Major major;
  int64_t tokens = 0, rows = 0; ///< of a tile
  int64_t groups = 1;           ///< warpgroups that multiply
  int64_t stages = 0, cluster = 1, streams = 1;
  int64_t scratchOffset = 0, scratchBytes = 0;

  /// Sets stages, streams and the scratch's place; `wanted` and `most` may be 0.
  void arrange(int64_t wantedStages, int64_t mostStreams, int64_t scratch, bool scratchInRing);

  int64_t steps() const { return ceilDiv(ceilDiv(spec.k, kColumns), cluster); } ///< per CTA
  int64_t tokenTiles() const { return ceilDiv(spec.maxTokens, tokens); }
  int64_t tiles() const { return rowTiles(tile) * tokenTiles(); }
  bool single() const { return streams == tiles(); } ///< one tile per stream
  int64_t stageBytes() const { return (tokens + rows) * kRowBytes; }
  int64_t barrierOffset() const { return std::max(stages * stageBytes(), scratchEnd()); }
  int64_t rstdOffset() const { return barrierOffset() + 16 * stages; }
  int64_t sharedBytes() const { return rstdOffset() + 4 * tokens; }

  /// Where an output tile lies.
  struct Place {
    Value rowTile, firstToken;
  };
  Value tokensInStep, tilesInStep; ///< known from prefetch on
  Value warp;                      ///< known from compute on

  /// Rows of the tile that this token's partial sums of squares give: rstd(x).
  Value rowScale(GpuBuilder &b, Value token, Value first, int64_t count) const;
  Value rstdOf(GpuBuilder &b, Value sum) const;
  void syncConsumers(GpuBuilder &b) { b.barrier(1, groups * 128); }

  /// In the multiplying warps, before and after a tile's products.
  virtual void begin(GpuBuilder &b, const Place &place) = 0;
  virtual void end(GpuBuilder &b, const Place &place, Values &accumulators) = 0;
  /// In all threads, after all tiles.
  virtual void finish(GpuBuilder &, Value /*stream*/) {}
  Place placeOf(GpuBuilder &b, Value index) const;

private:
  int64_t scratchEnd() const { return scratchOffset + scratchBytes; }
  int64_t prefetched() const { return std::min(stages, steps()); }
  Value firstColumn(GpuBuilder &b) const;
  Value full(GpuBuilder &b, Value stage) const;
  Value empty(GpuBuilder &b, Value stage) const;
  void advance(GpuBuilder &b, Value &stage, Value &parity) const;
  void loadWeights(GpuBuilder &b, const Place &place, Value stage, Value step) const;
  void loadTokens(GpuBuilder &b, const Place &place, Value stage, Value step) const;
  void produce(GpuBuilder &b, Value stream);
  void consume(GpuBuilder &b, Value stream);
  using TileBody = llvm::function_ref<Values(Value index, mlir::ValueRange carried)>;
  void eachTile(GpuBuilder &b, Value stream, mlir::ValueRange init, TileBody body);
};

} // namespace sinter::gpu
