//===- GraphGenerator.cpp - random legal xfmr graphs ----------------------===//
#include "GraphGenerator.h"

#include "sinter/Dialect/Xfmr.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <cmath>
#include <random>

using namespace mlir;
using namespace sinter;
using namespace sinter::xfmr;

namespace {

class Generator {
public:
  Generator(MLIRContext &context, uint64_t seed, GraphSizes sizes)
      : random(seed), builder(&context), symbols(&context), sizes(sizes) {}

  GeneratedGraph run();

private:
  //--- Choices -------------------------------------------------------------
  bool chance(unsigned percent) { return random() % 100 < percent; }
  /// Only graphs that are not regular take this branch.
  bool wild(unsigned percent) { return !regular && chance(percent); }
  template <typename T> T pick(std::initializer_list<T> values) {
    return values.begin()[random() % values.size()];
  }

  //--- Building blocks -----------------------------------------------------
  Location at(const Twine &part);
  RankedTensorType tokensBy(ArrayRef<int64_t> rest, Type type = {});
  int64_t width(Value x) { return cast<RankedTensorType>(x.getType()).getShape().back(); }
  Value fetch(StringRef symbol);
  Value weight(const Twine &part, ArrayRef<int64_t> shape, Type type);
  Value gamma(const Twine &part, int64_t size);
  Value norm(const Twine &part, Value x);
  Value linear(const Twine &part, Value x, int64_t columns, bool bias, Type result = {});
  Value add(const Twine &part, Value a, Value b);
  Value rope(const Twine &part, Value x);
  Value kScale(Value kGamma);

  //--- A model -------------------------------------------------------------
  void chooseSizes();
  func::FuncOp declareStep();
  Value heads(StringRef part, Value x, int64_t count, bool normed, bool rotated, bool bias);
  Value attentionBlock(Value x);
  Value mlpBlock(Value x);
  Value join(Value residual, Value y, Value blockInput);
  Value block(StringRef name, Value hidden);
  void head(Value hidden);

  std::mt19937_64 random;
  OpBuilder builder, symbols;
  const GraphSizes sizes;
  bool regular = false, tied = false, qkNorm = false, qkvBias = false, oBias = false;
  bool selected = false; ///< rows were selected already
  bool kScaled = false, argmax = false;
  Type element, checkpoint;
  int64_t hiddenSize = 0, intermediate = 0, queries = 0, kvHeads = 0, headDim = 0, vocab = 0,
          page = 0, layers = 0;
  double eps = 0;
  std::string scope;
  unsigned counter = 0; ///< makes names unique
  func::FuncOp step;
  Value batch, lastKGamma;
  SmallVector<Value> handles;
  unsigned layer = 0;
  llvm::StringMap<std::pair<RankedTensorType, Attribute>> declared;
  std::vector<std::pair<int64_t, std::string>> gammas; ///< size and symbol, to share
};

Location Generator::at(const Twine &part) {
  return NameLoc::get(builder.getStringAttr(scope + part + "." + Twine(counter++)));
}

RankedTensorType Generator::tokensBy(ArrayRef<int64_t> rest, Type type) {
  SmallVector<int64_t> shape = {ShapedType::kDynamic};
  shape.append(rest.begin(), rest.end());
  return RankedTensorType::get(shape, type ? type : element);
}

Value Generator::fetch(StringRef symbol) {
  return GetWeightOp::create(builder, at("weight"), declared.lookup(symbol).first, symbol);
}

Value Generator::weight(const Twine &part, ArrayRef<int64_t> shape, Type type) {
  const std::string name = (scope + part).str() + std::to_string(counter++);
  auto tensor = RankedTensorType::get(shape, type);
  Attribute source = SourceAttr::get(builder.getContext(), builder.getStringAttr(name), 0, shape[0],
                                     ShardRule::Replicated, 1);
  Attribute init = builder.getArrayAttr(source);
  WeightOp::create(symbols, at("symbol"), name, tensor, init, WeightLayoutAttr(), StringAttr());
  declared[name] = {tensor, init};
  return fetch(name);
}

Value Generator::gamma(const Twine &part, int64_t size) {
  if (wild(25))
    for (const auto &[length, symbol] : gammas)
      if (length == size && chance(50))
        return fetch(symbol);
  Type type = wild(20) ? builder.getF32Type() : checkpoint;
  Value value = weight(part + "_norm", {size}, type);
  gammas.emplace_back(size, value.getDefiningOp<GetWeightOp>().getWeight().str());
  return value;
}

Value Generator::norm(const Twine &part, Value x) {
  Value g = gamma(part, width(x));
  const double e = wild(30) ? pick({1e-6, 1e-5, 1e-2, 0.5}) : eps;
  return RmsNormOp::create(builder, at(part + "_norm"), x.getType(), x, g,
                           builder.getF32FloatAttr(float(e)));
}

Value Generator::linear(const Twine &part, Value x, int64_t columns, bool bias, Type result) {
  Value w = weight(part, {columns, width(x)}, checkpoint);
  Value b = bias ? weight(part + "_bias", {columns}, checkpoint) : Value();
  return LinearOp::create(builder, at(part), tokensBy({columns}, result), x, w, b);
}

Value Generator::add(const Twine &part, Value a, Value b) {
  if (chance(50))
    std::swap(a, b);
  return AddOp::create(builder, at(part), a.getType(), a, b);
}

Value Generator::rope(const Twine &part, Value x) {
  const std::string name = wild(15) ? "rope_other" : "rope";
  if (!declared.count(name)) {
    SmallVector<float> frequencies;
    for (int64_t i = 0; i < headDim / 2; ++i)
      frequencies.push_back(
          std::pow(name == "rope" ? 0.1f : 0.4f, 2.0f * float(i) / float(headDim)));
    auto type = RankedTensorType::get({64, headDim}, builder.getF32Type());
    auto init = RopeTableAttr::get(builder.getContext(), builder.getDenseF32ArrayAttr(frequencies),
                                   llvm::APFloat(name == "rope" ? 1.0f : 1.25f));
    WeightOp::create(symbols, at("symbol"), name, type, init, WeightLayoutAttr(), StringAttr());
    declared[name] = {type, init};
  }
  return RopeOp::create(builder, at(part + "_rope"), x.getType(), x, fetch(name), batch);
}

Value Generator::kScale(Value kGamma) {
  const std::string source = kGamma.getDefiningOp<GetWeightOp>().getWeight().str();
  const std::string name = source + "_scale";
  if (!declared.count(name)) {
    auto type = RankedTensorType::get({1}, builder.getF32Type());
    auto init =
        KScaleAttr::get(builder.getContext(), builder.getStringAttr(source), headDim, /*room=*/1);
    WeightOp::create(symbols, at("symbol"), name, type, init, WeightLayoutAttr(), StringAttr());
    declared[name] = {type, init};
  }
  return fetch(name);
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

Value Generator::heads(StringRef part, Value x, int64_t count, bool normed, bool rotated,
                       bool bias) {
  Value y = linear(part, x, count * headDim, bias);
  if (wild(4))
    y = add(part + "_twice", y, y);
  y = SplitHeadsOp::create(builder, at(part + "_heads"), tokensBy({count, headDim}), y);
  if (normed) {
    y = norm(part, y);
    if (part == "k")
      lastKGamma = y.getDefiningOp<RmsNormOp>().getGamma();
  }
  if (rotated)
    y = rope(part, y);
  return y;
}

Value Generator::attentionBlock(Value x) {
  lastKGamma = {};
  auto bias = [&] { return wild(20) ? chance(50) : qkvBias; };
  auto other = [&] { return wild(6) ? norm("other", x) : x; };
  Value q = heads("q", other(), queries, wild(10) ? chance(50) : qkNorm, !wild(6), bias());
  Value k = heads("k", other(), kvHeads, wild(10) ? chance(50) : qkNorm, !wild(6), bias());
  Value v = heads("v", other(), kvHeads, wild(4), wild(4), bias());
  Value scale = kScaled && lastKGamma ? kScale(lastKGamma) : Value();
  Value readScale = wild(5) ? Value() : scale;
  // A handle that an earlier layer has written is written again: its slots then hold the later K.
  Value &kv = wild(8) && layer > 0 ? handles[random() % layer] : handles[layer];
  kv = KvWriteOp::create(builder, at("kv_write"), kv.getType(), kv, k, v, batch, scale);
  if (wild(5))
    q = add("q_plus_q", q, q);
  auto softmax = builder.getF32FloatAttr(float(1 / std::sqrt(double(headDim))));
  IntegerAttr window =
      wild(30) ? builder.getI32IntegerAttr(1 + int32_t(random() % 40)) : IntegerAttr();
  Value y = AttentionOp::create(builder, at("attention"), q.getType(), q, kv, batch, readScale,
                                softmax, window);
  y = MergeHeadsOp::create(builder, at("heads"), tokensBy({queries * headDim}), y);
  return linear("o", y, hiddenSize, wild(20) ? chance(50) : oBias);
}

Value Generator::mlpBlock(Value x) {
  if (wild(15)) {
    // Gate and up as one linear from the start.
    Value y = linear("gate_up", x, 2 * intermediate, chance(30));
    y = SwigluOp::create(builder, at("swiglu"), tokensBy({intermediate}), y, Value());
    return linear("down", y, hiddenSize, chance(30));
  }
  const bool bothBias = wild(15);
  Value gate = linear("gate", x, intermediate, bothBias || wild(5));
  Value up = linear("up", wild(8) ? norm("up_other", x) : x, intermediate, bothBias || wild(5));
  if (wild(6))
    up = gate;
  if (wild(6))
    gate = add("gate_up_sum", gate, up);
  if (wild(6))
    std::swap(gate, up);
  Value y = SwigluOp::create(builder, at("swiglu"), gate.getType(), gate, up);
  return linear("down", y, hiddenSize, wild(10));
}

/// How a block's result meets the residual stream.
Value Generator::join(Value residual, Value y, Value blockInput) {
  if (regular || chance(50))
    return add("residual", residual, y);
  switch (random() % 9) {
  case 0: // doubled
    return add("doubled", y, y);
  case 1: // the linear has two users
    return add("again", add("residual", residual, y), y);
  case 2: // the residual is defined after the linear
    return add("residual", y, add("late", residual, blockInput));
  case 3: // the residual is the linear's own input
    return add("own", residual, linear("square", residual, hiddenSize, chance(30)));
  case 4: // both summands are linears
    return add("both", y, linear("square", residual, hiddenSize, chance(30)));
  case 5: // no residual
    return y;
  case 6: // the norm of the block as residual: it has one more user
    return add("residual", y, blockInput);
  case 7: // a norm between linear and add
    return add("residual", residual, norm("sandwich", y));
  default: // a late norm of the residual, with another epsilon
    return add("residual", y, norm("late", residual));
  }
}

Value Generator::block(StringRef name, Value hidden) {
  scope = ("layers." + Twine(layer) + "." + name + ".").str();
  Value x = wild(12) ? hidden : norm("in", hidden);
  if (wild(5))
    x = norm("second", x);
  Value y = name == "attn" ? attentionBlock(x) : mlpBlock(x);
  return join(hidden, y, x);
}

//===----------------------------------------------------------------------===//
// The model
//===----------------------------------------------------------------------===//

void Generator::chooseSizes() {
  regular = chance(40);
  Type types[] = {builder.getF32Type(), builder.getBF16Type(), builder.getF16Type()};
  element = types[random() % 3];
  checkpoint = chance(70) ? element : types[random() % 3];
  layers = 1 + int64_t(random() % 3);
  kvHeads = pick<int64_t>({1, 2, 2, 3, 4});
  queries = kvHeads * pick<int64_t>({1, 1, 2, 3, 5});
  headDim = pick<int64_t>({2, 4, 6, 8});
  hiddenSize = pick<int64_t>({3, 4, 8, 12, 17});
  intermediate = pick<int64_t>({1, 4, 6, 10, 13});
  vocab = pick<int64_t>({5, 8, 16, 23});
  page = pick<int64_t>({1, 2, 4});
  if (regular && chance(60)) {
    // Every size divides by two ranks.
    kvHeads = pick<int64_t>({2, 4});
    queries = kvHeads * pick<int64_t>({1, 2, 3});
    intermediate = pick<int64_t>({4, 6, 10});
    vocab = pick<int64_t>({8, 16});
  }
  if (sizes == GraphSizes::Native) {
    headDim = pick<int64_t>({8, 16, 48, 64});
    hiddenSize = pick<int64_t>({8, 17, 33, 64});
    intermediate = pick<int64_t>({7, 16, 40});
    vocab = pick<int64_t>({23, 64, 70});
    page = pick<int64_t>({16, 32});
  }
  tied = chance(50);
  qkNorm = chance(75);
  qkvBias = chance(35);
  oBias = chance(35);
  kScaled = chance(70);
  eps = pick({1e-6, 1e-5, 1e-3});
  argmax = chance(20);
}

func::FuncOp Generator::declareStep() {
  auto ids = tokensBy({}, builder.getI32Type());
  auto layout = chance(50) ? KvLayout::TokenMajor : KvLayout::KPacked;
  auto kv = KvType::get(builder.getContext(), kvHeads, page, headDim, element, layout);
  SmallVector<Type> inputs = {ids, ids, BatchType::get(builder.getContext())};
  inputs.append(layers, kv);
  auto rows = [&](Type type) { return tokensBy({}, type); };
  SmallVector<Type> outputs = {tokensBy({vocab}, builder.getF32Type())};
  if (argmax)
    outputs = {rows(builder.getF32Type()), rows(builder.getI32Type())};
  outputs.append(layers, kv);
  auto func = func::FuncOp::create(at("step"), "step", builder.getFunctionType(inputs, outputs));
  func->setAttr(kEntryAttr, builder.getUnitAttr());
  func->setAttr(kTokensAttr, builder.getDenseI64ArrayAttr({1, 64}));
  if (argmax)
    func->setAttr(kHeadAttr, builder.getStringAttr("argmax"));
  SmallVector<Location> locations(inputs.size(), at("argument"));
  func.getBody().emplaceBlock().addArguments(inputs, locations);
  return func;
}

void Generator::head(Value hidden) {
  scope = "head.";
  const bool normFirst = wild(10);
  if (normFirst)
    hidden = norm("final", hidden);
  Value x = selected ? hidden
                     : SelectRowsOp::create(builder, at("select_rows"), tokensBy({hiddenSize}),
                                            hidden, step.getArgument(1));
  if (!normFirst && !wild(10))
    x = norm("final", x);
  Value w = tied ? fetch("embed_table") : weight("lm_head", {vocab, hiddenSize}, checkpoint);
  Value bias = wild(15) ? weight("lm_head_bias", {vocab}, checkpoint) : Value();
  Value logits =
      LinearOp::create(builder, at("lm_head"), tokensBy({vocab}, builder.getF32Type()), x, w, bias);
  SmallVector<Value> results = {logits};
  if (argmax) {
    auto best = ArgmaxOp::create(builder, at("argmax"), tokensBy({}, builder.getF32Type()),
                                 tokensBy({}, builder.getI32Type()), logits);
    results = {best.getValue(), best.getIndex()};
  }
  results.append(handles);
  func::ReturnOp::create(builder, at("return"), results);
}

GeneratedGraph Generator::run() {
  chooseSizes();
  GeneratedGraph graph;
  graph.module = ModuleOp::create(at("module"));
  step = declareStep();
  graph.module->push_back(step);
  symbols.setInsertionPoint(step);
  builder.setInsertionPointToStart(&step.getBody().front());
  batch = step.getArgument(2);
  llvm::append_range(handles, step.getArguments().drop_front(3));
  auto table = RankedTensorType::get({vocab, hiddenSize}, checkpoint);
  Attribute source = SourceAttr::get(builder.getContext(), builder.getStringAttr("embed_table"), 0,
                                     vocab, ShardRule::Replicated, 1);
  WeightOp::create(symbols, at("symbol"), "embed_table", table, builder.getArrayAttr(source),
                   WeightLayoutAttr(), StringAttr());
  declared["embed_table"] = {table, source};
  Value hidden = EmbeddingOp::create(builder, at("embed"), tokensBy({hiddenSize}),
                                     step.getArgument(0), fetch("embed_table"));
  for (layer = 0; layer < layers; ++layer) {
    hidden = block("attn", hidden);
    if (wild(10) && layer + 1 == layers) {
      // The last feed-forward sees the asked rows only.
      hidden = SelectRowsOp::create(builder, at("early_rows"), tokensBy({hiddenSize}), hidden,
                                    step.getArgument(1));
      selected = true;
    }
    hidden = block("mlp", hidden);
  }
  head(hidden);
  graph.vocab = vocab;
  graph.page = page;
  graph.argmax = argmax;
  graph.regular = regular;
  return graph;
}

} // namespace

GeneratedGraph sinter::generateGraph(MLIRContext &context, uint64_t seed, GraphSizes sizes) {
  context.loadDialect<XfmrDialect, func::FuncDialect>();
  return Generator(context, seed, sizes).run();
}
