//===- XfmrToCuda.cpp - a planned graph to GPU kernels --------------------===//
//
// Which kernels exist and how they are launched. What each op asks of its template is in
// CudaOps*.cpp.
//
//===----------------------------------------------------------------------===//
#include "CudaLowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sinter;

CudaLowering::CudaLowering(ModuleOp planned, const CudaOptions &options, ModuleOp lowered)
    : StepLowering(planned, lowered), options(options), chip{options.chip} {
  program.chip = options.chip;
  program.batchInvariant = options.batchInvariant;
  program.feedback = true;
}

/// What a symbol of PTX may be called.
static std::string symbolOf(StringRef name) {
  std::string symbol = name.str();
  for (char &c : symbol)
    if (!llvm::isAlnum(c))
      c = '_';
  return symbol;
}

FailureOr<CudaLowering::Kernel> CudaLowering::kernel(StringRef op, const std::string &name,
                                                     const std::string &key, Emit emit,
                                                     std::string order) {
  auto [it, isNew] = kernels.try_emplace(key, program.kernels.size());
  if (!isNew)
    return Kernel{it->second, launches.lookup(key)};
  StepKernel made;
  made.name = symbolOf(name);
  // Kernels that differ in what their name does not tell.
  if (unsigned times = kernelNames[made.name]++)
    made.name += "_v" + std::to_string(times + 1);
  made.op = op.str();
  FailureOr<gpu::GpuKernel> k = emit(gpu::createGpuModule(lowered, made.name), made.name);
  if (failed(k))
    return failure();
  made.device.threads = k->threads;
  made.device.sharedBytes = k->sharedBytes;
  made.device.cluster = k->cluster;
  for (const gpu::TensorMap &map : k->tensorMaps)
    made.device.tensorMaps.push_back(
        {map.arg, map.type, map.rows, map.columns, map.boxRows, map.boxColumns});
  launches[key] = *k;
  orders.push_back(std::move(order));
  program.kernels.push_back(std::move(made));
  return Kernel{it->second, *k};
}

LogicalResult CudaLowering::start(Operation *op, StringRef suffix, const Kernel &k,
                                  std::vector<SinterArg> args, ArrayRef<Value> tensors,
                                  ArrayRef<Value> weights, int64_t flops, bool readsKv,
                                  SinterGridDim onlyWith) {
  llvm::erase_if(args, [](const SinterArg &arg) { return arg.kind == SINTER_ARG_NULL; });
  // An operand that has no place would move all that follow it.
  if (k.made.parameters && args.size() + 1 != k.made.parameters)
    return op->emitOpError() << "gives " << args.size() << " arguments and the batch to kernel "
                             << k.made.name << ", which takes " << k.made.parameters;
  SinterGrid grid{static_cast<uint32_t>(k.made.grid), {}, {1, 1, 1}, 1};
  grid.dim[0] = onlyWith;
  if (onlyWith != SINTER_GRID_ONE)
    grid.div[0] = INT32_MAX; // once or not at all
  launch(op, suffix, k.index, grid, std::move(args), tensors, weights, flops, readsKv);
  // Before the first launch lies the copy of the step's inputs.
  const bool full = entry->ops.size() == 1 || std::exchange(fullEdgeNext, false);
  entry->ops.back().edge =
      full || !chip.dependentLaunch() ? SINTER_EDGE_FULL : SINTER_EDGE_PROGRAMMATIC;
  return success();
}

SinterArg CudaLowering::room(int64_t bytes, int64_t offset) {
  partialBytes = std::max(partialBytes, alignUp(offset + bytes, 256));
  return arena(plannedArena + offset);
}

FailureOr<DType> CudaLowering::matrixType(Operation *op, Value w) const {
  xfmr::WeightOp weight = weightOf(w);
  if (!weight)
    return op->emitOpError() << "reads " << w.getType() << " as a matrix, which is not a weight";
  if (weight.getLayout() != xfmr::WeightLayout::RowMajor || !isa<ArrayAttr>(weight.getInit()))
    return op->emitOpError() << "needs @" << weight.getSymName()
                             << " in layout row_major from checkpoint tensors";
  return elementType(op, w);
}

int64_t CudaLowering::weightBytes(Value w) const {
  auto type = cast<RankedTensorType>(w.getType());
  xfmr::WeightOp weight = weightOf(w);
  const bool matrix = weight && weight.getLayout() == xfmr::WeightLayout::RowMajor;
  return type.getNumElements() * (matrix ? type.getElementTypeBitWidth() / 8 : 4);
}

FailureOr<StepProgram> sinter::convertXfmrToCuda(ModuleOp planned, const CudaOptions &options,
                                                 OwningOpRef<ModuleOp> &lowered) {
  planned.getContext()
      ->loadDialect<arith::ArithDialect, cf::ControlFlowDialect, mlir::gpu::GPUDialect,
                    LLVM::LLVMDialect, NVVM::NVVMDialect, scf::SCFDialect, vector::VectorDialect>();
  lowered = ModuleOp::create(planned.getLoc());
  CudaLowering lowering(planned, options, *lowered);
  if (failed(lowering.run()) || failed(lowering.checkInvariance()))
    return failure();
  return std::move(lowering.program);
}
