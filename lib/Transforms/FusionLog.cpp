//===- FusionLog.cpp - what a fusion did and why not ----------------------===//
//
// fused + missed = candidates.
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/FusionLog.h"

#include "sinter/Transforms/ActivationBytes.h"
#include "sinter/Transforms/FusionConditions.h"
#include "sinter/Transforms/OpNames.h"
#include "sinter/Transforms/TokenRange.h"

#include <mutex>

using namespace mlir;
using namespace sinter::xfmr;

//===----------------------------------------------------------------------===//
// Candidates
//===----------------------------------------------------------------------===//

std::map<std::string, int64_t> sinter::xfmr::countFusionCandidates(FunctionOpInterface func) {
  std::map<std::string, int64_t> n;
  func->walk([&](Operation *op) {
    if (isa<KvWriteOp>(op))
      ++n["fuse-qk-norm-rope-write"];
    if (auto add = dyn_cast<AddOp>(op); add && isLinearAddCandidate(add))
      ++n["fuse-linear-add"];
    if (auto scaled = dyn_cast<RowScaleOpInterface>(op); scaled && normBefore(scaled))
      ++n["fuse-rms-norm-linear"];
    if (auto norm = dyn_cast<RmsNormOp>(op); norm && addBefore(norm))
      ++n["fuse-add-rms-norm"];
    if (auto argmax = dyn_cast<ArgmaxOp>(op); argmax && isLinearArgmaxCandidate(argmax))
      ++n["fuse-linear-argmax"];
  });
  return n;
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

static DictionaryAttr dictionary(Operation *op, StringRef name) {
  auto dict = op->getAttrOfType<DictionaryAttr>(name);
  return dict ? dict : DictionaryAttr::get(op->getContext());
}

static void setEntry(Operation *op, StringRef attr, StringRef key, Attribute value) {
  NamedAttrList entries(dictionary(op, attr));
  entries.set(key, value);
  op->setAttr(attr, entries.getDictionary(op->getContext()));
}

static int64_t integer(DictionaryAttr dict, StringRef key) {
  auto value = dict ? dict.getAs<IntegerAttr>(key) : IntegerAttr();
  return value ? value.getInt() : 0;
}

std::map<std::string, int64_t> sinter::xfmr::missedReasons(DictionaryAttr record) {
  std::map<std::string, int64_t> reasons;
  auto missed = record.getAs<DictionaryAttr>("missed");
  if (!missed)
    return reasons;
  for (NamedAttribute reason : missed)
    if (auto n = dyn_cast<IntegerAttr>(reason.getValue()))
      reasons[reason.getName().str()] = n.getInt();
  return reasons;
}

static DictionaryAttr record(Builder b, int64_t candidates, int64_t fused, int64_t saved,
                             const std::map<std::string, int64_t> &reasons, StringRef note) {
  NamedAttrList missed, all;
  for (const auto &[reason, n] : reasons)
    missed.set(reason, b.getI64IntegerAttr(n));
  all.set("candidates", b.getI64IntegerAttr(candidates));
  all.set("fused", b.getI64IntegerAttr(fused));
  if (saved > 0)
    all.set("saved", b.getI64IntegerAttr(saved));
  all.set("missed", missed.getDictionary(b.getContext()));
  if (!note.empty())
    all.set("note", b.getStringAttr(note));
  return all.getDictionary(b.getContext());
}

static void recordBaseline(FunctionOpInterface func, StringRef which) {
  if (dictionary(func, kBaselineAttr).contains(which))
    return;
  LayerTotals t = countLayers(func, /*splitIsFree=*/true);
  if (t.layers == 0)
    return;
  setEntry(func, kBaselineAttr, which,
           DenseI64ArrayAttr::get(func->getContext(), {t.layers, t.kernels, t.bytesPerToken}));
}

constexpr StringLiteral kNotRun = "the pass did not run";

//===----------------------------------------------------------------------===//
// FusionLog
//===----------------------------------------------------------------------===//

FusionLog::FusionLog(FunctionOpInterface func, StringRef pass) : func(func), pass(pass) {
  Builder b(func->getContext());
  // Any fusion's record says that the candidates are fixed already.
  bool fixed = llvm::any_of(dictionary(func, kFusionAttr), [](NamedAttribute entry) {
    return entry.getName().strref().starts_with("fuse-");
  });
  if (!fixed) {
    recordBaseline(func, "unmerged");
    recordBaseline(func, "merged");
    for (const auto &[name, n] : countFusionCandidates(func))
      setEntry(func, kFusionAttr, name, record(b, n, 0, 0, {{kNotRun.str(), n}}, ""));
  }
  bytesAtStart = activationBytesPerToken(func);
  readRecord();
}

FusionLog::FusionLog(FunctionOpInterface func, StringRef pass, int64_t found)
    : func(func), pass(pass), candidates(found) {
  if (found > 0)
    recordBaseline(func, "unmerged");
  readRecord();
}

void FusionLog::readRecord() {
  auto old = dictionary(func, kFusionAttr).getAs<DictionaryAttr>(pass);
  if (!old)
    return;
  candidates = integer(old, "candidates");
  fusedBefore = integer(old, "fused");
  savedBefore = integer(old, "saved");
  reasonsBefore = missedReasons(old);
  reasonsBefore.erase(kNotRun.str());
}

/// The engine keeps one list for all threads and does not guard it.
static std::mutex &remarkMutex() {
  static std::mutex mutex;
  return mutex;
}

/// The engine keeps references to the names until the context dies: they must live in it.
remark::RemarkOpts FusionLog::remarkOptions() {
  auto name = StringAttr::get(func->getContext(), pass);
  return remark::RemarkOpts::name(name.getValue()).category("fusion").function(func.getName());
}

void FusionLog::fused(Operation *op) {
  ++fusedNow;
  if (!op->getContext()->getRemarkEngine())
    return;
  std::lock_guard<std::mutex> lock(remarkMutex());
  remark::passed(op->getLoc(), remarkOptions())
      << remark::add("{0}", op->getName().getStringRef().str());
}

void FusionLog::missed(Operation *op, StringRef reason) {
  ++reasons[reason.str()];
  if (!op->getContext()->getRemarkEngine())
    return;
  std::lock_guard<std::mutex> lock(remarkMutex());
  remark::missed(op->getLoc(), remarkOptions()) << remark::reason("{0}", reason.str());
}

void FusionLog::finish(StringRef taken) {
  int64_t stayed = 0;
  for (const auto &[reason, n] : reasons)
    stayed += n;
  if (candidates + fusedNow + stayed == 0)
    return;
  int64_t vanished = candidates - fusedBefore - fusedNow - stayed;
  // A second run keeps the reason that was given while the candidate was still there.
  for (const auto &[reason, n] : reasonsBefore) {
    int64_t kept = std::min(vanished, n - reasons[reason]);
    if (kept > 0) {
      reasons[reason] += kept;
      vanished -= kept;
    }
    if (reasons[reason] == 0)
      reasons.erase(reason);
  }
  if (vanished > 0)
    reasons[taken.str()] += vanished;
  // An edit between two runs may add candidates; the sum must still hold.
  if (vanished < 0)
    candidates -= vanished;
  // Merges save launches; what they save in bytes shows in the merged baseline.
  int64_t saved = savedBefore;
  if (bytesAtStart > 0)
    saved += bytesAtStart - activationBytesPerToken(func);
  setEntry(func, kFusionAttr, pass,
           record(Builder(func->getContext()), candidates, fusedBefore + fusedNow, saved, reasons,
                  noteText));
}

//===----------------------------------------------------------------------===//
// Cover
//===----------------------------------------------------------------------===//

FailureOr<char> sinter::xfmr::coverOf(FunctionOpInterface func, StringRef option, FusionLog &log) {
  if (!option.empty()) {
    if (option != "a" && option != "b" && option != "c")
      return func->emitError() << "cover must be a, b or c, not '" << option << "'";
    return option[0];
  }
  if (auto cover = func->getAttrOfType<StringAttr>(kCoverAttr))
    return cover.getValue()[0];
  if (!TokenRange::of(func))
    log.note("no token range: the cost model was not consulted");
  return func->walk([](AllReduceOp) { return WalkResult::interrupt(); }).wasInterrupted() ? 'b'
                                                                                          : 'a';
}
