//===- Jit.cpp - planned xfmr text to callable kernels --------------------===//
#include "Jit.h"

#include "sinter/Conversion/LowerToLLVM.h"
#include "sinter/Conversion/XfmrToCpu.h"
#include "sinter/Dialect/Xfmr.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"

#include <map>

using namespace mlir;
using namespace sinter;
using namespace sinter::test;

namespace {

struct OrcJit : Jit {
  std::unique_ptr<llvm::orc::LLJIT> engine;
  std::map<std::pair<unsigned, CpuIsa>, SinterKernel> entries;
  SinterKernel kernel(unsigned index, CpuIsa isa) const override {
    return entries.at({index, isa});
  }
};

void loadDialects(MLIRContext &context) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  context.appendDialectRegistry(registry);
  context.loadDialect<xfmr::XfmrDialect, func::FuncDialect>();
}

void optimise(llvm::Module &module) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager callGraph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(callGraph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, callGraph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2).run(module, modules);
}

bool report(llvm::Error error) {
  llvm::errs() << llvm::toString(std::move(error)) << '\n';
  return false;
}

bool load(OrcJit &jit, ModuleOp lowered) {
  auto llvmContext = std::make_unique<llvm::LLVMContext>();
  auto module = translateModuleToLLVMIR(lowered, *llvmContext);
  if (!module)
    return false;
  auto engine = llvm::orc::LLJITBuilder().create();
  if (!engine)
    return report(engine.takeError());
  jit.engine = std::move(*engine);
  module->setDataLayout(jit.engine->getDataLayout());
  optimise(*module);
  if (auto error = jit.engine->addIRModule({std::move(module), std::move(llvmContext)}))
    return report(std::move(error));
  for (unsigned i = 0; i < jit.program.kernels.size(); ++i) {
    const StepKernel &kernel = jit.program.kernels[i];
    for (CpuIsa isa : {CpuIsa::V3, CpuIsa::V4, CpuIsa::V4Bf16}) {
      const std::string &own = kernel.symbol[static_cast<unsigned>(isa)];
      auto symbol = jit.engine->lookup(own.empty() ? kernel.symbol[unsigned(CpuIsa::V4)] : own);
      if (!symbol)
        return report(symbol.takeError());
      jit.entries[{i, isa}] = symbol->toPtr<SinterKernel>();
    }
  }
  return true;
}

} // namespace

std::unique_ptr<Jit> Jit::compile(const std::string &text) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  MLIRContext context(MLIRContext::Threading::DISABLED);
  loadDialects(context);
  auto planned = parseSourceString<ModuleOp>(text, &context);
  if (!planned)
    return nullptr;
  OwningOpRef<ModuleOp> lowered;
  auto program = convertXfmrToCpu(*planned, {CpuIsa::V3, CpuIsa::V4, CpuIsa::V4Bf16}, lowered);
  if (failed(program) || failed(verify(*lowered)))
    return nullptr;
  PassManager passes(&context);
  buildLowerToLLVMPipeline(passes);
  if (failed(passes.run(*lowered)))
    return nullptr;
  auto jit = std::make_unique<OrcJit>();
  jit->program = *program;
  if (!load(*jit, *lowered))
    return nullptr;
  return jit;
}

std::string sinter::test::conversionError(const std::string &text) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  loadDialects(context);
  std::string messages;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &d) { messages += d.str() + "\n"; });
  auto planned = parseSourceString<ModuleOp>(text, &context);
  OwningOpRef<ModuleOp> lowered;
  if (planned)
    (void)convertXfmrToCpu(*planned, {CpuIsa::V3}, lowered);
  return messages;
}

bool sinter::test::hasIsa(CpuIsa isa) {
  if (isa == CpuIsa::V3)
    return __builtin_cpu_supports("x86-64-v3");
  if (isa == CpuIsa::V4)
    return __builtin_cpu_supports("x86-64-v4");
  return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16");
}
