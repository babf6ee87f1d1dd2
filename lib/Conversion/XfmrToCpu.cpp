//===- XfmrToCpu.cpp - a planned graph to kernels and a schedule ----------===//
//
// The planned order is the schedule. Here: where every tensor lies, which kernels exist. What each
// op asks of its template is in CpuOps*.cpp.
//
//===----------------------------------------------------------------------===//
#include "CpuLowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

/// Arena offset of an entry argument that is an activation: single-op modules in tests.
static constexpr StringLiteral kBufferAttr = "xfmr.buffer";
static constexpr StringLiteral kBuffersAttr = "xfmr.buffers";
static constexpr StringLiteral kArenaAttr = "xfmr.arena_bytes";

CpuLowering::CpuLowering(ModuleOp planned, ArrayRef<CpuIsa> isas, ModuleOp lowered)
    : planned(planned), lowered(lowered), isas(isas) {}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

SinterArg CpuLowering::arena(int64_t offset) const {
  return {SINTER_ARG_ARENA, 0, static_cast<uint64_t>(offset)};
}

SinterArg CpuLowering::place(Value v) const {
  return v ? places.lookup(v) : SinterArg{SINTER_ARG_NULL, 0, 0};
}

int64_t CpuLowering::sizeOf(Value v) const {
  auto type = cast<RankedTensorType>(v.getType());
  int64_t elements = 1;
  for (int64_t d : type.getShape())
    elements *= ShapedType::isDynamic(d) ? entry->maxTokens : d;
  return elements * type.getElementTypeBitWidth() / 8;
}

LogicalResult CpuLowering::placeArguments(FunctionOpInterface func) {
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

LogicalResult CpuLowering::placeOutput(OpResult result) {
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

/// The op's own name, without the names of what it was fused from.
static std::string nameOf(Operation *op) {
  if (auto name = op->getLoc()->findInstanceOf<NameLoc>())
    return name.getName().str();
  return op->getName().stripDialect().str();
}

LogicalResult CpuLowering::placeResults(Operation *op) {
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
      if (auto view = dyn_cast<xfmr::ViewOpInterface>(op); !view || !view.isView())
        entry->buffers.push_back({nameOf(op), offset, sizeOf(result)});
    } else {
      return op->emitOpError() << "result " << result.getResultNumber() << " has no buffer";
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Kernels and launches
//===----------------------------------------------------------------------===//

unsigned CpuLowering::kernel(StringRef op, const std::string &name, const std::string &key,
                             Emit emit) {
  auto [it, isNew] = kernels.try_emplace(key, program.kernels.size());
  if (!isNew)
    return it->second;
  CpuKernel made;
  made.name = name;
  // Kernels that differ in what their name does not tell.
  if (unsigned times = kernelNames[name]++)
    made.name += "_v" + std::to_string(times + 1);
  made.op = op.str();
  for (CpuIsa isa : isas) {
    std::string &symbol = made.symbol[static_cast<unsigned>(isa)];
    symbol = "sinter_" + made.name + (isa == CpuIsa::V4 ? ".v4" : ".v3");
    program.scratchBytes = std::max(program.scratchBytes, emit(lowered, symbol, isa));
  }
  program.kernels.push_back(std::move(made));
  return it->second;
}

void CpuLowering::launch(Operation *op, StringRef suffix, unsigned kernel, SinterGrid grid,
                         std::vector<SinterArg> args, ArrayRef<Value> tensors,
                         ArrayRef<Value> weightOperands, int64_t flops, bool readsKv) {
  CpuOp made{nameOf(op) + suffix.str(),
             op->getName().stripDialect().str(),
             kernel,
             grid,
             std::move(args),
             0,
             flops,
             0,
             readsKv};
  for (Value v : tensors)
    made.actBytesPerToken += v ? rowBytes(v) : 0;
  for (Value w : weightOperands)
    made.weightBytes += w ? weightBytes(w) : 0;
  entry->ops.push_back(std::move(made));
}

//===----------------------------------------------------------------------===//
// The walk
//===----------------------------------------------------------------------===//

LogicalResult CpuLowering::lowerOp(Operation *op) {
  if (isa<func::ReturnOp>(op))
    return success();
  if (auto get = dyn_cast<xfmr::GetWeightOp>(op)) {
    places[get.getResult()] = {SINTER_ARG_WEIGHT, weights.lookup(get.getWeight()), 0};
    return success();
  }
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
  if (auto view = dyn_cast<xfmr::ViewOpInterface>(op); view && view.isView())
    return success();
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

LogicalResult CpuLowering::lowerEntry(FunctionOpInterface func) {
  places.clear(), layers.clear(), layerOffsets.clear(), rowValues.clear();
  auto tokens = func->getAttrOfType<DenseI64ArrayAttr>(xfmr::kTokensAttr);
  if (!tokens || tokens.size() != 2)
    return func->emitOpError() << "has no '" << xfmr::kTokensAttr << "' range";
  auto head = func->getAttrOfType<StringAttr>(xfmr::kHeadAttr);
  program.entries.push_back({func.getName().str(),
                             head ? head.getValue().str() : "logits",
                             tokens[0],
                             tokens[1],
                             tokens[1],
                             {},
                             {}});
  entry = &program.entries.back();
  if ((head && failed(checkHead(func, head))) || failed(placeArguments(func)))
    return failure();
  for (Operation &op : func.getFunctionBody().front())
    if (failed(lowerOp(&op)))
      return failure();
  return success();
}

LogicalResult CpuLowering::run() {
  unsigned index = 0;
  for (auto weight : planned.getOps<xfmr::WeightOp>())
    weights[weight.getSymName()] = index++;
  if (auto bytes = planned->getAttrOfType<IntegerAttr>(kArenaAttr))
    plannedArena = bytes.getInt();
  plannedArena = roundUp(plannedArena, 64);
  for (auto func : planned.getOps<func::FuncOp>())
    if (func->hasAttr(xfmr::kEntryAttr) && failed(lowerEntry(func)))
      return failure();
  program.arenaBytes = plannedArena + partialBytes;
  program.scratchBytes = roundUp(program.scratchBytes, 64);
  return success();
}

FailureOr<CpuProgram> sinter::convertXfmrToCpu(ModuleOp planned, ArrayRef<CpuIsa> isas,
                                               OwningOpRef<ModuleOp> &lowered) {
  MLIRContext *context = planned.getContext();
  context->loadDialect<arith::ArithDialect, LLVM::LLVMDialect, scf::SCFDialect,
                       vector::VectorDialect>();
  lowered = ModuleOp::create(planned.getLoc());
  CpuLowering lowering(planned, isas, *lowered);
  if (failed(lowering.run()))
    return failure();
  return std::move(lowering.program);
}
