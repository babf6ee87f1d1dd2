//===- QkvMatch.cpp - from projections to a layer's cache -----------------===//
#include "sinter/Transforms/QkvMatch.h"

using namespace mlir;
using namespace sinter::xfmr;

HeadsChain sinter::xfmr::matchHeads(Value heads) {
  HeadsChain chain;
  if ((chain.rope = heads.getDefiningOp<RopeOp>()))
    heads = chain.rope.getX();
  if ((chain.norm = heads.getDefiningOp<RmsNormOp>())) {
    if (chain.rope && !chain.norm->hasOneUse())
      chain.reason = "a head norm has another user";
    heads = chain.norm.getX();
  }
  if (!(chain.split = heads.getDefiningOp<SplitHeadsOp>()))
    chain.reason = "q, k or v does not come from split_heads, head norm and rope in this order";
  else if ((chain.rope || chain.norm) && !chain.split->hasOneUse())
    chain.reason = "a split_heads has another user";
  return chain;
}

QkvMatch sinter::xfmr::matchQkv(KvWriteOp write) {
  QkvMatch match;
  AttentionOp attention;
  for (Operation *user : write.getResult().getUsers())
    if (auto found = dyn_cast<AttentionOp>(user)) {
      if (attention) {
        match.reason = "two attentions read the cache after this write";
        return match;
      }
      attention = found;
    }
  if (!attention) {
    match.reason = "no attention reads the cache after this write";
    return match;
  }
  match.q = matchHeads(attention.getQ());
  match.k = matchHeads(write.getK());
  match.v = matchHeads(write.getV());
  for (const HeadsChain *chain : {&match.q, &match.k, &match.v})
    if (match.reason.empty())
      match.reason = chain->reason;
  if (match.reason.empty() && (!write.getK().hasOneUse() || !write.getV().hasOneUse()))
    match.reason = "k or v has another user than the write";
  return match;
}
