//===- WgmmaRing.h - wgmma fed by TMA ---------------------------*- C++ -*-===//
//
// What the two wgmma templates share. Two warps copy boxes of W and of x into rings of stages of 64
// columns of K, `groups` warpgroups multiply out of them; mbarriers say which stages are full and
// which are free. A tile in the sense of the wrapper is a stream of output tiles, `streams` apart:
// copies run ahead over their borders. W is asked for before the wait, x after it.
//
//   shared memory: W [stages][rows][64]; x [tokenStages][tokens][64], both swizzled; scratch of the
//   epilogue; mbarriers; row scales
//
//===----------------------------------------------------------------------===//
#pragma once

#include "LinearParts.h"

namespace sinter::gpu {

class WgmmaRing : public LinearTemplate {
public:
  TilePlan plan() const override;
  LinearTuning chosen() const override {
    LinearTuning t;
    t.kind = major == Tokens ? LinearTuning::WgmmaGemm : LinearTuning::WgmmaSkinny;
    t.rows = rows, t.tokens = tokens, t.stages = stages, t.tokenStages = tokenStages;
    t.splits = splits, t.maxTiles = streams;
    if (major == Tokens)
      t.turns = alternate ? 2 : 1;
    t.announce = announce + 1;
    return t;
  }
  llvm::SmallVector<TensorMap, 2> tensorMaps() const override;
  void prefetch(GpuBuilder &b, Value tile, Ring &ring) override;
  void wait(GpuBuilder &b, Edge &edge) override;
  void compute(GpuBuilder &b, Value tile, Ring &ring) override;

  /// Parts of K that an invariant linear sums apart before it adds them up in order: as many CTAs
  /// of 64 rows as few tokens want, whatever the number of tokens.
  static int64_t fixedParts(const LinearSpec &spec);

protected:
  /// Which operand is the m64 one of the instruction; the other has up to 256 rows.
  enum Major { WeightRows, Tokens };
  WgmmaRing(LinearSpec spec, Major major) : LinearTemplate(std::move(spec)), major(major) {}

  static constexpr int64_t kColumns = 64, kRowBytes = 128;
  static constexpr int64_t kProcessors = 132;
  static constexpr int64_t kSharedLimit = 227 << 10;
  static constexpr int64_t kHalfShared = 113 << 10; ///< of a CTA that leaves room for another

  const Major major;
  int64_t tokens = 0, rows = 0; ///< of a tile
  int64_t groups = 1;           ///< warpgroups that multiply
  /// They take tiles in turn instead of sharing each: one finishes its tile while the other
  /// multiplies. Only where tokens are the m64 operand and CTAs have several tiles.
  bool alternate = false;
  /// The copying warps are a warpgroup that leaves its registers to the others.
  bool yieldsRegisters = false;
  int64_t stages = 0, tokenStages = 0, streams = 1;
  TilePlan::Announce announce = TilePlan::Early;
  int64_t splits = 1; ///< CTAs of a cluster: each has a part of K
  int64_t parts = 1;  ///< of K that one CTA sums apart, one after the other
  int64_t scratchOffset = 0, scratchBytes = 0;
  int64_t receiveBytes = 0; ///< what the other CTAs of the cluster leave for this one

  /// Sets the stages (as many as `room` bytes hold), streams and the scratch's place.
  void arrange(int64_t wanted, int64_t wantedTokens, int64_t room, int64_t mostStreams,
               int64_t scratch, bool scratchInRing);

  int64_t steps() const { return ceilDiv(ceilDiv(spec.k, kColumns), splits); } ///< per CTA
  int64_t tokenTiles() const { return ceilDiv(spec.maxTokens, tokens); }
  int64_t tiles() const { return rowTiles(tile) * tokenTiles(); }
  bool single() const { return streams == tiles(); } ///< one tile per stream
  int64_t weightStage() const { return rows * kRowBytes; }
  int64_t tokenStage() const { return tokens * kRowBytes; }
  int64_t ringBytes() const { return stages * weightStage() + tokenStages * tokenStage(); }
  int64_t receiveOffset() const { return std::max(ringBytes(), scratchOffset + scratchBytes); }
  int64_t barrierOffset() const { return receiveOffset() + receiveBytes; }
  /// Whether all steps of the only tile have a stage of their own.
  bool resident() const {
    return !alternate && parts == 1 && single() && stages >= steps() && tokenStages >= steps();
  }
  /// Steps of a resident tile that an mbarrier counts.
  int64_t together() const {
    for (int64_t count = tokens <= 32 ? 4 : 2; count > 1; --count)
      if (steps() % count == 0)
        return count;
    return 1;
  }
  int64_t readyBarrier() const {
    return barrierOffset() +
           (resident() ? 8 * (steps() / together()) : 16 * (stages + tokenStages));
  }
  int64_t rstdOffset() const { return readyBarrier() + 16; }
  int64_t sharedBytes() const { return rstdOffset() + 4 * tokens; }

  /// Where an output tile lies.
  struct Place {
    Value rowTile, firstToken;
  };
  Value tokensInStep, tilesInStep; ///< known from prefetch on
  Value split;                     ///< this CTA's in its cluster, likewise
  Value warp;                      ///< known from compute on
  Value countTiles(GpuBuilder &b) const;

  /// Blocks of 64 rows of the m64 operand that a warpgroup multiplies.
  int64_t majorBlocks() const { return alternate ? tokens / 64 : 1; }
  /// `count` of the token's partial sums of squares, their sum, and what x is scaled by.
  static constexpr int64_t kSumsAtOnce = 64;
  int64_t sumsWidth(int64_t count) const { return count % 4 == 0 && spec.sumsIn % 4 == 0 ? 4 : 1; }
  Values partialSums(GpuBuilder &b, Value token, Value first, int64_t count) const;
  static Value sumOf(GpuBuilder &b, llvm::ArrayRef<Value> partials, int64_t width);
  Value sumOfSquares(GpuBuilder &b, Value token, Value first, int64_t count) const;
  Value rstdOf(GpuBuilder &b, Value sum) const;
  void syncConsumers(GpuBuilder &b) { b.barrier(b.i32(1), groups * 128); }

  /// How many of them this CTA is to receive.
  virtual Value expected(GpuBuilder &b) const { return b.i32(0); }
  /// In the multiplying warps, before and after a tile's products.
  virtual void begin(GpuBuilder &b, const Place &place) = 0;
  virtual void end(GpuBuilder &b, const Place &place, Values &accumulators) = 0;

private:
  /// Weights are asked for without knowing whether the step has tokens: that takes a load to know.
  bool weightsAnyway() const { return single() && tokenTiles() == 1; }
  Edge *edge = nullptr;
  int64_t wRing() const { return 0; }
  int64_t xRing() const { return stages * weightStage(); }
  Value wFull(GpuBuilder &b, Value s) const { return barrierAt(b, 0, s); }
  Value wFree(GpuBuilder &b, Value s) const { return barrierAt(b, stages, s); }
  Value xFull(GpuBuilder &b, Value s) const { return barrierAt(b, 2 * stages, s); }
  Value xFree(GpuBuilder &b, Value s) const { return barrierAt(b, 2 * stages + tokenStages, s); }
  Value barrierAt(GpuBuilder &b, int64_t first, Value stage) const;
  void advance(GpuBuilder &b, Value &stage, Value &parity, int64_t count) const;

  Place placeOf(GpuBuilder &b, Value index) const;
  Value firstColumn(GpuBuilder &b) const;
  void copyWeights(GpuBuilder &b, const Place &place, Value stage, Value step, Value full) const;
  void copyTokens(GpuBuilder &b, const Place &place, Value stage, Value step, Value full) const;
  void prefetchResident(GpuBuilder &b, Value stream);
  void eachGroup(GpuBuilder &b, int64_t stageBytes,
                 llvm::function_ref<void(Value full, Value step)> copy) const;
  void loadWeights(GpuBuilder &b, const Place &place, Value stage, Value step) const;
  void loadTokens(GpuBuilder &b, const Place &place, Value stage, Value step) const;
  void produceWeights(GpuBuilder &b, Value stream);
  void produceTokens(GpuBuilder &b, Value stream);
  void consume(GpuBuilder &b, Value stream);
  using PartBody = llvm::function_ref<Values(mlir::ValueRange ring, Value steps)>;
  Values eachPart(GpuBuilder &b, mlir::ValueRange ring, PartBody multiply) const;
  Values multiplyResident(GpuBuilder &b, Value w, Value x, int64_t count);
  using TileBody = llvm::function_ref<Values(Value index, mlir::ValueRange carried)>;
  /// Tiles `apart` of each other, from `stream` on.
  void eachTile(GpuBuilder &b, Value stream, int64_t apart, mlir::ValueRange init, TileBody body);
  int64_t readers() const { return 4 * (alternate ? 1 : groups); } ///< warps that read a stage
  void skipTile(GpuBuilder &b, Value &stage, Value &parity, int64_t count) const;
  void multiplyStep(GpuBuilder &b, Value wStage, Value xStage, Values &d) const;
  /// Fills a ring of `count` stages, from step `ahead` of the stream's first tile on.
  void fill(GpuBuilder &b, Value stream, int64_t count, int64_t ahead,
            llvm::function_ref<Value(Value stage)> free,
            llvm::function_ref<void(const Place &, Value stage, Value step)> load);
};

} // namespace sinter::gpu
