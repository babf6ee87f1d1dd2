//===- CudaFusionCosts.cpp - whether a fusion pays on a GPU ---------------===//
//
// A fusion's time against that of the kernels it replaces: by the tuned table where somebody has
// measured both, by the cost model elsewhere.
//
//===----------------------------------------------------------------------===//
#include "sinter/Conversion/XfmrToCuda.h"

#include "lib/Codegen/Gpu/CostModel.h"
#include "lib/Codegen/Gpu/TunedTable.h"
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Transforms/FusionConditions.h"
#include "sinter/Transforms/TokenRange.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/Format.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

Result<std::shared_ptr<const TunedTable>>
sinter::readTunedTable(StringRef text, const std::string &name, StringRef chip) {
  return TunedTable::parse(text, name, chip);
}

std::shared_ptr<const TunedTable> sinter::builtinTunedTable(StringRef chip) {
  return TunedTable::builtin(chip);
}

namespace {

/// Both sides of a fusion at an entry's most tokens.
struct Question {
  StringRef pass;
  std::string shape;
  LinearSpec fused, apart;
  RowSpec::Kind replaced; ///< the row kernel that the fusion saves
};

DType typeOf(Value v) {
  Type type = cast<RankedTensorType>(v.getType()).getElementType();
  return type.isF32() ? DType::F32 : type.isF16() ? DType::F16 : DType::BF16;
}

/// The linear that `op` is or becomes, without what it may be fused with.
LinearSpec plainLinear(Operation *op, int64_t tokens) {
  auto reader = cast<xfmr::MatrixReaderOpInterface>(op);
  Value w = reader.getMatrixOperand().get();
  auto shape = cast<RankedTensorType>(w.getType()).getShape();
  LinearSpec spec;
  spec.n = shape[0], spec.k = shape[1];
  spec.w = typeOf(w), spec.x = typeOf(op->getOperand(0));
  spec.y = typeOf(op->getResult(0));
  spec.maxTokens = tokens;
  return spec;
}

/// What the fuse stage will ask at `op`, if anything.
std::optional<Question> questionOf(Operation *op, int64_t tokens, const GpuChip &chip) {
  if (auto add = dyn_cast<xfmr::AddOp>(op)) {
    for (Value v : {add.getA(), add.getB()})
      if (auto linear = v.getDefiningOp<xfmr::LinearOp>()) {
        Question q{"fuse-linear-add",
                   xfmr::matrixShape(linear),
                   plainLinear(linear, tokens),
                   {},
                   RowSpec::Add};
        q.apart = q.fused;
        q.fused.residual = true;
        return q;
      }
  } else if (auto scaled = dyn_cast<xfmr::RowScaleOpInterface>(op);
             scaled && xfmr::normBefore(scaled)) {
    Question q{"fuse-rms-norm-linear",
               xfmr::matrixShape(op),
               plainLinear(op, tokens),
               {},
               RowSpec::RmsNorm};
    q.apart = q.fused;
    q.fused.norm = true;
    q.fused.xg = readsPreparedRows(chip, q.fused);
    q.fused.sumsIn = q.fused.xg ? 16 : 0;
    return q;
  } else if (auto argmax = dyn_cast<xfmr::ArgmaxOp>(op)) {
    if (auto linear = argmax.getX().getDefiningOp<xfmr::LinearOp>()) {
      Question q{"fuse-linear-argmax",
                 xfmr::matrixShape(linear),
                 plainLinear(linear, tokens),
                 {},
                 RowSpec::Argmax};
      q.apart = q.fused;
      q.fused.epilogue = LinearSpec::Argmax;
      return q;
    }
  }
  return std::nullopt;
}

/// By the model; none where it has no answer.
std::optional<TunedTable::Fusion> predict(const GpuChip &chip, const Question &q) {
  const auto fused = costOf(chip, q.fused, {}), apart = costOf(chip, q.apart, {});
  if (!fused || !apart)
    return std::nullopt;
  RowSpec rows{q.replaced, q.replaced == RowSpec::RmsNorm ? q.apart.k : q.apart.n, q.apart.y,
               q.apart.y, q.apart.maxTokens};
  return TunedTable::Fusion{fused->micros, apart->micros + predictRows(chip, rows)};
}

std::string refusal(StringRef how, int64_t tokens, const TunedTable::Fusion &cost) {
  std::string text;
  llvm::raw_string_ostream(text) << how << " slower at " << tokens
                                 << (tokens == 1 ? " token: " : " tokens: ")
                                 << llvm::format("%.2f us against %.2f us", cost.fused, cost.apart);
  return text;
}

/// Empty: it pays, or nobody knows.
std::string whyRefused(const Question &q, int64_t tokens, const CudaOptions &options) {
  if (options.tuned)
    if (auto row = options.tuned->fusion(q.pass, q.shape, tokens))
      return row->second.fused > row->second.apart ? refusal("measured", row->first, row->second)
                                                   : "";
  const auto cost = predict({options.chip}, q);
  return cost && cost->fused > cost->apart ? refusal("predicted", tokens, *cost) : "";
}

/// Cache writes have no template to predict: only a measurement speaks.
std::string whyWriteRefused(StringRef shape, int64_t tokens, const CudaOptions &options) {
  auto row = options.tuned ? options.tuned->fusion("fuse-qk-norm-rope-write", shape, tokens)
                           : std::nullopt;
  return row && row->second.fused > row->second.apart ? refusal("measured", row->first, row->second)
                                                      : "";
}

} // namespace

void sinter::markSlowerFusions(ModuleOp specialised, const CudaOptions &options) {
  const GpuChip chip{options.chip};
  for (auto func : specialised.getOps<func::FuncOp>()) {
    auto range = xfmr::TokenRange::of(func);
    if (!func->hasAttr(xfmr::kEntryAttr) || !range)
      continue;
    NamedAttrList slower;
    func.walk([&](Operation *op) {
      std::string key, reason;
      if (auto write = dyn_cast<xfmr::KvWriteOp>(op)) {
        auto k = cast<RankedTensorType>(write.getK().getType()).getShape();
        auto attention = llvm::find_if(write.getResult().getUsers(), [](Operation *user) {
          return isa<xfmr::AttentionOp>(user);
        });
        if (attention == write.getResult().user_end())
          return;
        const int64_t heads = cast<xfmr::AttentionOp>(*attention).getQ().getType().getDimSize(1);
        const std::string shape =
            std::to_string(heads) + "+" + std::to_string(k[1]) + "x" + std::to_string(k[2]);
        key = "fuse-qk-norm-rope-write " + shape;
        reason = whyWriteRefused(shape, range->hi, options);
      } else if (auto q = questionOf(op, range->hi, chip)) {
        key = q->pass.str() + " " + q->shape;
        if (!slower.get(key))
          reason = whyRefused(*q, range->hi, options);
      }
      if (!reason.empty())
        slower.set(key, StringAttr::get(func.getContext(), reason));
    });
    if (!slower.empty())
      func->setAttr(xfmr::kSlowerAttr, slower.getDictionary(func.getContext()));
  }
}

//===----------------------------------------------------------------------===//
// --explain-fusion
//===----------------------------------------------------------------------===//

static StringRef passOf(StringRef op) {
  if (op == "linear_add")
    return "fuse-linear-add";
  if (op == "linear_argmax")
    return "fuse-linear-argmax";
  return op == "rms_norm_linear" || op == "rms_norm_swiglu" ? "fuse-rms-norm-linear" : "";
}

std::map<std::string, std::vector<std::string>>
sinter::fusedKernelLines(const StepEntry &entry, const CudaOptions &options) {
  std::map<std::string, std::vector<std::pair<std::string, int64_t>>> counted;
  for (const StepOp &op : entry.ops) {
    const StringRef pass = passOf(op.op);
    if (op.choice.shape.empty() || pass.empty())
      continue;
    std::string line;
    llvm::raw_string_ostream os(line);
    os << op.op << ' ' << op.choice.shape << ": " << op.choice.kernel
       << llvm::format(", predicted %.2f us", op.choice.predicted);
    if (op.choice.measured > 0)
      os << llvm::format(" (measured %.2f)", op.choice.measured);
    if (options.tuned)
      if (auto row = options.tuned->fusion(pass, op.choice.shape, entry.maxTokens))
        os << llvm::format(", fused %.2f us, apart %.2f us at %d tokens", row->second.fused,
                           row->second.apart, int(row->first));
    auto &lines = counted[pass.str()];
    auto found = llvm::find_if(lines, [&](const auto &each) { return each.first == line; });
    if (found == lines.end())
      lines.emplace_back(line, 1);
    else
      ++found->second;
  }
  std::map<std::string, std::vector<std::string>> result;
  for (const auto &[pass, lines] : counted)
    for (const auto &[line, count] : lines)
      result[pass].push_back(std::to_string(count) + " x " + line);
  return result;
}
