//===- Graph.cpp - runs a graph given as text -----------------------------===//
#include "Graph.h"

#include "sinter/Interpreter/Interpreter.h"
#include "sinter/Registration.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;

namespace {

struct Finished {
  std::vector<Tensor> results;
  Caches caches;
};

Result<Finished> finish(const std::string &text, Mode mode, const GraphCall &call) {
  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  std::string error;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    error += diagnostic.str() + "; ";
    return success();
  });
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  if (!module)
    return invalidInput("test graph: " + error);
  auto provider = call.provider ? call.provider : givenWeights(call.weights);
  SINTER_ASSIGN_OR_RETURN(Interpreter interpreter, Interpreter::create(*module, provider, mode));
  SINTER_ASSIGN_OR_RETURN(Caches caches, interpreter.makeCaches("f", call.pages));
  SINTER_ASSIGN_OR_RETURN(std::vector<Tensor> results,
                          interpreter.call("f", call.arguments, call.batch, caches));
  return Finished{std::move(results), std::move(caches)};
}

} // namespace

Result<std::vector<Tensor>> interp::runGraph(const std::string &text, Mode mode,
                                             const GraphCall &call) {
  SINTER_ASSIGN_OR_RETURN(Finished finished, finish(text, mode, call));
  return std::move(finished.results);
}

Result<CacheContents> interp::cacheAfter(const std::string &text, Mode mode,
                                         const GraphCall &call) {
  SINTER_ASSIGN_OR_RETURN(Finished finished, finish(text, mode, call));
  CacheContents contents;
  for (const RankCaches &rank : finished.caches) {
    const PagedCache &cache = rank[0];
    const int64_t slots = cache.pages() * cache.pageSize();
    const int64_t size = slots * cache.heads() * cache.headDim();
    const std::vector<int64_t> shape = {slots, cache.heads(), cache.headDim()};
    contents.k.emplace_back(shape, std::vector<double>(cache.k(0, 0), cache.k(0, 0) + size));
    contents.v.emplace_back(shape, std::vector<double>(cache.v(0, 0), cache.v(0, 0) + size));
  }
  return contents;
}

Batch interp::oneSequence(int64_t tokens, int64_t pageSize, int64_t past) {
  Batch batch;
  batch.cuQ = {0, int32_t(tokens)};
  batch.ctx = {int32_t(past + tokens)};
  batch.tableStride = (past + tokens + pageSize - 1) / pageSize;
  for (int64_t page = 0; page < batch.tableStride; ++page)
    batch.blockTable.push_back(int32_t(page));
  for (int64_t t = 0; t < tokens; ++t) {
    batch.tokens.push_back(0);
    batch.positions.push_back(int32_t(past + t));
    batch.slots.push_back(int32_t(past + t));
  }
  return batch;
}
