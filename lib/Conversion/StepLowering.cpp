//===- StepLowering.cpp - a planned graph to a schedule -------------------===//
//
// The planned order is the schedule. Here: where every tensor lies and what every target's lowering
// needs to know about operands.
//
//===----------------------------------------------------------------------===//
#include "StepLowering.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace sinter;

/// Arena offset of an entry argument that is an activation: single-op modules in tests.
static constexpr StringLiteral kBufferAttr = "xfmr.buffer";
static constexpr StringLiteral kBuffersAttr = "xfmr.buffers";
static constexpr StringLiteral kArenaAttr = "xfmr.arena_bytes";

StepLowering::StepLowering(ModuleOp planned, ModuleOp lowered)
    : planned(planned), lowered(lowered) {}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

SinterArg StepLowering::arena(int64_t offset) const {
  return {SINTER_ARG_ARENA, 0, static_cast<uint64_t>(offset)};
}

/// Where the persistent part begins is known at the end: until then such places carry this index.
static constexpr uint32_t kPersistent = 1;

SinterArg StepLowering::persistent(int64_t offset) const {
  return {SINTER_ARG_ARENA, kPersistent, static_cast<uint64_t>(offset)};
}

SinterArg StepLowering::place(Value v) const {
  return v ? places.lookup(v) : SinterArg{SINTER_ARG_NULL, 0, 0};
}

int64_t StepLowering::sizeOf(Value v) const {
  auto type = cast<RankedTensorType>(v.getType());
  int64_t elements = 1;
  for (int64_t d : type.getShape())
    elements *= ShapedType::isDynamic(d) ? entry->maxTokens : d;
  return elements * type.getElementTypeBitWidth() / 8;
}

LogicalResult StepLowering::placeArguments(FunctionOpInterface func) {
  int64_t offset = 0;
  for (BlockArgument arg : func.getArguments()) {
    if (auto kv = dyn_cast<xfmr::KvType>(arg.getType())) {
      layers[arg] = layerOffsets.size();
      layerOffsets.push_back(offset);
      offset += 2 * kv.getHeads() * kv.getPage() * kv.getHeadDim() *
                kv.getElementType().getIntOrFloatBitWidth() / 8;
    } else if (auto at = func.getArgAttrOfType<IntegerAttr>(arg.getArgNumber(), kBufferAttr)) {
      places[arg] = arena(at.getInt());
    }
  }
  return success();
}

LogicalResult StepLowering::placeOutput(OpResult result) {
  Operation *op = result.getOwner();
  auto type = cast<RankedTensorType>(result.getType());
  if (type.getElementType().isInteger(32))
    places[result] = {SINTER_ARG_ARGMAX_INDEX, 0, 0};
  else if (type.getElementType().isF32() && type.getRank() == 1)
    places[result] = {SINTER_ARG_ARGMAX_VALUE, 0, 0};
  else if (type.getElementType().isF32())
    places[result] = {SINTER_ARG_LOGITS, 0, 0};
  else
    return op->emitOpError() << "result " << result.getResultNumber() << " of type " << type
                             << " cannot be an output of the step: logits are f32";
  return success();
}

SinterArg StepLowering::cacheStream(Value kv, bool values) const {
  auto type = cast<xfmr::KvType>(kv.getType());
  const unsigned layer = layers.lookup(kv);
  const int64_t stream = type.getHeads() * type.getPage() * type.getHeadDim() *
                         type.getElementType().getIntOrFloatBitWidth() / 8;
  return {SINTER_ARG_KV, layer, static_cast<uint64_t>(layerOffsets[layer] + (values ? stream : 0))};
}

/// The op's own name, without the names of what it was fused from.
std::string StepLowering::nameOf(Operation *op) {
  if (auto name = op->getLoc()->findInstanceOf<NameLoc>())
    return name.getName().str();
  return op->getName().stripDialect().str();
}

LogicalResult StepLowering::placeResults(Operation *op) {
  auto buffers = op->getAttrOfType<DenseI64ArrayAttr>(kBuffersAttr);
  unsigned next = 0;
  for (OpResult result : op->getResults()) {
    if (!isa<RankedTensorType>(result.getType()))
      continue;
    if (!buffers || next >= static_cast<unsigned>(buffers.size()))
      return op->emitOpError() << "has no place in '" << kBuffersAttr << "' for result "
                               << result.getResultNumber() << ": the module is not planned";
    int64_t offset = buffers[next++];
    if (offset == -2) {
      if (failed(placeOutput(result)))
        return failure();
    } else if (offset >= 0) {
      places[result] = arena(offset);
      if (auto view = dyn_cast<xfmr::ViewOpInterface>(op); !view || !view.isView()) {
        auto tensor = cast<RankedTensorType>(result.getType());
        FailureOr<DType> type =
            tensor.getElementType().isInteger(32) ? DType::I32 : elementType(op, result);
        if (failed(type))
          return failure();
        const int64_t columns = ShapedType::getNumElements(tensor.getShape().drop_front());
        entry->buffers.push_back(
            {nameOf(op), offset, sizeOf(result), *type, columns, countsRows(result)});
      }
    } else {
      return op->emitOpError() << "result " << result.getResultNumber() << " has no buffer";
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Facts about operands
//===----------------------------------------------------------------------===//

FailureOr<DType> StepLowering::elementType(Operation *op, Value v) const {
  Type type = cast<RankedTensorType>(v.getType()).getElementType();
  if (type.isF32())
    return DType::F32;
  if (type.isBF16())
    return DType::BF16;
  if (type.isF16())
    return DType::F16;
  return op->emitOpError() << "element type " << type << " has no kernel";
}

xfmr::WeightOp StepLowering::weightOf(Value v) const {
  auto get = v.getDefiningOp<xfmr::GetWeightOp>();
  if (!get)
    return nullptr;
  return SymbolTable::lookupNearestSymbolFrom<xfmr::WeightOp>(get, get.getWeightAttr());
}

LogicalResult StepLowering::checkVector(Operation *op, Value v) const {
  xfmr::WeightOp weight = v ? weightOf(v) : nullptr;
  if (!v || (weight && weight.getLayout() == xfmr::WeightLayout::Plain))
    return success();
  return op->emitOpError() << "reads " << v.getType() << " as a plain vector, which is not a weight"
                           << " in layout plain";
}

int64_t StepLowering::rowBytes(Value v) const {
  auto type = cast<RankedTensorType>(v.getType());
  int64_t elements = 1;
  for (int64_t d : type.getShape().drop_front())
    elements *= d;
  return elements * type.getElementTypeBitWidth() / 8;
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

void StepLowering::launch(Operation *op, StringRef suffix, unsigned kernel, SinterGrid grid,
                          std::vector<SinterArg> args, ArrayRef<Value> tensors,
                          ArrayRef<Value> weightOperands, int64_t flops, bool readsKv) {
  StepOp made{nameOf(op) + suffix.str(),
              op->getName().stripDialect().str(),
              kernel,
              grid,
              std::move(args),
              0,
              flops,
              0,
              readsKv};
  if (auto attention = dyn_cast<xfmr::AttentionOp>(op); attention && readsKv)
    made.window = attention.windowOrZero();
  for (Value v : tensors)
    made.actBytesPerToken += v ? rowBytes(v) : 0;
  for (Value w : weightOperands)
    made.weightBytes += w ? weightBytes(w) : 0;
  entry->ops.push_back(std::move(made));
}

//===----------------------------------------------------------------------===//
// The walk
//===----------------------------------------------------------------------===//

LogicalResult StepLowering::lowerOp(Operation *op) {
  if (isa<func::ReturnOp, xfmr::GetWeightOp>(op))
    return success();
  // Rows stay rows through everything that follows select_rows.
  const bool rows = isa<xfmr::SelectRowsOp>(op) ||
                    llvm::any_of(op->getOperands(), [&](Value v) { return countsRows(v); });
  for (Value result : op->getResults()) {
    if (rows)
      rowValues.insert(result);
    if (auto cache = dyn_cast<xfmr::CacheOpInterface>(op);
        cache && isa<xfmr::KvType>(result.getType()))
      layers[result] = layers.lookup(cache.getKvOperand().get());
  }
  if (failed(placeResults(op)))
    return failure();
  if (auto view = dyn_cast<xfmr::ViewOpInterface>(op); view && view.isView()) {
    alias(op->getResult(0),
          op->getOperand(0)); // which may have been moved from where it was planned
    return success();
  }
  return lowerKernelOp(op);
}

/// The runner reads what the head names: one matrix of logits, or a value and an index per row.
static LogicalResult checkHead(FunctionOpInterface func, StringAttr head) {
  const bool argmax = head.getValue() == "argmax";
  int64_t tensors = 0;
  for (Type type : func.getResultTypes())
    if (auto tensor = dyn_cast<RankedTensorType>(type)) {
      ++tensors;
      if ((tensor.getRank() == 1) != argmax)
        return func->emitOpError() << "has the head " << head << " and returns " << type;
    }
  const int64_t expected = argmax ? 2 : 1;
  if (tensors != expected)
    return func->emitOpError() << "has the head " << head << " and returns " << tensors
                               << " tensors instead of " << expected;
  return success();
}

LogicalResult StepLowering::lowerEntry(FunctionOpInterface func) {
  places.clear(), layers.clear(), layerOffsets.clear(), rowValues.clear();
  auto tokens = func->getAttrOfType<DenseI64ArrayAttr>(xfmr::kTokensAttr);
  if (!tokens || tokens.size() != 2)
    return func->emitOpError() << "has no '" << xfmr::kTokensAttr << "' range";
  auto head = func->getAttrOfType<StringAttr>(xfmr::kHeadAttr);
  entry = &program.entries.emplace_back();
  entry->name = func.getName().str();
  entry->head = head ? head.getValue().str() : "logits";
  entry->minTokens = tokens[0];
  entry->maxTokens = entry->maxRows = tokens[1];
  if (auto maxQ = func->getAttrOfType<IntegerAttr>(xfmr::kMaxQAttr))
    entry->maxQ = maxQ.getInt();
  if ((head && failed(checkHead(func, head))) || failed(placeArguments(func)) ||
      failed(beginEntry(func)))
    return failure();
  // A kernel may read the weight of an op that comes later.
  for (auto get : func.getFunctionBody().front().getOps<xfmr::GetWeightOp>())
    places[get.getResult()] = {SINTER_ARG_WEIGHT, weights.lookup(get.getWeight()), 0};
  for (Operation &op : func.getFunctionBody().front())
    if (failed(lowerOp(&op)))
      return failure();
  return endEntry(func);
}

LogicalResult StepLowering::run() {
  unsigned index = 0;
  for (auto weight : planned.getOps<xfmr::WeightOp>())
    weights[weight.getSymName()] = index++;
  if (auto bytes = planned->getAttrOfType<IntegerAttr>(kArenaAttr))
    plannedArena = bytes.getInt();
  plannedArena = alignUp(plannedArena, 64);
  if (failed(prepare()))
    return failure();
  for (auto func : planned.getOps<func::FuncOp>())
    if (func->hasAttr(xfmr::kEntryAttr) && failed(lowerEntry(func)))
      return failure();
  const int64_t persistentAt = alignUp(plannedArena + partialBytes, 256);
  program.arenaBytes = persistentAt + program.persistentBytes;
  for (StepEntry &each : program.entries)
    for (StepOp &op : each.ops)
      for (SinterArg &arg : op.args)
        if (arg.kind == SINTER_ARG_ARENA && std::exchange(arg.index, 0) == kPersistent)
          arg.offset += persistentAt;
  program.scratchBytes = alignUp(program.scratchBytes, 64);
  return success();
}
