//===- WrongRewrites.cpp - fusions with a bug each ------------------------===//
#include "WrongRewrites.h"

#include "sinter/Dialect/Xfmr.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::xfmr;

namespace {

/// Calls `rewrite` on the ops of one kind until it returns true.
template <typename Op> bool firstOf(ModuleOp module, llvm::function_ref<bool(Op)> rewrite) {
  return module
      .walk([&](Op op) { return rewrite(op) ? WalkResult::interrupt() : WalkResult::advance(); })
      .wasInterrupted();
}

void replace(Operation *op, Value with) {
  op->getResult(0).replaceAllUsesWith(with);
  op->erase();
}

/// add(linear(x, W) + bias, r) -> linear_add(x, W, r), the bias forgotten.
bool dropBias(ModuleOp module) {
  return firstOf<AddOp>(module, [](AddOp add) {
    auto linear = add.getA().getDefiningOp<LinearOp>();
    if (!linear || !linear.getBias())
      return false;
    OpBuilder b(add);
    replace(add, LinearAddOp::create(b, add.getLoc(), add.getType(), linear.getX(), linear.getW(),
                                     add.getB(), Value()));
    return true;
  });
}

/// The bias under the row scale: linear(rms_norm(x)) + bias -> rstd * ((x g) W^T + bias).
bool scaleBias(ModuleOp module) {
  return firstOf<LinearOp>(module, [](LinearOp linear) {
    auto norm = linear.getX().getDefiningOp<RmsNormOp>();
    if (!norm || !linear.getBias())
      return false;
    // In a graph: the bias is left out and the residual of its effect with it.
    OpBuilder b(linear);
    replace(linear,
            RmsNormLinearOp::create(b, linear.getLoc(), linear.getType(), norm.getX(),
                                    norm.getGamma(), linear.getW(), Value(), norm.getEpsAttr()));
    return true;
  });
}

/// linear(rms_norm(x, g, eps)) with another epsilon.
bool wrongEps(ModuleOp module) {
  return firstOf<LinearOp>(module, [](LinearOp linear) {
    auto norm = linear.getX().getDefiningOp<RmsNormOp>();
    if (!norm)
      return false;
    OpBuilder b(linear);
    const float eps = norm.getEps().convertToFloat() * 2 + 1e-6f;
    replace(linear, RmsNormLinearOp::create(b, linear.getLoc(), linear.getType(), norm.getX(),
                                            norm.getGamma(), linear.getW(), linear.getBias(),
                                            b.getF32FloatAttr(eps)));
    return true;
  });
}

/// add(a, b) where both are linears, or one twice: takes the wrong summand as residual.
bool wrongResidual(ModuleOp module) {
  return firstOf<AddOp>(module, [](AddOp add) {
    auto linear = add.getA().getDefiningOp<LinearOp>();
    if (!linear || add.getA() == add.getB())
      return false;
    OpBuilder b(add);
    replace(add, LinearAddOp::create(b, add.getLoc(), add.getType(), linear.getX(), linear.getW(),
                                     add.getA(), linear.getBias()));
    return true;
  });
}

/// The sum's other users get the summand: add_rms_norm without its first result.
bool lostSum(ModuleOp module) {
  return firstOf<RmsNormOp>(module, [](RmsNormOp norm) {
    auto add = norm.getX().getDefiningOp<AddOp>();
    if (!add || add->hasOneUse() || !isa<RankedTensorType>(add.getType()) ||
        add.getType().getRank() != 2)
      return false;
    OpBuilder b(norm);
    auto fused = AddRmsNormOp::create(b, norm.getLoc(), add.getType(), norm.getType(), add.getA(),
                                      add.getB(), norm.getGamma(), norm.getEps());
    norm.getResult().replaceAllUsesWith(fused.getResult());
    norm.erase();
    replace(add, add.getB());
    return true;
  });
}

bool swapGateUp(ModuleOp module) {
  return firstOf<SwigluOp>(module, [](SwigluOp swiglu) {
    if (!swiglu.getUp() || swiglu.getUp() == swiglu.getGate())
      return false;
    Value gate = swiglu.getGate();
    swiglu.getGateMutable().assign(swiglu.getUp());
    swiglu.getUpMutable().assign(gate);
    return true;
  });
}

/// The write takes K before its rotation.
bool unrotatedKey(ModuleOp module) {
  return firstOf<KvWriteOp>(module, [](KvWriteOp write) {
    auto rope = write.getK().getDefiningOp<RopeOp>();
    if (!rope)
      return false;
    write.getKMutable().assign(rope.getX());
    return true;
  });
}

/// The attention reads the handle that the write consumed; as an order of ops, before the write.
bool lostWrite(ModuleOp module) {
  return firstOf<AttentionOp>(module, [](AttentionOp attention) {
    auto write = attention.getKv().getDefiningOp<KvWriteOp>();
    if (!write || !attention.getQ().getDefiningOp()->isBeforeInBlock(write))
      return false;
    attention.getKvMutable().assign(write.getKv());
    attention->moveBefore(write);
    return true;
  });
}

/// Two heads' offsets exchanged: k and v of the merged linear.
bool droppedScale(ModuleOp module) {
  return firstOf<KvWriteOp>(module, [](KvWriteOp write) {
    if (!write.getKScale())
      return false;
    write.getKScaleMutable().clear();
    return true;
  });
}

} // namespace

std::vector<WrongRewrite> sinter::wrongRewrites() {
  return {
      {"DropBias", dropBias},           {"ScaleBias", scaleBias}, {"WrongEps", wrongEps},
      {"WrongResidual", wrongResidual}, {"LostSum", lostSum},     {"SwapGateUp", swapGateUp},
      {"UnrotatedKey", unrotatedKey},   {"LostWrite", lostWrite}, {"DroppedScale", droppedScale}};
}
