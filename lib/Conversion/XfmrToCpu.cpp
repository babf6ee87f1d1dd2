//===- XfmrToCpu.cpp - a planned graph to CPU kernels ---------------------===//
//
// Which kernels exist. What each op asks of its template is in CpuOps*.cpp.
//
//===----------------------------------------------------------------------===//
#include "sinter/Conversion/XfmrToCpu.h"
#include "CpuLowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sinter;

unsigned CpuLowering::kernel(StringRef op, const std::string &name, const std::string &key,
                             Emit emit, bool ownBf16) {
  auto [it, isNew] = kernels.try_emplace(key, program.kernels.size());
  if (!isNew)
    return it->second;
  StepKernel made;
  made.name = name;
  // Kernels that differ in what their name does not tell.
  if (unsigned times = kernelNames[name]++)
    made.name += "_v" + std::to_string(times + 1);
  made.op = op.str();
  constexpr const char *suffixes[kCpuIsas] = {".v3", ".v4", ".v4_bf16"};
  for (CpuIsa isa : isas) {
    if (isa == CpuIsa::V4Bf16 && !ownBf16)
      continue;
    std::string &symbol = made.symbol[static_cast<unsigned>(isa)];
    symbol = "sinter_" + made.name + suffixes[static_cast<unsigned>(isa)];
    program.scratchBytes = std::max(program.scratchBytes, emit(lowered, symbol, isa));
  }
  program.kernels.push_back(std::move(made));
  return it->second;
}

FailureOr<StepProgram> sinter::convertXfmrToCpu(ModuleOp planned, ArrayRef<CpuIsa> isas,
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
