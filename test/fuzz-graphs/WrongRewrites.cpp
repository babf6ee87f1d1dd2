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

/// linear(rms_norm(x, g), W) + bias -> rms_norm_linear(x, g, W), the bias forgotten.
bool dropBiasBehindNorm(ModuleOp module) {
  return firstOf<LinearOp>(module, [](LinearOp linear) {
    auto norm = linear.getX().getDefiningOp<RmsNormOp>();
    if (!norm || !linear.getBias())
      return false;
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

/// add(linear(x, W), r) -> linear_add(x, W, linear(x, W)): the wrong summand as residual.
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

/// The attention moves before the write and misses this step's tokens.
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

/// K is stored as it is, the attention still multiplies by the scale.
bool droppedScale(ModuleOp module) {
  return firstOf<KvWriteOp>(module, [](KvWriteOp write) {
    if (!write.getKScale())
      return false;
    write.getKScaleMutable().clear();
    return true;
  });
}

bool swapKeyValue(ModuleOp module) {
  return firstOf<KvWriteOp>(module, [](KvWriteOp write) {
    Value key = write.getK();
    write.getKMutable().assign(write.getV());
    write.getVMutable().assign(key);
    return true;
  });
}

} // namespace

std::vector<WrongRewrite> sinter::wrongRewrites() {
  return {{"DropBias", dropBias},         {"DropBiasBehindNorm", dropBiasBehindNorm},
          {"WrongEps", wrongEps},         {"WrongResidual", wrongResidual},
          {"LostSum", lostSum},           {"SwapGateUp", swapGateUp},
          {"UnrotatedKey", unrotatedKey}, {"LostWrite", lostWrite},
          {"DroppedScale", droppedScale}, {"SwapKeyValue", swapKeyValue}};
}
