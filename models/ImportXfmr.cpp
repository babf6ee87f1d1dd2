//===- ImportXfmr.cpp - a model configuration as an xfmr graph ------------===//
#include "models/ImportXfmr.h"

#include "sinter/Dialect/Xfmr.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "llvm/ADT/StringSet.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace sinter;
using namespace sinter::models;
using namespace sinter::xfmr;

namespace {

Type elementType(MLIRContext *context, DType dtype) {
  switch (dtype) {
  case DType::F32:
    return Float32Type::get(context);
  case DType::BF16:
    return BFloat16Type::get(context);
  case DType::F16:
    return Float16Type::get(context);
  case DType::I32:
    return IntegerType::get(context, 32);
  case DType::E4M3:
    return Float8E4M3FNType::get(context);
  case DType::E5M2:
    return Float8E5M2Type::get(context);
  }
  llvm_unreachable("a DType that does not exist");
}

/// How large K may get in a cache of this type: `room` of its k_scale.
int64_t kRoom(DType cache) { return cache == DType::E4M3 ? 256 : cache == DType::E5M2 ? 32768 : 1; }

class Importer {
public:
  Importer(MLIRContext &context, const ModelConfig &config, const WeightVariants &variants,
           llvm::function_ref<DType(StringRef)> weightDType, const ImportOptions &options)
      : config(config), variants(variants), weightDType(weightDType), options(options),
        builder(&context), symbols(&context), element(elementType(&context, options.activation)),
        eps(builder.getF32FloatAttr(static_cast<float>(config.rmsNormEps))) {}

  OwningOpRef<ModuleOp> run();

private:
  func::FuncOp declareStep();
  DictionaryAttr describeModel();
  void importLayer(int64_t layer);
  void importAttention();
  void importMlp();
  void importHead();

  /// q, k or v of a layer as heads: linear, split, then norm and rotation where they belong.
  Value importHeads(StringRef part, Value x, int64_t heads, bool norm, bool rotate);
  Value linear(StringRef part, Value x, StringRef tensor, int64_t rows, bool bias);
  Value rmsNorm(StringRef part, Value x, StringRef tensor);

  Location at(const Twine &part) { return NameLoc::get(builder.getStringAttr(scope + part)); }
  RankedTensorType tokensBy(ArrayRef<int64_t> rest, Type type = {}) {
    SmallVector<int64_t> shape = {ShapedType::kDynamic};
    shape.append(rest.begin(), rest.end());
    return RankedTensorType::get(shape, type ? type : element);
  }
  /// A parameter that is one checkpoint tensor as it is.
  Value weight(const Twine &part, const Twine &tensor, ArrayRef<int64_t> shape);
  /// Declares the symbol on its first use; symbols stand before the function in order of use.
  Value getWeight(const std::string &name, RankedTensorType type, Attribute init);
  Value ropeTable();
  Value kScale();

  const ModelConfig &config;
  const WeightVariants &variants;
  llvm::function_ref<DType(StringRef)> weightDType;
  const ImportOptions &options;
  OpBuilder builder;
  OpBuilder symbols;
  Type element;
  FloatAttr eps;
  ModuleOp module;
  func::FuncOp step;
  llvm::StringSet<> declared;
  std::string scope;  ///< prefix of names: "layers.7.attn."
  std::string prefix; ///< prefix of checkpoint tensors: "model.layers.7."
  int64_t layer = 0;
  Value hidden;
  Value batch;
  Value rope; ///< fetched once, by the first layer
  SmallVector<Value> handles;
};

Value Importer::getWeight(const std::string &name, RankedTensorType type, Attribute init) {
  if (declared.insert(name).second)
    WeightOp::create(symbols, NameLoc::get(builder.getStringAttr(name)), name, type, init,
                     WeightLayoutAttr(), StringAttr());
  return GetWeightOp::create(builder, NameLoc::get(builder.getStringAttr(name + ".weight")), type,
                             name);
}

Value Importer::weight(const Twine &part, const Twine &tensor, ArrayRef<int64_t> shape) {
  const std::string name = tensor.str();
  Type stored = elementType(builder.getContext(), weightDType(name));
  Attribute source = SourceAttr::get(builder.getContext(), builder.getStringAttr(name), 0, shape[0],
                                     ShardRule::Replicated, 1);
  return getWeight((scope + part).str(), RankedTensorType::get(shape, stored),
                   builder.getArrayAttr(source));
}

Value Importer::ropeTable() {
  if (rope)
    return rope;
  const RopeFrequencies frequencies = ropeInvFreq(config);
  auto type =
      RankedTensorType::get({config.maxPositionEmbeddings, config.headDim}, builder.getF32Type());
  auto init =
      RopeTableAttr::get(builder.getContext(), builder.getDenseF32ArrayAttr(frequencies.invFreq),
                         llvm::APFloat(frequencies.attentionScaling));
  rope = getWeight("rope", type, init);
  return rope;
}

Value Importer::kScale() {
  if (!variants.hasQkNorm || !options.kScale)
    return {};
  auto init = KScaleAttr::get(builder.getContext(),
                              builder.getStringAttr(prefix + "self_attn.k_norm.weight"),
                              config.headDim, kRoom(options.cache));
  return getWeight(scope + "k_scale", RankedTensorType::get({1}, builder.getF32Type()), init);
}

Value Importer::rmsNorm(StringRef part, Value x, StringRef tensor) {
  const int64_t size = cast<RankedTensorType>(x.getType()).getShape().back();
  Value gamma = weight(part, prefix + tensor, {size});
  return RmsNormOp::create(builder, at(part), x.getType(), x, gamma, eps);
}

Value Importer::linear(StringRef part, Value x, StringRef tensor, int64_t rows, bool bias) {
  const int64_t columns = cast<RankedTensorType>(x.getType()).getDimSize(1);
  Value w = weight(part, prefix + tensor + ".weight", {rows, columns});
  Value b = bias ? weight(part + "_bias", prefix + tensor + ".bias", {rows}) : Value();
  return LinearOp::create(builder, at(part), tokensBy({rows}), x, w, b);
}

Value Importer::importHeads(StringRef part, Value x, int64_t heads, bool norm, bool rotate) {
  const int64_t size = config.headDim;
  Value y =
      linear(part, x, ("self_attn." + part + "_proj").str(), heads * size, variants.hasQkvBias);
  y = SplitHeadsOp::create(builder, at(part + "_heads"), tokensBy({heads, size}), y);
  if (norm)
    y = rmsNorm((part + "_norm").str(), y, ("self_attn." + part + "_norm.weight").str());
  if (!rotate)
    return y;
  return RopeOp::create(builder, at(part + "_rope"), y.getType(), y, ropeTable(), batch);
}

void Importer::importAttention() {
  scope = "layers." + std::to_string(layer) + ".attn.";
  Value x = rmsNorm("norm", hidden, "input_layernorm.weight");
  Value q = importHeads("q", x, config.heads, variants.hasQkNorm, true);
  Value k = importHeads("k", x, config.kvHeads, variants.hasQkNorm, true);
  Value v = importHeads("v", x, config.kvHeads, false, false);
  Value scale = kScale();
  Value &kv = handles[layer];
  kv = KvWriteOp::create(builder, at("kv_write"), kv.getType(), kv, k, v, batch, scale);
  auto softmaxScale = builder.getF32FloatAttr(
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.headDim))));
  const int64_t window = config.windows[static_cast<size_t>(layer)];
  Value y = AttentionOp::create(
      builder, at("attention"), q.getType(), q, kv, batch, scale, softmaxScale,
      window ? builder.getI32IntegerAttr(static_cast<int32_t>(window)) : IntegerAttr());
  y = MergeHeadsOp::create(builder, at("heads"), tokensBy({config.heads * config.headDim}), y);
  y = linear("o", y, "self_attn.o_proj", config.hidden, variants.hasOBias);
  hidden = AddOp::create(builder, at("residual"), hidden.getType(), hidden, y);
}

void Importer::importMlp() {
  scope = "layers." + std::to_string(layer) + ".mlp.";
  Value x = rmsNorm("norm", hidden, "post_attention_layernorm.weight");
  Value gate = linear("gate", x, "mlp.gate_proj", config.intermediate, false);
  Value up = linear("up", x, "mlp.up_proj", config.intermediate, false);
  Value y = SwigluOp::create(builder, at("swiglu"), gate.getType(), gate, up);
  y = linear("down", y, "mlp.down_proj", config.hidden, false);
  hidden = AddOp::create(builder, at("residual"), hidden.getType(), hidden, y);
}

void Importer::importHead() {
  scope.clear();
  prefix = "model.";
  Value rows = step.getArgument(1);
  Value x =
      SelectRowsOp::create(builder, at("select_rows"), tokensBy({config.hidden}), hidden, rows);
  x = rmsNorm("norm", x, "norm.weight");
  const SmallVector<int64_t> shape = {config.vocab, config.hidden};
  Value w = config.tieWordEmbeddings ? weight("embed", "model.embed_tokens.weight", shape)
                                     : weight("lm_head", "lm_head.weight", shape);
  Value logits = LinearOp::create(builder, at("lm_head"),
                                  tokensBy({config.vocab}, builder.getF32Type()), x, w, Value());
  SmallVector<Value> results = {logits};
  results.append(handles);
  func::ReturnOp::create(builder, at("return"), results);
}

DictionaryAttr Importer::describeModel() {
  NamedAttrList model;
  model.set("name", builder.getStringAttr(options.name));
  model.set("architecture", builder.getStringAttr(config.architecture));
  const std::pair<StringRef, int64_t> sizes[] = {
      {"hidden", config.hidden},    {"intermediate", config.intermediate},
      {"heads", config.heads},      {"max_position", config.maxPositionEmbeddings},
      {"layers", config.layers},    {"kv_heads", config.kvHeads},
      {"head_dim", config.headDim}, {"vocab", config.vocab}};
  for (auto [key, value] : sizes)
    model.set(key, builder.getI64IntegerAttr(value));
  model.set("eos", builder.getDenseI64ArrayAttr(options.eosIds));
  return model.getDictionary(builder.getContext());
}

func::FuncOp Importer::declareStep() {
  auto ids = tokensBy({}, builder.getI32Type());
  auto kv = KvType::get(builder.getContext(), config.kvHeads, options.pageSize, config.headDim,
                        elementType(builder.getContext(), options.cache), KvLayout::TokenMajor);
  SmallVector<Type> inputs = {ids, ids, BatchType::get(builder.getContext())};
  inputs.append(config.layers, kv);
  SmallVector<Type> outputs = {tokensBy({config.vocab}, builder.getF32Type())};
  outputs.append(config.layers, kv);
  auto func = func::FuncOp::create(at("step"), "step", builder.getFunctionType(inputs, outputs));
  const int64_t most = std::min(options.maxTokensPerStep, config.maxPositionEmbeddings);
  func->setAttr(kEntryAttr, builder.getUnitAttr());
  func->setAttr(kTokensAttr, builder.getDenseI64ArrayAttr({1, most}));
  SmallVector<Location> locations = {at("tokens"), at("rows"), at("batch")};
  for (int64_t i = 0; i < config.layers; ++i)
    locations.push_back(at("kv" + Twine(i)));
  func.getBody().emplaceBlock().addArguments(inputs, locations);
  return func;
}

OwningOpRef<ModuleOp> Importer::run() {
  OwningOpRef<ModuleOp> owned = ModuleOp::create(at("module"));
  module = *owned;
  module->setAttr("xfmr.model", describeModel());
  step = declareStep();
  module.push_back(step);
  symbols.setInsertionPoint(step);
  builder.setInsertionPointToStart(&step.getBody().front());
  batch = step.getArgument(2);
  llvm::append_range(handles, step.getArguments().drop_front(3));
  const SmallVector<int64_t> table = {config.vocab, config.hidden};
  Value embed = weight("embed", "model.embed_tokens.weight", table);
  hidden = EmbeddingOp::create(builder, at("embed"), tokensBy({config.hidden}), step.getArgument(0),
                               embed);
  for (layer = 0; layer < config.layers; ++layer) {
    prefix = "model.layers." + std::to_string(layer) + ".";
    importAttention();
    importMlp();
  }
  importHead();
  return owned;
}

} // namespace

OwningOpRef<ModuleOp> models::importXfmr(MLIRContext &context, const ModelConfig &config,
                                         const WeightVariants &variants,
                                         llvm::function_ref<DType(llvm::StringRef)> weightDType,
                                         const ImportOptions &options) {
  context.loadDialect<XfmrDialect, func::FuncDialect>();
  return Importer(context, config, variants, weightDType, options).run();
}
