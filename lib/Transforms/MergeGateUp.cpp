//===- MergeGateUp.cpp - gate and up become one projection ----------------===//
//
// silu(x Wg^T) * (x Wu^T) = swiglu(x [Wg; Wu]^T)
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/FusionLog.h"
#include "sinter/Transforms/Passes.h"
#include "sinter/Transforms/WeightMerger.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sinter::xfmr {
#define GEN_PASS_DEF_MERGEGATEUP
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

struct Candidate {
  SwigluOp swiglu;
  SmallVector<LinearOp, 2> linears; ///< gate, up
  StringRef reason;
};

struct MergeGateUpPass : sinter::xfmr::impl::MergeGateUpBase<MergeGateUpPass> {
  void runOnOperation() override {
    WeightMerger merger(getOperation());
    std::vector<std::pair<func::FuncOp, std::vector<Candidate>>> all;
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      auto &candidates = all.emplace_back(func, std::vector<Candidate>()).second;
      func.walk([&](SwigluOp swiglu) { collect(swiglu, candidates); });
      for (Candidate &c : candidates)
        if (c.reason.empty())
          merger.add(c.linears);
    }
    for (auto &[func, candidates] : all) {
      FusionLog log(func, "merge-gate-up", candidates.size());
      for (Candidate &c : candidates)
        mergeOne(c, merger, log);
      log.finish();
    }
    merger.eraseMerged();
  }

  static void collect(SwigluOp swiglu, std::vector<Candidate> &candidates) {
    auto gate = swiglu.getGate().getDefiningOp<LinearOp>();
    auto up = swiglu.getUp() ? swiglu.getUp().getDefiningOp<LinearOp>() : LinearOp();
    if (!gate || !up)
      return;
    Candidate c{swiglu, {gate, up}, ""};
    if (gate == up)
      c.reason = "gate and up are one linear";
    else if (!gate->hasOneUse() || !up->hasOneUse())
      c.reason = "gate or up has another user";
    candidates.push_back(c);
  }

  // Pattern: swiglu(linear(x, Wg), linear(x, Wu)) -> swiglu(linear(x, [Wg; Wu]))
  //          [gate and up have one use; both biases or none]
  void mergeOne(Candidate &c, WeightMerger &merger, FusionLog &log) {
    if (c.reason.empty())
      c.reason = merger.whyNot(c.linears);
    if (!c.reason.empty())
      return log.missed(c.swiglu, c.reason);
    LinearOp merged = merger.merge(c.linears, "gate_up");
    c.swiglu.getGateMutable().assign(merged.getResult());
    c.swiglu.getUpMutable().clear();
    log.fused(merged);
  }
};

} // namespace
