//===- Interpreter.cpp - the reference meaning of xfmr graphs -------------===//
#include "sinter/Interpreter/Interpreter.h"

#include "Execution.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;
using namespace sinter::xfmr;

std::string interp::opName(Operation *op) {
  if (auto name = op->getLoc()->findInstanceOf<NameLoc>())
    return name.getName().str();
  return op->getName().getStringRef().str();
}

/// The rank count that an op or a weight speaks of, 1 for none.
static int64_t ranksNamedBy(Operation *op) {
  if (isa<AllReduceOp, AllGatherOp, AllReduceAddRmsNormOp>(op))
    return op->getAttrOfType<IntegerAttr>("ranks").getInt();
  if (auto embedding = dyn_cast<EmbeddingOp>(op))
    return embedding.getVocabParallel();
  int64_t ranks = 1;
  if (auto weight = dyn_cast<WeightOp>(op))
    if (auto sources = dyn_cast<ArrayAttr>(weight.getInit()))
      for (auto source : sources.getAsRange<SourceAttr>())
        ranks = std::max(ranks, source.getRanks());
  return ranks;
}

Result<Interpreter> Interpreter::create(ModuleOp module, std::shared_ptr<WeightProvider> weights,
                                        Mode mode) {
  Interpreter interpreter(module, std::move(weights), mode);
  Status status;
  module.walk([&](Operation *op) {
    const int64_t ranks = ranksNamedBy(op);
    if (ranks < 1 || ranks > 64)
      status = invalidInput(opName(op) + ": " + std::to_string(ranks) + " ranks");
    else if (ranks != 1 && interpreter.ranks_ != 1 && ranks != int64_t(interpreter.ranks_))
      status = invalidInput(opName(op) + ": speaks of " + std::to_string(ranks) +
                            " ranks, an op before it of " + std::to_string(interpreter.ranks_));
    if (!status.isOk())
      return WalkResult::interrupt();
    if (ranks != 1)
      interpreter.ranks_ = unsigned(ranks);
    return WalkResult::advance();
  });
  if (!status.isOk())
    return status;
  return interpreter;
}

static Result<FunctionOpInterface> lookup(ModuleOp module, StringRef name) {
  auto function = dyn_cast_or_null<FunctionOpInterface>(SymbolTable::lookupSymbolIn(module, name));
  if (!function || function.isExternal())
    return notFound("the module has no function @" + name.str() + " with a body");
  if (!function.getFunctionBody().hasOneBlock())
    return unsupported("function @" + name.str() + " has more than one block");
  return function;
}

Result<Tensor> Interpreter::weight(StringRef name, unsigned rank) const {
  auto op = dyn_cast_or_null<WeightOp>(SymbolTable::lookupSymbolIn(module_, name));
  if (!op)
    return notFound("the module has no weight @" + name.str());
  return materialiseWeight(op, *weights_, rank, ranks_, mode_);
}

static std::vector<KvType> handlesOf(FunctionOpInterface function) {
  std::vector<KvType> handles;
  for (Type type : function.getArgumentTypes())
    if (auto kv = dyn_cast<KvType>(type))
      handles.push_back(kv);
  return handles;
}

Result<Caches> Interpreter::makeCaches(StringRef name, int64_t pages) const {
  SINTER_ASSIGN_OR_RETURN(FunctionOpInterface function, lookup(module_, name));
  RankCaches caches;
  for (KvType kv : handlesOf(function))
    caches.emplace_back(pages, kv.getPage(), kv.getHeads(), kv.getHeadDim());
  return Caches(ranks_, caches);
}

/// The caches must be those of the handles, and the batch must stay inside them.
static Status checkCaches(const std::vector<KvType> &handles, const Caches &caches, unsigned ranks,
                          const Batch &batch) {
  if (caches.size() != ranks)
    return invalidArgument("caches of " + std::to_string(caches.size()) + " ranks for " +
                           std::to_string(ranks));
  for (const RankCaches &rank : caches) {
    if (rank.size() != handles.size())
      return invalidArgument(std::to_string(rank.size()) + " caches for " +
                             std::to_string(handles.size()) + " handles");
    for (size_t i = 0; i < handles.size(); ++i) {
      const PagedCache &cache = rank[i];
      if (cache.heads() != handles[i].getHeads() || cache.headDim() != handles[i].getHeadDim() ||
          cache.pageSize() != handles[i].getPage())
        return invalidArgument("cache " + std::to_string(i) + " has another shape than its handle");
      SINTER_RETURN_IF_ERROR(validateBatch(batch, cache.pages(), cache.pageSize()));
    }
  }
  return Status::ok();
}

Result<std::vector<Tensor>> Interpreter::call(StringRef name, const std::vector<Tensor> &arguments,
                                              const Batch &batch, Caches &caches) {
  SINTER_ASSIGN_OR_RETURN(FunctionOpInterface function, lookup(module_, name));
  SINTER_RETURN_IF_ERROR(checkCaches(handlesOf(function), caches, ranks_, batch));
  return Execution(*this, batch, caches).run(function, arguments);
}

Result<std::vector<Tensor>> Interpreter::run(StringRef entry, const Batch &batch, Caches &caches) {
  return call(entry, {Tensor::ofInts(batch.tokens), Tensor::ofInts(batch.rows)}, batch, caches);
}
