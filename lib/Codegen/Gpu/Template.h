//===- Template.h - the interface of a kernel template ----------*- C++ -*-===//
//
// A template emits the body of an op, cut into tiles, as five pieces. A wrapper decides what a body
// is: one kernel per op whose edges are programmatic dependent launches (`emitKernel`), or a phase
// of a persistent kernel whose edges are barriers (`emitPersistentKernel`). A body therefore knows
// neither blockIdx nor gridDim and never leaves: it gets a tile number, and every CTA walks through
// every piece.
//
//     prefetch(tile)   reads constants only: weights, norm weights, tables
//     wait(edge)       what the predecessor wrote can be read after it
//     compute(tile)    reads activations, writes results; empty tiles write nothing
//     publish(edge)    what this op wrote can be read by the successor
//
//===----------------------------------------------------------------------===//
#pragma once

#include "GpuBuilder.h"
#include "Templates.h"

#include <memory>
#include <string>

namespace sinter::gpu {

/// What a template needs to run, fixed when it is compiled.
struct TilePlan {
  int64_t tiles = 1;       ///< at the largest number of tokens
  int64_t threads = 128;   ///< per CTA
  int64_t sharedBytes = 0; ///< of one CTA
  int64_t stages = 1;      ///< ring stages one tile takes at once
  int64_t stageBytes = 0;  ///< of shared memory; 0: the ring is in registers
  int64_t cluster = 1;     ///< CTAs that share a tile and exchange data; all get its number
  /// When the successor's CTAs may start. `Early`: before the wait. `Inside`: when compute says so.
  /// `Late`: at the end of the body, for those of a body that fills the SMs would wait where this
  /// op's own CTAs could run.
  enum Announce { Early, Inside, Late } announce = Early;
  int64_t minCtasPerSm = 1; ///< occupancy that registers should allow
  int64_t weightBytes = 0;  ///< constants read by all tiles together
};

/// Constants in flight between prefetch and compute: registers, or stages in shared memory.
struct Ring {
  Values registers;
  int64_t sharedOffset = 0;
};

/// How an op is ordered after its predecessor and before its successor.
class Edge {
public:
  virtual ~Edge() = default;
  virtual void announce(GpuBuilder &) {}
  virtual void wait(GpuBuilder &b) = 0;
  virtual void publish(GpuBuilder &b) = 0;
};

class Template {
public:
  virtual ~Template() = default;
  virtual TilePlan plan() const = 0;
  /// Number of pointer parameters, the SinterBatch (always last) included.
  virtual unsigned parameters() const = 0;
  /// Parameters that are tensor maps instead.
  virtual llvm::SmallVector<TensorMap, 2> tensorMaps() const { return {}; }
  /// Called once per body, before the other emitters.
  void bind(mlir::ValueRange values) { pointers.assign(values.begin(), values.end()); }

  virtual void prefetch(GpuBuilder &b, Value tile, Ring &ring) = 0;
  virtual void wait(GpuBuilder &b, Edge &edge) { edge.wait(b); }
  virtual void compute(GpuBuilder &b, Value tile, Ring &ring) = 0;
  virtual void publish(GpuBuilder &b, Edge &edge) { edge.publish(b); }

protected:
  Value operand(unsigned i) const { return pointers[i]; }
  Value batch() const { return pointers.back(); }

private:
  Values pointers;
};

} // namespace sinter::gpu
