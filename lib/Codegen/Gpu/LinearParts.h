//===- LinearParts.h - what the linear templates share ----------*- C++ -*-===//
//
// Every linear template leaves its accumulators in shared memory as f32 [part][token][row] (parts:
// warps that split K) and, with a norm, sums of squares [part][token]. From there one epilogue
// serves all: a warp per token, lanes over rows.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Template.h"
#include "Templates.h"

namespace sinter::gpu {

/// Pointer parameters of a linear kernel by role; absent ones are null.
struct LinearOperands {
  Value x, w, gamma, bias, residual, sumsIn, gammaNext, y, index, sumsOut, xgOut;
  Value k, v, table, qGamma, kGamma, kScale; ///< of a cache write
};

/// A tile of accumulators in shared memory.
struct LinearTile {
  int64_t tokens;            ///< columns of tokens
  int64_t rows;              ///< rows of W (a SwiGLU tile: gate rows, then as many up rows)
  int64_t parts;             ///< partial sums to add up, in order
  int64_t sumOffset;         ///< bytes: f32 [parts][tokens][rows]
  int64_t squareOffset = -1; ///< bytes: f32 [squareParts][tokens]; unused without a norm
  int64_t squareParts = 0;
  int64_t padding = 0;     ///< f32 between the rows of one token and of the next
  int64_t rstdOffset = -1; ///< bytes: f32 [tokens], the row scale itself
  int64_t warps = 0;       ///< that run the epilogue, the CTA's first; 0: all
  int64_t stride() const { return rows + padding; }
  int64_t outputs(const LinearSpec &spec) const {
    return spec.epilogue == LinearSpec::Swiglu ? rows / 2 : rows;
  }
};

class LinearTemplate : public Template {
public:
  explicit LinearTemplate(LinearSpec spec) : spec(std::move(spec)) {}
  unsigned parameters() const override;
  /// What the template made of the tuning it was given.
  virtual LinearTuning chosen() const = 0;
  /// Results per token that the epilogue leaves for a merge: row tiles; 0 if it leaves none.
  int64_t partials() const {
    if (spec.invariant && spec.sumsOut)
      return ceilDiv(spec.outputs(), kSumColumns);
    const bool any = spec.epilogue == LinearSpec::Argmax || spec.sumsOut;
    return any ? rowTiles(tile) : 0;
  }

protected:
  static constexpr int64_t kSumColumns = 64; ///< results in a sum of squares, if invariant

  LinearSpec spec;
  LinearTile tile; ///< set by the constructor of the template

  LinearOperands operands() const;
  /// Whether this kernel multiplies x by gamma.
  bool gammaHere() const { return spec.norm && !spec.xg; }
  /// T or R, read on the device.
  Value tokenCount(GpuBuilder &b) const;
  /// Row of W that row `row` of tile `rowTile` stands for, clamped into the matrix.
  Value weightRow(GpuBuilder &b, const LinearTile &tile, Value rowTile, Value row) const;
  /// Row tiles needed for all outputs.
  int64_t rowTiles(const LinearTile &tile) const;
  /// From accumulators to results; starts behind a barrier.
  void epilogue(GpuBuilder &b, const LinearTile &tile, Value rowTile, Value firstToken,
                Value tokens) const;

private:
  Value rstd(GpuBuilder &b, const LinearTile &tile, Value token, Value globalToken) const;
  Value dot(GpuBuilder &b, const LinearTile &tile, Value token, Value row) const;
  struct Place {
    Value token, globalToken, inStep; ///< in the tile; in the step, clamped; whether it is in it
  };
  Values results(GpuBuilder &b, const LinearTile &tile, Value rowTile, const Place &place) const;
  void store(GpuBuilder &b, const LinearTile &tile, Value rowTile, const Place &place,
             const Values &values) const;
};

/// The better of two candidates: NaN before numbers, then the larger value, then the lower index.
struct Candidate {
  Value value, index;
};
Candidate better(GpuBuilder &b, Candidate a, Candidate c);
Candidate bestOfWarp(GpuBuilder &b, Candidate c);
Candidate noCandidate(GpuBuilder &b);

} // namespace sinter::gpu
