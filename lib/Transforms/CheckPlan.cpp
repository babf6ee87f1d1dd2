//===- CheckPlan.cpp - is a buffer plan sound? ----------------------------===//
#include "sinter/Transforms/Passes.h"
#include "sinter/Transforms/PlanCheck.h"
#include "sinter/Transforms/TokenRange.h"

using namespace mlir;
using namespace sinter::xfmr;

namespace sinter::xfmr {
#define GEN_PASS_DEF_CHECKPLAN
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

FailureOr<int64_t> sinter::xfmr::plannedBytes(func::FuncOp func, Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  std::optional<TokenRange> range = TokenRange::of(func);
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  for (int64_t size : type.getShape()) {
    if (ShapedType::isDynamic(size) && !range)
      return emitError(value.getLoc())
             << "a step to be planned needs 'xfmr.tokens' to bound " << type;
    bytes *= ShapedType::isDynamic(size) ? range->hi : size;
  }
  return bytes;
}

namespace {

/// [begin, end) of the arena holds `value`.
struct Held {
  int64_t begin, end;
  Value value;
};

class Checker {
public:
  Checker(func::FuncOp func, int64_t arenaBytes) : func(func), arenaBytes(arenaBytes) {}

  LogicalResult run() {
    for (Operation &op : func.getBody().front())
      if (failed(read(op)) || failed(write(op)))
        return failure();
    return success();
  }

private:
  LogicalResult read(Operation &op) {
    for (Value operand : op.getOperands()) {
      Value source = sourceOf(operand);
      if (expected.contains(source) &&
          llvm::none_of(held, [&](const Held &h) { return h.value == source; }))
        return op.emitOpError() << "reads a buffer that was overwritten, the result of "
                                << source.getDefiningOp()->getName() << " at " << source.getLoc();
    }
    return success();
  }

  LogicalResult write(Operation &op) {
    auto offsets = op.getAttrOfType<DenseI64ArrayAttr>(kBuffersAttr);
    if (!offsets)
      return llvm::any_of(op.getResultTypes(), llvm::IsaPred<RankedTensorType>)
                 ? op.emitOpError("has no 'xfmr.buffers'")
                 : success();
    if (offsets.size() != op.getNumResults())
      return op.emitOpError() << "'xfmr.buffers' has " << offsets.size() << " numbers for "
                              << op.getNumResults() << " results";
    if (auto view = dyn_cast<ViewOpInterface>(op); view && view.isView())
      return checkView(op, offsets[0]);
    std::vector<Held> written;
    for (OpResult result : op.getResults())
      if (failed(writeResult(op, result, offsets[result.getResultNumber()], written)))
        return failure();
    held.insert(held.end(), written.begin(), written.end());
    return success();
  }

  LogicalResult writeResult(Operation &op, OpResult result, int64_t offset,
                            std::vector<Held> &written) {
    if (offset == kNoBuffer || offset == kOutputBuffer)
      return success();
    FailureOr<int64_t> bytes = plannedBytes(func, result);
    if (failed(bytes))
      return failure();
    const Held now = {offset, offset + *bytes, result};
    if (offset < 0 || now.end > arenaBytes)
      return op.emitOpError() << "writes bytes [" << now.begin << ", " << now.end
                              << ") of an arena of " << arenaBytes;
    for (const Held &other : written)
      if (overlap(now, other))
        return op.emitOpError("writes two results to the same bytes");
    for (OpOperand &operand : op.getOpOperands())
      if (failed(checkOverwrittenOperand(op, operand, now)))
        return failure();
    llvm::erase_if(held, [&](const Held &other) { return overlap(now, other); });
    written.push_back(now);
    expected.insert(result);
    return success();
  }

  /// A result may lie on an operand only exactly, and only where the op says so.
  LogicalResult checkOverwrittenOperand(Operation &op, OpOperand &operand, const Held &now) {
    Value source = sourceOf(operand.get());
    for (const Held &other : held) {
      if (other.value != source || !overlap(now, other))
        continue;
      auto alias = dyn_cast<AliasOpInterface>(op);
      auto result = cast<OpResult>(now.value);
      const bool allowed = alias && alias.getAliasableOperand(result.getResultNumber()) ==
                                        operand.getOperandNumber();
      if (!allowed || other.begin != now.begin || other.end != now.end)
        return op.emitOpError() << "overwrites its operand " << operand.getOperandNumber();
    }
    return success();
  }

  LogicalResult checkView(Operation &op, int64_t offset) {
    Value source = sourceOf(op.getResult(0));
    int64_t want = kNoBuffer;
    if (auto result = dyn_cast<OpResult>(source))
      if (auto offsets = result.getOwner()->getAttrOfType<DenseI64ArrayAttr>(kBuffersAttr))
        want = offsets[result.getResultNumber()];
    if (offset != want)
      return op.emitOpError() << "is a view at " << offset << " of a buffer at " << want;
    return success();
  }

  static Value sourceOf(Value value) {
    while (auto view = value.getDefiningOp<ViewOpInterface>()) {
      if (!view.isView())
        break;
      value = view->getOperand(0);
    }
    return value;
  }
  static bool overlap(const Held &a, const Held &b) { return a.begin < b.end && b.begin < a.end; }

  func::FuncOp func;
  int64_t arenaBytes;
  std::vector<Held> held;
  DenseSet<Value> expected; ///< every value that was given a place in the arena
};

struct CheckPlan : sinter::xfmr::impl::CheckPlanBase<CheckPlan> {
  void runOnOperation() override {
    auto arena = getOperation()->getAttrOfType<IntegerAttr>(kArenaBytesAttr);
    for (func::FuncOp func : getOperation().getOps<func::FuncOp>()) {
      if (!func->hasAttr(kEntryAttr) || func.isExternal())
        continue;
      if (!arena) {
        getOperation().emitOpError("has no 'xfmr.arena_bytes'");
        return signalPassFailure();
      }
      if (failed(checkPlan(func, arena.getInt())))
        return signalPassFailure();
    }
  }
};

} // namespace

LogicalResult sinter::xfmr::checkPlan(func::FuncOp func, int64_t arenaBytes) {
  return Checker(func, arenaBytes).run();
}
