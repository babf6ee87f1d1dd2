//===- MergeQkv.cpp - three projections become one ------------------------===//
//
// [x Wq^T, x Wk^T, x Wv^T] = x [Wq; Wk; Wv]^T
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/FusionLog.h"
#include "sinter/Transforms/Passes.h"
#include "sinter/Transforms/QkvMatch.h"
#include "sinter/Transforms/WeightMerger.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sinter::xfmr {
#define GEN_PASS_DEF_MERGEQKV
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

struct Candidate {
  KvWriteOp write;
  SmallVector<SplitHeadsOp, 3> splits; ///< q, k, v; empty when `reason` says why not
  SmallVector<LinearOp, 3> linears;
  StringRef reason;
};

LinearOp linearBefore(const HeadsChain &chain) {
  SplitHeadsOp split = chain.split;
  return split ? split.getX().getDefiningOp<LinearOp>() : LinearOp();
}

/// K and V of the write come from two linears: three projections that could be one.
bool isCandidate(KvWriteOp write) {
  LinearOp k = linearBefore(matchHeads(write.getK()));
  LinearOp v = linearBefore(matchHeads(write.getV()));
  return k && v && k != v;
}

Candidate matchCandidate(KvWriteOp write) {
  Candidate c{write, {}, {}, ""};
  QkvMatch m = matchQkv(write);
  c.reason = m.reason;
  for (const HeadsChain *chain : {&m.q, &m.k, &m.v}) {
    if (!c.reason.empty())
      break;
    LinearOp linear = linearBefore(*chain);
    if (!linear)
      c.reason = "q does not come from a linear";
    else if (!linear->hasOneUse())
      c.reason = "a projection has another user";
    c.splits.push_back(chain->split);
    c.linears.push_back(linear);
  }
  return c;
}

struct MergeQkvPass : sinter::xfmr::impl::MergeQkvBase<MergeQkvPass> {
  void runOnOperation() override {
    WeightMerger merger(getOperation());
    std::vector<std::pair<func::FuncOp, std::vector<Candidate>>> all;
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      auto &candidates = all.emplace_back(func, std::vector<Candidate>()).second;
      func.walk([&](KvWriteOp write) {
        if (isCandidate(write))
          candidates.push_back(matchCandidate(write));
      });
      for (Candidate &c : candidates)
        if (c.reason.empty())
          merger.add(c.linears);
    }
    for (auto &[func, candidates] : all) {
      FusionLog log(func, "merge-qkv", candidates.size());
      for (Candidate &c : candidates)
        mergeOne(c, merger, log);
      log.finish();
    }
    merger.eraseMerged();
  }

  // Pattern: linear(x, Wq), linear(x, Wk), linear(x, Wv) -> linear(x, [Wq; Wk; Wv])
  //          [each feeds one split_heads, together one write and its attention; all biases or none]
  void mergeOne(Candidate &c, WeightMerger &merger, FusionLog &log) {
    if (c.reason.empty())
      c.reason = merger.whyNot(c.linears);
    if (!c.reason.empty())
      return log.missed(c.write, c.reason);
    LinearOp merged = merger.merge(c.linears, "qkv");
    int64_t offset = 0;
    for (auto [split, linear] : llvm::zip_equal(c.splits, c.linears)) {
      split.getXMutable().assign(merged.getResult());
      split.setOffset(offset + split.getOffset());
      offset += linear.getType().getDimSize(1);
    }
    log.fused(merged);
  }
};

} // namespace
