//===- ModelFacts.cpp - what a planned module says of its model -----------===//
#include "ModelFacts.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::xfmr;

namespace {

/// All entries share one cache: as many handles of one type in each.
LogicalResult readCache(ModuleOp module, ModelFacts &facts) {
  for (func::FuncOp func : module.getOps<func::FuncOp>()) {
    if (!func->hasAttr(kEntryAttr))
      continue;
    int64_t layers = 0;
    for (Type type : func.getArgumentTypes())
      if (auto kv = dyn_cast<KvType>(type)) {
        if (facts.kv && facts.kv != kv)
          return func.emitOpError()
                 << "has a cache of type " << kv << " beside one of " << facts.kv;
        facts.kv = kv;
        ++layers;
      }
    if (facts.layers && layers != facts.layers)
      return func.emitOpError() << "has " << layers << " caches, another entry has "
                                << facts.layers;
    facts.layers = layers;
  }
  if (facts.layers == 0)
    return module.emitError("the graph has no entry function with a cache (xfmr.entry)");
  facts.kvHeads = facts.kv.getHeads();
  facts.headDim = facts.kv.getHeadDim();
  return success();
}

LogicalResult readWeights(ModuleOp module, ModelFacts &facts) {
  for (WeightOp weight : module.getOps<WeightOp>()) {
    auto type = cast<RankedTensorType>(weight.getType());
    if (isa<RopeTableAttr>(weight.getInit()))
      facts.maxPosition = type.getDimSize(0);
    auto sources = dyn_cast<ArrayAttr>(weight.getInit());
    if (!sources)
      continue;
    for (auto source : sources.getAsRange<SourceAttr>()) {
      TensorFacts &tensor = facts.tensors[source.getTensor()];
      tensor = {std::max<int64_t>(tensor.rows, source.getEnd()), type.getElementType()};
    }
  }
  for (WeightOp weight : module.getOps<WeightOp>()) {
    auto scale = dyn_cast<KScaleAttr>(weight.getInit());
    if (scale && !facts.tensors.contains(scale.getTensor()))
      return weight.emitOpError() << "is made of " << scale.getTensor()
                                  << ", which no weight of the graph names as its source";
    facts.kScale |= static_cast<bool>(scale);
  }
  return success();
}

void measure(ModuleOp module, ModelFacts &facts) {
  bool unlimited = false;
  module.walk([&](Operation *op) {
    if (auto embedding = dyn_cast<EmbeddingOp>(op)) {
      facts.vocab = embedding.getTable().getType().getDimSize(0);
      facts.hidden = embedding.getTable().getType().getDimSize(1);
      facts.activation = embedding.getType().getElementType();
    } else if (auto attention = dyn_cast<AttentionOp>(op)) {
      facts.heads = attention.getQ().getType().getDimSize(1);
      facts.window = std::max(facts.window, attention.windowOrZero());
      unlimited |= !attention.getWindow();
    } else if (auto swiglu = dyn_cast<SwigluOp>(op)) {
      facts.intermediate = swiglu.getType().getDimSize(1);
    } else if (auto swiglu = dyn_cast<RmsNormSwigluOp>(op)) {
      facts.intermediate = swiglu.getType().getDimSize(1);
    }
  });
  if (unlimited)
    facts.window = 0;
}

/// What `xfmr.model` says wins over what was measured.
LogicalResult readModel(ModuleOp module, ModelFacts &facts) {
  auto model = module->getAttrOfType<DictionaryAttr>("xfmr.model");
  if (!model)
    model = DictionaryAttr::get(module.getContext());
  if (auto name = model.getAs<StringAttr>("name"))
    facts.name = name.str();
  if (auto architecture = model.getAs<StringAttr>("architecture"))
    facts.architecture = architecture.str();
  if (auto eos = model.getAs<DenseI64ArrayAttr>("eos"))
    facts.eos.assign(eos.asArrayRef().begin(), eos.asArrayRef().end());
  const std::pair<StringRef, int64_t *> sizes[] = {{"hidden", &facts.hidden},
                                                   {"intermediate", &facts.intermediate},
                                                   {"heads", &facts.heads},
                                                   {"max_position", &facts.maxPosition},
                                                   {"vocab", &facts.vocab}};
  for (auto [key, value] : sizes) {
    if (auto attr = model.getAs<IntegerAttr>(key))
      *value = attr.getInt();
    if (*value < 1)
      return module.emitError() << "the graph does not tell '" << key
                                << "': give it in the module's xfmr.model";
  }
  return success();
}

} // namespace

FailureOr<ModelFacts> ModelFacts::of(ModuleOp module, StringRef name) {
  ModelFacts facts;
  facts.name = name.str();
  facts.architecture = "graph";
  if (failed(readCache(module, facts)) || failed(readWeights(module, facts)))
    return failure();
  measure(module, facts);
  if (failed(readModel(module, facts)))
    return failure();
  if (!facts.activation) // a graph without an embedding
    facts.activation = facts.kv.getElementType();
  return facts;
}

std::vector<std::pair<StringRef, int64_t>> ModelFacts::sizes() const {
  return {{"layers", layers}, {"hidden", hidden},           {"intermediate", intermediate},
          {"heads", heads},   {"kv_heads", kvHeads},        {"head_dim", headDim},
          {"vocab", vocab},   {"max_position", maxPosition}};
}
