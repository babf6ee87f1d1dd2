//===- WgmmaSkinny.h - few tokens on Hopper's tensor cores ------*- C++ -*-===//
#pragma once

#include "WgmmaRing.h"

namespace sinter::gpu {

/// Rows of W are the m64 operand; the CTAs of a cluster share a tile and split K.
class WgmmaSkinnyTemplate : public WgmmaRing {
public:
  WgmmaSkinnyTemplate(LinearSpec spec, const LinearTuning &tuning);

protected:
  Value expected(GpuBuilder &b) const override;
  void begin(GpuBuilder &b, const Place &place) override;
  void end(GpuBuilder &b, const Place &place, Values &accumulators) override;

private:
  /// Whether results are chunks of 8; else LinearParts' epilogue takes them one by one.
  bool chunked = true;
  llvm::SmallVector<Chunk, 8> residuals, gammas;
  Value rstd; ///< of the tile's token with this thread's number

  int64_t blocks() const { return ceilDiv(tokens / 8, splits); } ///< of 8 tokens this CTA finishes
  int64_t slice() const { return 8 * blocks(); }
  int64_t threads() const { return groups * 128; }
  int64_t perToken() const { return tile.outputs(spec) / 8; } ///< chunks
  int64_t passes() const { return ceilDiv(slice() * perToken(), threads()); }

  /// A chunk of 8 outputs of a token.
  struct Item {
    Value token, chunk;        ///< in the slice, in the tile
    Value globalToken, column; ///< clamped into the matrix
    Value first;               ///< whether it is the token's first chunk
    Value tokenValid, valid;   ///< whether the step and the matrix have it
  };
  std::pair<int64_t, int64_t> cutLong() const;
  Item itemOf(GpuBuilder &b, const Place &place, int64_t pass) const;
  Values sumOf(GpuBuilder &b, const Item &item, int64_t firstRow) const;
  Values valuesOf(GpuBuilder &b, const Item &item, int64_t pass) const;
  void storeItem(GpuBuilder &b, const Place &place, const Item &item, const Values &v,
                 int64_t pass) const;
  Values exchange(GpuBuilder &b, const Values &d);
  Values inOrder(GpuBuilder &b, Value received, const Values &own);
  void results(GpuBuilder &b, const Place &place);
};

} // namespace sinter::gpu
