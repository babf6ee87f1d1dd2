//===- ExplainFusion.cpp - what --explain-fusion prints -------------------===//
//
// before -> after: before is the imported graph, after is the function as it stands.
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/ActivationBytes.h"
#include "sinter/Transforms/FusionLog.h"
#include "sinter/Transforms/FusionReport.h"
#include "sinter/Transforms/Passes.h"
#include "sinter/Transforms/TokenRange.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/Format.h"

namespace sinter::xfmr {
#define GEN_PASS_DEF_EXPLAINFUSION
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

struct Row {
  StringLiteral pass;
  StringLiteral what;
};
/// In pipeline order.
constexpr Row kRows[] = {
    {"merge-qkv", "3 linears -> 1"},
    {"merge-gate-up", "2 linears -> 1"},
    {"fuse-qk-norm-rope-write", "split, norms, ropes, cache write -> 1 kernel"},
    {"fuse-linear-add", "linear, add -> 1 kernel"},
    {"fuse-rms-norm-linear", "norm, linear (and swiglu) -> 1 kernel"},
    {"fuse-add-rms-norm", "(all-reduce,) add, norm -> 1 kernel"},
    {"fuse-linear-argmax", "linear, argmax -> 1 kernel, logits not stored"},
};

int64_t number(DictionaryAttr record, StringRef key) {
  auto value = record.getAs<IntegerAttr>(key);
  return value ? value.getInt() : 0;
}

std::string perLayer(int64_t total, int64_t layers) {
  std::string text;
  llvm::raw_string_ostream os(text);
  if (total % layers == 0)
    os << total / layers;
  else
    os << llvm::format("%.1f", double(total) / layers);
  return text;
}

std::string kilobytes(double bytes) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%.1f KB", bytes / 1000);
  return text;
}

LayerTotals baseline(FunctionOpInterface func, StringRef which) {
  auto dict = func->getAttrOfType<DictionaryAttr>(kBaselineAttr);
  auto numbers = dict ? dict.getAs<DenseI64ArrayAttr>(which) : DenseI64ArrayAttr();
  if (!numbers || numbers.size() != 3)
    return {};
  return {numbers[0], numbers[1], numbers[2]};
}

void printTitle(FunctionOpInterface func, llvm::raw_ostream &os) {
  os << func.getName();
  std::optional<TokenRange> range = TokenRange::of(func);
  if (!range)
    os << ", any number of tokens";
  else if (range->isStatic())
    os << ", " << range->lo << (range->lo == 1 ? " token" : " tokens");
  else
    os << ", " << range->lo << " to " << range->hi << " tokens";
}

void printTotals(FunctionOpInterface func, const EntryNotes *notes, llvm::raw_ostream &os) {
  LayerTotals before = baseline(func, "unmerged"), merged = baseline(func, "merged");
  LayerTotals after = countLayers(func);
  int64_t all = 0;
  if (notes)
    all = notes->launches;
  else
    func->walk([&](Operation *op) { all += isKernel(op); });
  if (!before.layers || !after.layers) {
    os << "    kernels " << all << "\n";
    return;
  }
  std::optional<TokenRange> range = TokenRange::of(func);
  bool oneSize = range && range->isStatic();
  int64_t tokens = oneSize ? range->lo : 1;
  auto bytes = [&](const LayerTotals &t) { return double(t.bytesPerToken) * tokens / t.layers; };
  double change = 100 * (bytes(after) / bytes(before) - 1);
  os << "    kernels/layer " << perLayer(before.kernels, before.layers) << " -> "
     << perLayer(notes ? notes->layerLaunches : after.kernels, after.layers)
     << "    activation bytes/layer" << (oneSize ? " " : "/token ") << kilobytes(bytes(before))
     << " -> " << kilobytes(bytes(after)) << llvm::format(" (%+.1f %%)", change)
     << "\n  merged only: " << perLayer(merged.kernels, merged.layers) << " kernels/layer, "
     << kilobytes(bytes(merged)) << "; kernels in all: " << all << "\n";
  if (notes && notes->splitsAttention)
    os << "  not in the bytes: partial results of attention, which grow with the context\n";
}

void printLine(llvm::raw_ostream &os, StringRef kind, StringRef pass, int64_t n, int64_t of,
               StringRef text) {
  os << "  " << llvm::left_justify(kind, 8) << llvm::left_justify(pass, 26)
     << llvm::left_justify(std::to_string(n) + " of " + std::to_string(of), 14) << text << "\n";
}

/// ", saves 4.1 KB each", per token; nothing for a rewrite that saves launches only.
std::string savings(int64_t saved, int64_t fused) {
  return saved > 0 ? ", saves " + kilobytes(double(saved) / fused) + " each" : "";
}

std::vector<std::string> kernelLines(const EntryNotes *notes, StringRef pass) {
  if (!notes)
    return {};
  auto found = notes->kernels.find(pass.str());
  return found == notes->kernels.end() ? std::vector<std::string>() : found->second;
}

void printRows(DictionaryAttr fusion, const EntryNotes *notes, llvm::raw_ostream &os) {
  for (const Row &row : kRows) {
    auto record = fusion.getAs<DictionaryAttr>(row.pass);
    int64_t candidates = record ? number(record, "candidates") : 0;
    if (!candidates)
      continue;
    if (int64_t fused = number(record, "fused"))
      printLine(os, "fused", row.pass, fused, candidates,
                row.what.str() + savings(number(record, "saved"), fused));
    for (const std::string &line : kernelLines(notes, row.pass))
      os << "          " << line << "\n";
    for (const auto &[reason, n] : missedReasons(record))
      printLine(os, "missed", row.pass, n, candidates, reason);
    if (auto note = record.getAs<StringAttr>("note"))
      os << "          " << note.getValue() << "\n";
  }
}

struct ExplainFusionPass : sinter::xfmr::impl::ExplainFusionBase<ExplainFusionPass> {
  void runOnOperation() override {
    printFusionReport(getOperation(), llvm::errs());
    markAllAnalysesPreserved();
  }
};

} // namespace

void sinter::xfmr::printFusionReport(ModuleOp module, llvm::raw_ostream &os,
                                     const std::map<std::string, EntryNotes> &notes) {
  for (auto func : module.getOps<FunctionOpInterface>()) {
    auto fusion = func->getAttrOfType<DictionaryAttr>(kFusionAttr);
    if (!fusion)
      continue;
    auto found = notes.find(func.getName().str());
    const EntryNotes *own = found == notes.end() ? nullptr : &found->second;
    printTitle(func, os);
    printTotals(func, own, os);
    printRows(fusion, own, os);
  }
}
