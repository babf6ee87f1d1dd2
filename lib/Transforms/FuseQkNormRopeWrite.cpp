//===- FuseQkNormRopeWrite.cpp - from qkv to q and the cache in one kernel ===//
//
// q = rope(norm(split(qkv))); cache = write(rope(norm(split(qkv))), split(qkv)): all row by row.
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/FusionConditions.h"
#include "sinter/Transforms/FusionDriver.h"
#include "sinter/Transforms/FusionLog.h"
#include "sinter/Transforms/OpNames.h"
#include "sinter/Transforms/Passes.h"
#include "sinter/Transforms/QkvMatch.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sinter::xfmr {
#define GEN_PASS_DEF_FUSEQKNORMROPEWRITE
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

int64_t columns(SplitHeadsOp split) {
  return split.getType().getDimSize(1) * split.getType().getDimSize(2);
}

StringRef checkNorms(QkvMatch &m) {
  if (m.v.norm || m.v.rope)
    return "v is normalised or rotated";
  if (!m.q.norm != !m.k.norm)
    return "only one of q and k is normalised";
  if (!m.q.norm)
    return "";
  if (m.q.norm.getEps() != m.k.norm.getEps())
    return "the norms of q and k have different eps";
  if (m.q.norm.getGamma().getType() != m.k.norm.getGamma().getType())
    return "the norm weights of q and k have different types";
  return "";
}

/// One value, or two reads of one weight.
bool sameValue(Value a, Value b) {
  auto x = a.getDefiningOp<GetWeightOp>(), y = b.getDefiningOp<GetWeightOp>();
  return a == b || (x && y && x.getWeight() == y.getWeight());
}

StringRef checkRope(QkvMatch &m, KvWriteOp write) {
  if (!m.q.rope || !m.k.rope)
    return "q or k is not rotated";
  if (!sameValue(m.q.rope.getTable(), m.k.rope.getTable()))
    return "q and k are rotated by different tables";
  if (m.q.rope.getBatch() != write.getBatch() || m.k.rope.getBatch() != write.getBatch())
    return "q, k and the write belong to different batches";
  return "";
}

StringRef checkColumns(QkvMatch &m) {
  Value qkv = m.q.split.getX();
  if (m.k.split.getX() != qkv || m.v.split.getX() != qkv)
    return "q, k and v are not columns of one tensor (xfmr-merge-qkv makes them so)";
  int64_t q = columns(m.q.split), k = columns(m.k.split);
  if (m.q.split.getOffset() != 0 || static_cast<int64_t>(m.k.split.getOffset()) != q ||
      static_cast<int64_t>(m.v.split.getOffset()) != q + k ||
      q + k + columns(m.v.split) != cast<RankedTensorType>(qkv.getType()).getDimSize(1))
    return "q, k and v do not lie side by side";
  return "";
}

/// The fused op stands where the write stands: q must not be read before, its operands not computed
/// after.
StringRef checkOrder(QkvMatch &m, KvWriteOp write) {
  for (Operation *user : m.q.rope->getUsers())
    if (user->getBlock() != write->getBlock() || user->isBeforeInBlock(write))
      return "q is read before k and v are written";
  SmallVector<Value> operands = {m.q.split.getX()};
  if (m.q.norm)
    operands.push_back(m.q.norm.getGamma());
  for (Value operand : operands)
    if (!makeAvailable(operand, write))
      return "q's norm weight is computed after the write";
  return "";
}

/// "16+8x128": query heads, cache heads, their size.
std::string qkvShape(QkvMatch &m) {
  auto q = m.q.split.getType().getShape(), k = m.k.split.getType().getShape();
  return std::to_string(q[1]) + "+" + std::to_string(k[1]) + "x" + std::to_string(q[2]);
}

StringRef whyNot(KvWriteOp write, QkvMatch &match) {
  match = matchQkv(write);
  StringRef reason = match.reason;
  if (reason.empty())
    reason = checkNorms(match);
  if (reason.empty())
    reason = checkRope(match, write);
  if (reason.empty())
    reason = checkColumns(match);
  if (reason.empty())
    reason = checkOrder(match, write);
  if (reason.empty())
    reason = whySlower(write, "fuse-qk-norm-rope-write", qkvShape(match));
  return reason;
}

// Pattern: kv_write(rope(norm(split(qkv))), split(qkv)), rope(norm(split(qkv)))
//            -> qk_norm_rope_write(qkv)
//          [q, k, v side by side in qkv; both norms or none, of one eps; inner values have one use]
struct FuseQkNormRopeWritePattern : OpRewritePattern<KvWriteOp> {
  FuseQkNormRopeWritePattern(MLIRContext *ctx, FusionLog &log) : OpRewritePattern(ctx), log(log) {}

  LogicalResult matchAndRewrite(KvWriteOp write, PatternRewriter &rewriter) const override {
    QkvMatch m;
    StringRef reason = whyNot(write, m);
    if (!reason.empty())
      return rewriter.notifyMatchFailure(write, reason);
    Value qGamma = m.q.norm ? m.q.norm.getGamma() : Value();
    Value kGamma = m.k.norm ? m.k.norm.getGamma() : Value();
    if (qGamma)
      makeAvailable(qGamma, write, &rewriter);
    FloatAttr eps = m.q.norm ? m.q.norm.getEpsAttr() : rewriter.getF32FloatAttr(0);
    SmallVector<Operation *> taken = {m.q.split, m.k.split, m.v.split, m.q.rope, m.k.rope};
    if (m.q.norm)
      taken.append({m.q.norm, m.k.norm});
    auto fused = QkNormRopeWriteOp::create(
        rewriter, fusedLocation(write, taken), m.q.rope.getType(), write.getResult().getType(),
        m.q.split.getX(), write.getKv(), m.k.rope.getTable(), write.getBatch(), qGamma, kGamma,
        write.getKScale(), eps);
    rewriter.replaceOp(m.q.rope, fused.getQ());
    rewriter.replaceOp(write, fused.getResult());
    log.fused(fused);
    return success();
  }

  FusionLog &log;
};

struct FuseQkNormRopeWritePass
    : sinter::xfmr::impl::FuseQkNormRopeWriteBase<FuseQkNormRopeWritePass> {
  void runOnOperation() override {
    FusionLog log(getOperation(), "fuse-qk-norm-rope-write");
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseQkNormRopeWritePattern>(&getContext(), log);
    if (failed(fuseGreedily(getOperation(), std::move(patterns), "xfmr-fuse-qk-norm-rope-write")))
      return signalPassFailure();
    getOperation()->walk([&](KvWriteOp write) {
      QkvMatch m;
      log.missed(write, whyNot(write, m));
    });
    log.finish();
  }
};

} // namespace
