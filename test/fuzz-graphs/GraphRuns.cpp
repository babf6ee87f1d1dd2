//===- GraphRuns.cpp - what a generated graph computes --------------------===//
#include "GraphRuns.h"

#include "ArenaSimulation.h"

#include "sinter/Dialect/Xfmr.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

#include <algorithm>
#include <random>

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;
using namespace sinter::xfmr;

namespace {

constexpr int64_t kPages = 24;

const StepSizes kSteps = {{3, 1}, {1, 1}, {0, 4}, {1, 0}};

std::vector<int32_t> randomTokens(std::mt19937_64 &random, int64_t count, int64_t vocab) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(int32_t(random() % uint64_t(vocab)));
  return tokens;
}

bool isArgmax(FunctionOpInterface function) {
  auto head = function->getAttrOfType<StringAttr>(kHeadAttr);
  return head && head == "argmax";
}

/// A static T must be the step's.
bool takes(FunctionOpInterface function, int64_t tokens) {
  const int64_t size = cast<RankedTensorType>(function.getArgumentTypes()[0]).getDimSize(0);
  auto range = function->getAttrOfType<DenseI64ArrayAttr>(kTokensAttr);
  return (ShapedType::isDynamic(size) || size == tokens) &&
         (!range || (range[0] <= tokens && tokens <= range[1]));
}

/// The largest of each row and where, so that logits can be compared with an argmax head.
std::pair<Tensor, Tensor> largest(const Tensor &logits) {
  Tensor value({logits.rows()}), index({logits.rows()});
  for (int64_t r = 0; r < logits.rows(); ++r) {
    const double *row = logits.row(r);
    const double *best = std::max_element(row, row + logits.rowSize());
    value.data[size_t(r)] = *best;
    index.data[size_t(r)] = double(best - row);
  }
  return {value, index};
}

Tensor contents(const double *begin, const PagedCache &cache) {
  const int64_t size = cache.pages() * cache.pageSize() * cache.heads() * cache.headDim();
  return Tensor({size}, std::vector<double>(begin, begin + size));
}

} // namespace

Result<std::vector<Batch>> sinter::makeBatches(const GeneratedGraph &graph, uint64_t seed,
                                               int64_t pages, const StepSizes &steps) {
  std::mt19937_64 random(seed ^ 0x5eed);
  PageLayout layout(graph.page, pages, seed + 1);
  const size_t sequences[] = {layout.addSequence(), layout.addSequence()};
  std::vector<Batch> batches;
  for (const auto &[first, second] : steps) {
    std::vector<SequenceTokens> parts;
    if (first)
      parts.push_back({sequences[0], randomTokens(random, first, graph.vocab)});
    if (second)
      parts.push_back({sequences[1], randomTokens(random, second, graph.vocab)});
    SINTER_ASSIGN_OR_RETURN(Batch batch,
                            layout.step(parts, random() % 2 ? RowChoice::All : RowChoice::Last));
    // Rows need not be in the order of the tokens.
    std::reverse(batch.rows.begin(), batch.rows.end());
    batches.push_back(std::move(batch));
  }
  return batches;
}

Result<std::string> sinter::chooseEntry(ModuleOp module, int64_t tokens, bool argmax) {
  for (auto function : module.getOps<FunctionOpInterface>())
    if (function->hasAttr(kEntryAttr) && isArgmax(function) == argmax && takes(function, tokens))
      return function.getName().str();
  return notFound("no entry takes " + std::to_string(tokens) + " tokens");
}

Result<RunRecord> sinter::runSteps(ModuleOp module, const GeneratedGraph &graph, uint64_t seed,
                                   const RunOptions &options) {
  SINTER_ASSIGN_OR_RETURN(const std::vector<Batch> batches,
                          makeBatches(graph, seed, kPages, kSteps));
  SINTER_ASSIGN_OR_RETURN(Interpreter interpreter,
                          Interpreter::create(module, randomWeights(seed), options.mode));
  ArenaSimulation arena;
  if (options.arena)
    interpreter.setObserver(
        [&](Operation *op, unsigned, ArrayRef<Tensor *> results) { arena.observe(op, results); });
  RunRecord record;
  Caches caches;
  for (const Batch &batch : batches) {
    SINTER_ASSIGN_OR_RETURN(const std::string entry,
                            chooseEntry(module, batch.numTokens(), options.argmax));
    if (caches.empty()) {
      SINTER_ASSIGN_OR_RETURN(caches, interpreter.makeCaches(entry, kPages));
    }
    SINTER_ASSIGN_OR_RETURN(std::vector<Tensor> results, interpreter.run(entry, batch, caches));
    arena.reset();
    if (!arena.error().empty())
      return internalError(arena.error());
    record.logits.push_back(std::move(results[0]));
    if (options.argmax)
      record.index.push_back(std::move(results[1]));
  }
  if (caches.size() == 1)
    for (const PagedCache &cache : caches[0]) {
      record.caches.push_back(contents(cache.k(0, 0), cache));
      record.caches.push_back(contents(cache.v(0, 0), cache));
    }
  return record;
}

std::string sinter::compareRuns(const RunRecord &got, const RunRecord &want, double bound) {
  if (got.logits.size() != want.logits.size())
    return "another number of steps";
  for (size_t i = 0; i < got.logits.size(); ++i) {
    Tensor value = want.logits[i];
    const std::string where = "step " + std::to_string(i);
    if (!got.index.empty()) {
      Tensor index;
      if (want.index.empty())
        std::tie(value, index) = largest(want.logits[i]);
      else
        index = want.index[i];
      if (relativeL2(got.index[i], index) != 0)
        return where + ": another argmax";
    }
    const double error = relativeL2(got.logits[i], value);
    if (!(error <= bound))
      return where + ": relative L2 " + std::to_string(error);
  }
  if (got.caches.size() != want.caches.size())
    return "";
  for (size_t i = 0; i < got.caches.size(); ++i) {
    const double error = relativeL2(got.caches[i], want.caches[i]);
    if (!(error <= bound))
      return "cache " + std::to_string(i / 2) + (i % 2 ? " V" : " K") + ": relative L2 " +
             std::to_string(error);
  }
  return "";
}
