//===- CudaCandidates.cpp - every kernel that a linear could be -----------===//
//
// For a tune pack. A candidate gets memory of its own, so that its time does not depend on where
// the plan put the operands of the op that asked for it.
//
//===----------------------------------------------------------------------===//
#include "CudaLowering.h"

#include "lib/Codegen/Gpu/CostModel.h"
#include "lib/Codegen/Gpu/Tuning.h"
#include "sinter/Conversion/TuneCandidates.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

namespace {

/// Gives operands places in an arena and in weights, in the order of the kernel's parameters.
struct Operands {
  TuneLinear &linear;
  TuneLinear::Variant &variant;
  bool first; ///< whether this variant says what the weights are

  void activation(bool present, int64_t bytes) {
    if (!present)
      return;
    variant.args.push_back(
        {SINTER_ARG_ARENA, 0, static_cast<uint64_t>(alignUp(variant.arenaBytes, 256))});
    variant.arenaBytes = alignUp(variant.arenaBytes, 256) + bytes;
  }
  void weight(bool present, int64_t bytes) {
    if (!present)
      return;
    variant.args.push_back({SINTER_ARG_WEIGHT, next++, 0});
    if (first)
      linear.weightBytes.push_back(bytes);
  }
  uint32_t next = 0;
};

/// As LinearSpec lists the parameters. Results last, so that what differs moves nothing else.
void layOut(const LinearSpec &spec, int64_t partials, Operands &to, int64_t &resultAt) {
  const auto bytes = [](DType t) { return static_cast<int64_t>(dtypeBytes(t)); };
  const int64_t t = spec.maxTokens, out = spec.outputs();
  to.activation(true, t * spec.k * bytes(spec.x));
  to.weight(true, spec.n * spec.k * bytes(spec.w));
  to.weight(spec.norm && !spec.xg, spec.k * 4);
  to.weight(spec.bias, spec.n * 4);
  to.activation(spec.residual, t * out * bytes(spec.y));
  to.activation(spec.sumsIn != 0, t * spec.sumsIn * 4);
  to.weight(spec.xgOut, out * 4);
  resultAt = alignUp(to.variant.arenaBytes, 256);
  if (spec.epilogue == LinearSpec::Argmax) {
    to.activation(true, t * partials * 4);
    to.activation(true, t * partials * 4);
    return;
  }
  to.activation(true, t * out * bytes(spec.y));
  to.activation(spec.sumsOut, t * partials * 4);
  to.activation(spec.xgOut, t * out * bytes(spec.y));
}

} // namespace

LogicalResult CudaLowering::addCandidates(Operation *op, const LinearSpec &spec,
                                          const Kernel &own) {
  TuneLinear linear;
  linear.shape = shapeText(spec);
  if (llvm::any_of(*options.candidates,
                   [&](const TuneLinear &each) { return each.shape == linear.shape; }))
    return success();
  constexpr size_t kMost = 7, kMostOfHead = 4;
  // Every step of every size has the same head, and its many rows leave little to choose.
  const size_t most = spec.rows ? kMostOfHead : kMost;
  linear.op = nameOf(op);
  linear.tokens = spec.maxTokens;
  linear.rows = spec.rows;
  for (const LinearTuning &tuning : candidatesFor(chip, spec, most)) {
    TuneLinear::Variant variant;
    variant.kernel = kernelText(tuning);
    const std::string name = own.made.name + "_c" + std::to_string(linear.variants.size());
    auto k = kernel(op->getName().stripDialect(), name, name + " " + linear.shape,
                    [&](Operation *module, StringRef symbol) {
                      return emitLinear(module, symbol, chip, spec, tuning);
                    });
    if (failed(k))
      return failure();
    variant.predicted = k->made.predictedMicros;
    variant.index = k->index;
    variant.grid = k->made.grid;
    Operands to{linear, variant, linear.variants.empty()};
    layOut(spec, k->made.partials, to, linear.resultAt);
    linear.variants.push_back(std::move(variant));
  }
  if (spec.epilogue != LinearSpec::Argmax) {
    linear.resultType = std::string(dtypeName(spec.y));
    linear.resultBytes = spec.maxTokens * spec.outputs() * static_cast<int64_t>(dtypeBytes(spec.y));
  }
  options.candidates->push_back(std::move(linear));
  return success();
}
