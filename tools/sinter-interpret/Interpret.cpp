//===- Interpret.cpp - runs a graph over a prompt -------------------------===//
#include "Interpret.h"

#include "models/Checkpoint.h"
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Interpreter/Interpreter.h"
#include "sinter/Registration.h"
#include "sinter/Support/Npy.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/SourceMgr.h"

#include <numeric>

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;
using namespace sinter::xfmr;

namespace {

Result<OwningOpRef<ModuleOp>> parseGraph(MLIRContext &context, const InterpretRequest &request) {
  std::string first;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error && first.empty()) {
      llvm::raw_string_ostream stream(first);
      if (auto at = diagnostic.getLocation()->findInstanceOf<FileLineColLoc>())
        stream << ":" << at.getLine() << ":" << at.getColumn();
      stream << ": " << diagnostic;
    }
    return success();
  });
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(request.graphText, request.graphFile),
                             llvm::SMLoc());
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
  if (module)
    return module;
  std::replace(first.begin(), first.end(), '\n', ' ');
  return invalidInput(request.graphFile + (first.empty() ? ": not a graph" : first));
}

struct Entry {
  std::string name;
  int64_t low = 1, high = std::numeric_limits<int64_t>::max();
  int64_t page = 1;
  bool argmax = false;
};

Entry describe(FunctionOpInterface function) {
  Entry entry;
  entry.name = function.getName().str();
  if (auto range = function->getAttrOfType<DenseI64ArrayAttr>(kTokensAttr))
    std::tie(entry.low, entry.high) = std::pair(range[0], range[1]);
  if (auto head = function->getAttrOfType<StringAttr>(kHeadAttr))
    entry.argmax = head == "argmax";
  for (Type type : function.getArgumentTypes())
    if (auto kv = dyn_cast<KvType>(type))
      entry.page = kv.getPage();
  return entry;
}

Result<std::vector<Entry>> findEntries(ModuleOp module, const InterpretRequest &request) {
  std::vector<Entry> entries;
  std::string names;
  for (auto function : module.getOps<FunctionOpInterface>()) {
    if (!function->hasAttr(kEntryAttr))
      continue;
    names += (names.empty() ? "" : ", ") + function.getName().str();
    if (!request.entry.empty() && function.getName() != request.entry)
      continue;
    Entry entry = describe(function);
    if (entry.argmax && !request.logits.empty() && request.entry.empty())
      continue;
    entries.push_back(entry);
  }
  if (names.empty())
    return invalidInput(request.graphFile + ": no function has 'xfmr.entry'");
  if (entries.empty() && request.entry.empty())
    return invalidInput(request.graphFile + ": no entry returns logits");
  if (entries.empty())
    return notFound(request.graphFile + ": no entry @" + request.entry + ", there are " + names);
  if (entries[0].argmax && !request.logits.empty())
    return invalidArgument("--logits: entry @" + entries[0].name + " returns an argmax only");
  return entries;
}

/// The first entry that takes `count` tokens, with `count` lowered until there is one.
const Entry *choose(const std::vector<Entry> &entries, int64_t &count) {
  for (; count > 0; --count)
    for (const Entry &entry : entries)
      if (entry.low <= count && count <= entry.high)
        return &entry;
  return nullptr;
}

/// Writes results as <step>.<op number>.<op name>[.<result>].npy.
class Dump {
public:
  explicit Dump(std::string folder) : folder_(std::move(folder)) {}

  Status open() {
    if (std::error_code error = llvm::sys::fs::create_directories(folder_))
      return invalidArgument(folder_ + ": " + error.message());
    return Status::ok();
  }
  void beginStep() {
    ++step_;
    op_ = 0;
  }
  void observe(Operation *op, unsigned rank, ArrayRef<Tensor *> results) {
    if (rank != 0)
      return;
    ++op_;
    for (size_t i = 0; i < results.size() && status.isOk(); ++i)
      status = write(op, results, i);
  }

  Status status;

private:
  Status write(Operation *op, ArrayRef<Tensor *> results, size_t i) {
    std::string name = opName(op), path;
    std::replace(name.begin(), name.end(), '/', '_');
    llvm::raw_string_ostream(path) << folder_ << "/" << step_ << "." << op_ << "." << name
                                   << (i ? "." + std::to_string(i) : "") << ".npy";
    const Tensor &tensor = *results[i];
    const auto columns = size_t(tensor.rowSize());
    const std::vector<float> values(tensor.data.begin(), tensor.data.end());
    SINTER_ASSIGN_OR_RETURN(NpyWriter writer, NpyWriter::create(path, columns));
    SINTER_RETURN_IF_ERROR(writer.append(values.data(), size_t(tensor.rows())));
    return writer.close();
  }

  std::string folder_;
  int step_ = 0, op_ = 0;
};

std::string report(const Entry &entry, const InterpretRequest &request,
                   const std::vector<Tensor> &results) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << request.tokens.size() << " tokens, " << (request.declared ? "declared" : "exact")
         << ", entry @" << entry.name << "\n";
  const Tensor &first = results[0];
  const int64_t row = first.rows() - 1;
  stream << "   token  logit\n";
  if (results.size() == 2) {
    stream << llvm::format("%8d  %.9g\n", int(results[1].data[size_t(row)]),
                           first.data[size_t(row)]);
    return text;
  }
  std::vector<int64_t> order(size_t(first.dim(1)));
  std::iota(order.begin(), order.end(), 0);
  const double *logits = first.row(row);
  const size_t shown = std::min<size_t>(5, order.size());
  std::partial_sort(
      order.begin(), order.begin() + long(shown), order.end(),
      [&](int64_t a, int64_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  for (size_t i = 0; i < shown; ++i)
    stream << llvm::format("%8d  %.9g\n", int(order[i]), logits[order[i]]);
  return text;
}

/// The steps of one prompt.
class PromptRun {
public:
  PromptRun(const InterpretRequest &request, Interpreter interpreter, std::vector<Entry> entries)
      : request_(request), interpreter_(std::move(interpreter)), entries_(std::move(entries)),
        dump_(request.dump) {}

  Result<std::string> run() {
    const auto total = int64_t(request_.tokens.size());
    const int64_t page = entries_[0].page, pages = (total + page - 1) / page;
    PageLayout layout(page, pages, request_.pageOrder);
    layout.addSequence();
    SINTER_ASSIGN_OR_RETURN(Caches caches, interpreter_.makeCaches(entries_[0].name, pages));
    if (!request_.dump.empty()) {
      SINTER_RETURN_IF_ERROR(dump_.open());
      interpreter_.setObserver([this](Operation *op, unsigned rank, ArrayRef<Tensor *> results) {
        dump_.observe(op, rank, results);
      });
    }
    std::string text;
    for (int64_t done = 0; done < total;) {
      int64_t count = std::min(total - done, request_.chunk ? request_.chunk : total);
      const Entry *entry = choose(entries_, count);
      if (!entry)
        return invalidArgument("no entry takes a step of at most " +
                               std::to_string(request_.chunk ? request_.chunk : total) + " tokens");
      SINTER_ASSIGN_OR_RETURN(const Batch batch, nextStep(layout, done, count));
      dump_.beginStep();
      SINTER_ASSIGN_OR_RETURN(const std::vector<Tensor> results,
                              interpreter_.run(entry->name, batch, caches));
      SINTER_RETURN_IF_ERROR(dump_.status);
      SINTER_RETURN_IF_ERROR(writeLogits(results[0]));
      done += count;
      text = report(*entry, request_, results);
    }
    if (logits_)
      SINTER_RETURN_IF_ERROR(logits_->close());
    return text;
  }

private:
  Result<Batch> nextStep(PageLayout &layout, int64_t done, int64_t count) {
    const auto begin = request_.tokens.begin() + done;
    return layout.step({{0, std::vector<int32_t>(begin, begin + count)}},
                       request_.logits.empty() ? RowChoice::Last : RowChoice::All);
  }

  Status writeLogits(const Tensor &logits) {
    if (request_.logits.empty())
      return Status::ok();
    if (!logits_) {
      SINTER_ASSIGN_OR_RETURN(NpyWriter writer,
                              NpyWriter::create(request_.logits, size_t(logits.dim(1))));
      logits_ = std::move(writer);
    }
    const std::vector<float> values(logits.data.begin(), logits.data.end());
    return logits_->append(values.data(), size_t(logits.rows()));
  }

  const InterpretRequest &request_;
  Interpreter interpreter_;
  std::vector<Entry> entries_;
  Dump dump_;
  std::optional<NpyWriter> logits_;
};

Result<std::shared_ptr<WeightProvider>> openWeights(const std::string &weights) {
  StringRef seedText = weights;
  if (!seedText.consume_front("random:")) {
    SINTER_ASSIGN_OR_RETURN(models::Checkpoint opened, models::openCheckpoint(weights));
    const auto checkpoint = std::make_shared<models::Checkpoint>(std::move(opened));
    return fileWeights({checkpoint, &checkpoint->files()});
  }
  uint64_t seed = 0;
  if (seedText.getAsInteger(10, seed))
    return invalidArgument("--weights " + weights + ": the seed must be an integer");
  return randomWeights(seed);
}

} // namespace

Result<std::string> sinter::interpret(const InterpretRequest &request) {
  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  SINTER_ASSIGN_OR_RETURN(OwningOpRef<ModuleOp> module, parseGraph(context, request));
  SINTER_ASSIGN_OR_RETURN(std::vector<Entry> entries, findEntries(*module, request));
  SINTER_ASSIGN_OR_RETURN(auto weights, openWeights(request.weights));
  SINTER_ASSIGN_OR_RETURN(
      Interpreter interpreter,
      Interpreter::create(*module, weights, request.declared ? Mode::Declared : Mode::Exact));
  return PromptRun(request, std::move(interpreter), std::move(entries)).run();
}
