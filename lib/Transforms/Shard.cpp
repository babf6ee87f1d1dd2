//===- Shard.cpp - every layer split among ranks --------------------------===//
//
// Column-parallel: y_r = x W_r^T, rows of W. Row-parallel: y = sum over r of x_r W_r^T, columns of
// W.
//
//===----------------------------------------------------------------------===//
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Transforms/OpNames.h"
#include "sinter/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/TypeSwitch.h"

#include <map>

namespace sinter::xfmr {
#define GEN_PASS_DEF_SHARD
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

constexpr StringLiteral kRanksAttr = "xfmr.ranks"; ///< on the module: i64, it is split already

RankedTensorType withDim(Type type, unsigned dim, int64_t size) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(tensor.getShape());
  shape[dim] = size;
  return tensor.clone(shape);
}

Location suffixed(Operation *op, StringRef suffix) {
  StringRef name = opName(op);
  if (name.empty())
    return op->getLoc();
  return NameLoc::get(StringAttr::get(op->getContext(), name + suffix));
}

enum class Part { Column, Row, Head, Whole };

/// How a linear is split, from what stands around it.
Part partOf(LinearOp linear) {
  Operation *def = linear.getX().getDefiningOp();
  if (def && isa<MergeHeadsOp, SwigluOp>(def))
    return Part::Row;
  for (Operation *user : linear->getUsers()) {
    if (isa<SplitHeadsOp, SwigluOp>(user))
      return Part::Column;
    if (user->hasTrait<OpTrait::IsTerminator>() || isa<ArgmaxOp>(user))
      return Part::Head;
  }
  return Part::Whole;
}

/// The ops that a shard of them is known for.
bool isUnfused(Operation *op) {
  return isa<AddOp, ArgmaxOp, AttentionOp, EmbeddingOp, GetWeightOp, KvWriteOp, LinearOp,
             MergeHeadsOp, RmsNormOp, RopeOp, SelectRowsOp, SplitHeadsOp, SwigluOp>(op);
}

/// Splits the ops of one function after its weights were assigned their rules.
class Sharder {
public:
  Sharder(ModuleOp module, int64_t ranks) : module(module), symbols(module), ranks(ranks) {}

  LogicalResult run(func::FuncOp func);

private:
  LogicalResult divides(Operation *op, int64_t n, const Twine &what);
  LogicalResult splitWeight(Value weight, ShardRule rule, Operation *user);
  LogicalResult splitLinear(LinearOp linear);
  LogicalResult splitEmbedding(EmbeddingOp embedding);
  LogicalResult splitCaches(func::FuncOp func);
  LogicalResult checkAttention(AttentionOp attention);
  void updateResult(Operation *op);

  ModuleOp module;
  SymbolTable symbols;
  int64_t ranks;
  std::map<std::string, ShardRule> rules; ///< what a weight was split by
};

LogicalResult Sharder::divides(Operation *op, int64_t n, const Twine &what) {
  if (n % ranks == 0)
    return success();
  return op->emitError() << "cannot shard: " << n << " " << what << " do not divide among " << ranks
                         << " ranks";
}

/// The part of `weight` that one rank holds. Two users must agree on it.
LogicalResult Sharder::splitWeight(Value value, ShardRule rule, Operation *user) {
  auto get = value.getDefiningOp<GetWeightOp>();
  if (!get)
    return user->emitError("cannot shard: its weight is not an xfmr.weight");
  auto weight = symbols.lookup<WeightOp>(get.getWeight());
  auto sources = weight ? dyn_cast<ArrayAttr>(weight.getInit()) : ArrayAttr();
  if (!sources)
    return user->emitError("cannot shard: @") << get.getWeight() << " has no checkpoint sources";
  auto [known, isNew] = rules.try_emplace(get.getWeight().str(), rule);
  if (!isNew && known->second != rule)
    return user->emitError("cannot shard: @")
           << get.getWeight() << " is split by " << stringifyShardRule(known->second)
           << " for another user, here by " << stringifyShardRule(rule);
  auto type = cast<RankedTensorType>(weight.getType());
  if (isNew && rule != ShardRule::Replicated) {
    unsigned dim = rule == ShardRule::Columns ? 1 : 0;
    if (rule != ShardRule::Rank0) {
      if (failed(divides(user, type.getDimSize(dim),
                         Twine(dim ? "columns" : "rows") + " of @" + weight.getSymName())))
        return failure();
      type = withDim(type, dim, type.getDimSize(dim) / ranks);
    }
    SmallVector<Attribute> split;
    for (auto source : sources.getAsRange<SourceAttr>()) {
      if (rule == ShardRule::Rows &&
          failed(divides(user, source.getEnd() - source.getBegin(),
                         Twine("rows of ") + source.getTensor().getValue())))
        return failure();
      split.push_back(SourceAttr::get(module.getContext(), source.getTensor(), source.getBegin(),
                                      source.getEnd(), rule, ranks));
    }
    weight.setInitAttr(ArrayAttr::get(module.getContext(), split));
    weight.setType(type);
  }
  get.getResult().setType(cast<RankedTensorType>(type));
  return success();
}

/// y = linear(x, W) -> all_reduce(linear(x_r, W_r)) or all_gather(linear(x, W_r)) or local columns.
LogicalResult Sharder::splitLinear(LinearOp linear) {
  Part part = partOf(linear);
  if (part == Part::Whole)
    return linear.emitError("cannot shard: neither heads, swiglu nor logits around this linear");
  bool row = part == Part::Row;
  if (failed(splitWeight(linear.getW(), row ? ShardRule::Columns : ShardRule::Rows, linear)))
    return failure();
  if (linear.getBias() &&
      failed(splitWeight(linear.getBias(), row ? ShardRule::Rank0 : ShardRule::Rows, linear)))
    return failure();
  OpBuilder b(linear->getContext());
  b.setInsertionPointAfter(linear);
  if (row) {
    linear.setRowParallel(true);
    auto reduce = AllReduceOp::create(b, suffixed(linear, ".all_reduce"), linear.getType(),
                                      linear.getResult(), ranks);
    linear.getResult().replaceAllUsesExcept(reduce.getResult(), reduce);
    return success();
  }
  RankedTensorType whole = linear.getType();
  linear.getResult().setType(withDim(whole, 1, whole.getDimSize(1) / ranks));
  if (part == Part::Head) {
    auto gather =
        AllGatherOp::create(b, suffixed(linear, ".all_gather"), whole, linear.getResult(), ranks);
    linear.getResult().replaceAllUsesExcept(gather.getResult(), gather);
  }
  return success();
}

LogicalResult Sharder::splitEmbedding(EmbeddingOp embedding) {
  if (failed(splitWeight(embedding.getTable(), ShardRule::Rows, embedding)))
    return failure();
  embedding.setVocabParallel(ranks);
  OpBuilder b(embedding->getContext());
  b.setInsertionPointAfter(embedding);
  auto reduce = AllReduceOp::create(b, suffixed(embedding, ".all_reduce"), embedding.getType(),
                                    embedding.getResult(), ranks);
  embedding.getResult().replaceAllUsesExcept(reduce.getResult(), reduce);
  return success();
}

LogicalResult Sharder::splitCaches(func::FuncOp func) {
  for (BlockArgument arg : func.getArguments()) {
    auto kv = dyn_cast<KvType>(arg.getType());
    if (!kv)
      continue;
    if (failed(divides(func, kv.getHeads(), "kv heads")))
      return failure();
    arg.setType(KvType::get(func.getContext(), kv.getHeads() / ranks, kv.getPage(), kv.getHeadDim(),
                            kv.getElementType(), kv.getLayout()));
  }
  return success();
}

LogicalResult Sharder::checkAttention(AttentionOp attention) {
  return divides(attention, attention.getQ().getType().getDimSize(1), "query heads");
}

/// Shapes follow from the operands' once those are local.
void Sharder::updateResult(Operation *op) {
  TypeSwitch<Operation *>(op)
      .Case([](SplitHeadsOp split) {
        int64_t headDim = split.getType().getDimSize(2);
        int64_t columns = split.getX().getType().getDimSize(1);
        split.getResult().setType(withDim(split.getType(), 1, columns / headDim));
      })
      .Case([](MergeHeadsOp merge) {
        auto x = merge.getX().getType();
        merge.getResult().setType(withDim(merge.getType(), 1, x.getDimSize(1) * x.getDimSize(2)));
      })
      .Case<RmsNormOp, RopeOp>([](auto same) { same.getResult().setType(same.getX().getType()); })
      .Case([](AddOp add) { add.getResult().setType(add.getA().getType()); })
      .Case([](SwigluOp swiglu) { swiglu.getResult().setType(swiglu.getGate().getType()); })
      .Case([](KvWriteOp write) { write.getResult().setType(write.getKv().getType()); })
      .Case(
          [](AttentionOp attention) { attention.getResult().setType(attention.getQ().getType()); });
}

LogicalResult Sharder::run(func::FuncOp func) {
  // Checked on whole shapes, so that the message names the model's own numbers.
  WalkResult checked = func.walk([&](Operation *op) -> WalkResult {
    if (auto attention = dyn_cast<AttentionOp>(op))
      return checkAttention(attention);
    if (auto split = dyn_cast<SplitHeadsOp>(op); split && !split.isView())
      return op->emitError("cannot shard: q, k and v are merged already (shard before the merges)");
    if (auto swiglu = dyn_cast<SwigluOp>(op); swiglu && !swiglu.getUp())
      return op->emitError(
          "cannot shard: gate and up are merged already (shard before the merges)");
    if (isa_and_nonnull<XfmrDialect>(op->getDialect()) && !isUnfused(op))
      return op->emitError("cannot shard: ")
             << op->getName() << " is no op of an imported graph (shard before the fusions)";
    return WalkResult::advance();
  });
  if (checked.wasInterrupted() || failed(splitCaches(func)))
    return failure();
  for (Operation &op : llvm::make_early_inc_range(func.getBody().front())) {
    LogicalResult done = success();
    if (auto linear = dyn_cast<LinearOp>(op))
      done = splitLinear(linear);
    else if (auto embedding = dyn_cast<EmbeddingOp>(op))
      done = splitEmbedding(embedding);
    else
      updateResult(&op);
    if (failed(done))
      return failure();
  }
  Block &body = func.getBody().front();
  func.setFunctionType(FunctionType::get(func.getContext(), body.getArgumentTypes(),
                                         body.getTerminator()->getOperandTypes()));
  return success();
}

struct ShardPass : sinter::xfmr::impl::ShardBase<ShardPass> {
  using ShardBase::ShardBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    int64_t ranks = this->ranks, before = 1;
    if (auto attr = module->getAttrOfType<IntegerAttr>(kRanksAttr))
      before = attr.getInt();
    if (ranks < 1 || (before != 1 && before != ranks)) {
      if (ranks < 1)
        module.emitError("cannot shard among ") << ranks << " ranks";
      else
        module.emitError("cannot shard among ")
            << ranks << " ranks: it is sharded among " << before << " already";
      return signalPassFailure();
    }
    if (ranks == before)
      return;
    Sharder sharder(module, ranks);
    for (auto func : module.getOps<func::FuncOp>())
      if (func->hasAttr(kEntryAttr) && !func.isExternal() && failed(sharder.run(func)))
        return signalPassFailure();
    module->setAttr(kRanksAttr, IntegerAttr::get(IntegerType::get(&getContext(), 64), ranks));
  }
};

} // namespace
