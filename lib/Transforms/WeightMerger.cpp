//===- WeightMerger.cpp - several linears on one input -> one -------------===//
//
// [x Wa^T, x Wb^T] = x [Wa; Wb]^T
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/WeightMerger.h"

#include "sinter/Transforms/OpNames.h"

#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;
using namespace sinter::xfmr;

static std::string symbolOf(Value v) {
  auto get = v ? v.getDefiningOp<GetWeightOp>() : GetWeightOp();
  return get ? get.getWeight().str() : std::string();
}

/// {"layers.0.attn.q", "layers.0.attn.k"} and "qk" -> "layers.0.attn.qk"; a common ending such as
/// "_bias" or ".weight" stays.
static std::string mergedName(ArrayRef<StringRef> names, StringRef last) {
  StringRef suffix = names.front();
  for (StringRef name : names)
    while (!name.ends_with(suffix) || (!suffix.empty() && suffix[0] != '_' && suffix[0] != '.'))
      suffix = suffix.drop_front();
  std::string own = siblingName(names.front().drop_back(suffix.size()), last);
  return own + suffix.str();
}

WeightMerger::WeightMerger(ModuleOp module) : module(module), symbols(module) {
  module.walk([&](GetWeightOp get) {
    auto range = get.getResult().getUses();
    uses[get.getWeight().str()] += std::distance(range.begin(), range.end());
  });
}

std::string WeightMerger::keyOf(ArrayRef<LinearOp> group) const {
  std::string key;
  for (LinearOp linear : group)
    key += symbolOf(linear.getW()) + "|" + symbolOf(linear.getBias()) + ",";
  return key;
}

StringRef WeightMerger::whyNot(ArrayRef<LinearOp> group) const {
  LinearOp first = group.front();
  auto elementOf = [](Value v) { return cast<RankedTensorType>(v.getType()).getElementType(); };
  int64_t count = groups.at(keyOf(group));
  for (LinearOp linear : group) {
    if (linear.getX() != first.getX() || linear->getBlock() != first->getBlock())
      return "the linears read different inputs";
    if (linear.getRowParallel())
      return "a linear is row-parallel";
    if (!linear.getBias() != !first.getBias())
      return "some of the linears have a bias and some have none";
    if (elementOf(linear.getW()) != elementOf(first.getW()) ||
        elementOf(linear.getResult()) != elementOf(first.getResult()) ||
        (linear.getBias() && elementOf(linear.getBias()) != elementOf(first.getBias())))
      return "the linears have different element types";
    for (Value part : {linear.getW(), linear.getBias()}) {
      if (!part)
        continue;
      auto weight = symbols.lookup<WeightOp>(symbolOf(part));
      if (!weight || !isa<ArrayAttr>(weight.getInit()))
        return "a weight does not come from the checkpoint";
      if (weight.getLayout())
        return "a weight has its resident layout already";
      if (uses.at(symbolOf(part)) != count)
        return "a weight has another user";
    }
  }
  SmallPtrSet<Operation *, 4> weights;
  for (LinearOp linear : group)
    if (!weights.insert(symbols.lookup(symbolOf(linear.getW()))).second)
      return "two of the linears share a weight";
  return "";
}

WeightOp WeightMerger::mergedWeight(ArrayRef<Value> parts, StringRef last) {
  std::string key;
  SmallVector<StringRef> names;
  SmallVector<WeightOp> weights;
  SmallVector<Attribute> sources;
  int64_t rows = 0;
  for (Value part : parts) {
    auto weight = symbols.lookup<WeightOp>(symbolOf(part));
    weights.push_back(weight);
    names.push_back(weight.getSymName());
    key += weight.getSymName().str() + ",";
    llvm::append_range(sources, cast<ArrayAttr>(weight.getInit()));
    rows += cast<RankedTensorType>(weight.getType()).getDimSize(0);
  }
  WeightOp &merged = made[key];
  if (merged)
    return merged;
  auto type = cast<RankedTensorType>(weights.front().getType());
  SmallVector<int64_t> shape(type.getShape());
  shape[0] = rows;
  OpBuilder b(weights.front());
  SmallVector<Operation *> parents(weights.begin(), weights.end());
  std::string name = mergedName(names, last);
  merged = WeightOp::create(b, mergedLocation(name, parents), name,
                            RankedTensorType::get(shape, type.getElementType()),
                            b.getArrayAttr(sources), WeightLayoutAttr(), StringAttr());
  symbols.insert(merged, Block::iterator(weights.front()));
  llvm::append_range(replaced, weights);
  return merged;
}

LinearOp WeightMerger::merge(ArrayRef<LinearOp> group, StringRef last) {
  LinearOp first = group.front();
  SmallVector<Value> weights, biases;
  SmallVector<Operation *> ops;
  SmallVector<StringRef> names;
  int64_t columns = 0;
  for (LinearOp linear : group) {
    if (linear->isBeforeInBlock(first))
      first = linear;
    ops.push_back(linear);
    names.push_back(opName(linear));
    weights.push_back(linear.getW());
    if (linear.getBias())
      biases.push_back(linear.getBias());
    columns += linear.getType().getDimSize(1);
    dead.push_back(linear);
  }
  OpBuilder b(first);
  bool named = llvm::none_of(names, [](StringRef name) { return name.empty(); });
  Location loc = mergedLocation(named ? mergedName(names, last) : "", ops);
  auto get = [&](ArrayRef<Value> parts) -> Value {
    if (parts.empty())
      return Value();
    WeightOp weight = mergedWeight(parts, last);
    return GetWeightOp::create(b, mergedLocation((weight.getSymName() + ".weight").str(), {weight}),
                               weight.getType(), weight.getSymName());
  };
  Value w = get(weights), bias = get(biases);
  auto type = RankedTensorType::get({first.getType().getDimSize(0), columns},
                                    first.getType().getElementType());
  return LinearOp::create(b, loc, type, first.getX(), w, bias, /*row_parallel=*/false);
}

void WeightMerger::eraseMerged() {
  for (LinearOp linear : dead) {
    SmallVector<Value> parts = {linear.getW(), linear.getBias()};
    linear.erase();
    for (Value part : parts)
      if (part && part.use_empty())
        part.getDefiningOp()->erase();
  }
  for (WeightOp weight : replaced)
    if (SymbolTable::symbolKnownUseEmpty(weight, module))
      symbols.erase(weight);
  dead.clear();
  replaced.clear();
}
