//===- HostObject.cpp - kernels to machine code ---------------------------===//
#include "sinter/Target/HostObject.h"

#include "TargetMachine.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"

#include <memory>
#include <thread>

using namespace mlir;
using namespace sinter;

namespace {

std::string isaName(CpuIsa isa) { return cpuIsaName(isaNumber(isa)); }

/// LLVM's names: a processor and what it has beyond that.
llvm::StringRef cpuOf(CpuIsa isa) { return isa == CpuIsa::V3 ? "x86-64-v3" : "x86-64-v4"; }
llvm::StringRef featuresOf(CpuIsa isa) { return isa == CpuIsa::V4Bf16 ? "+avx512bf16" : ""; }

/// One instruction set's kernels on their way: contexts are separate so that threads may be.
struct IsaModule {
  CpuIsa isa;
  std::unique_ptr<llvm::LLVMContext> context = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::Module> module;
  std::unique_ptr<llvm::TargetMachine> machine;
  ObjectBytes output;
  bool ok = false;
};

/// Keeps this instruction set's kernels, and what they call, and says what to compile them for.
void specialise(IsaModule &part, const StepProgram &program) {
  llvm::StringSet<> kept, others;
  for (const StepKernel &kernel : program.kernels)
    for (size_t isa = 0; isa < kCpuIsas; ++isa)
      (isa == static_cast<size_t>(part.isa) ? kept : others).insert(kernel.symbol[isa]);
  for (llvm::Function &function : llvm::make_early_inc_range(*part.module)) {
    if (function.isDeclaration())
      continue;
    if (others.contains(function.getName()) && function.use_empty()) {
      function.eraseFromParent();
      continue;
    }
    if (kept.contains(function.getName())) {
      function.setLinkage(llvm::GlobalValue::ExternalLinkage);
      function.setVisibility(llvm::GlobalValue::HiddenVisibility);
    } else {
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
    }
    function.addFnAttr("target-cpu", cpuOf(part.isa));
    if (!featuresOf(part.isa).empty())
      function.addFnAttr("target-features", featuresOf(part.isa));
    function.addFnAttr("no-builtins");
    function.addFnAttr(llvm::Attribute::NoUnwind);
    if (part.isa != CpuIsa::V3)
      function.addFnAttr("prefer-vector-width", "512");
  }
  part.module->setTargetTriple(part.machine->getTargetTriple());
  part.module->setDataLayout(part.machine->createDataLayout());
}

FailureOr<IsaModule> translate(ModuleOp kernels, const StepProgram &program, CpuIsa isa) {
  IsaModule part;
  part.isa = isa;
  part.machine = createHostMachine(cpuOf(isa), featuresOf(isa));
  if (!part.machine)
    return kernels.emitError("LLVM was built without its X86 target");
  part.module = translateModuleToLLVMIR(kernels, *part.context, isaName(isa));
  if (!part.module)
    return failure();
  specialise(part, program);
  return part;
}

void optimise(IsaModule &part) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graphs;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  // Kernels are vectorised and unrolled as written; guessing again costs time and registers.
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  llvm::PassBuilder builder(part.machine.get(), tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2).run(*part.module, modules);
}

void assemble(IsaModule &part, llvm::CodeGenFileType form) {
  optimise(part);
  part.ok = emitCode(*part.machine, *part.module, form, part.output);
}

FailureOr<std::vector<IsaModule>> translateAll(ModuleOp kernels, const StepProgram &program,
                                               ArrayRef<CpuIsa> isas) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  kernels.getContext()->appendDialectRegistry(registry);
  std::vector<IsaModule> parts;
  for (CpuIsa isa : isas) {
    FailureOr<IsaModule> part = translate(kernels, program, isa);
    if (failed(part))
      return failure();
    parts.push_back(std::move(*part));
  }
  return parts;
}

LogicalResult assembleAll(ModuleOp kernels, std::vector<IsaModule> &parts,
                          llvm::CodeGenFileType form) {
  std::vector<std::thread> threads;
  for (IsaModule &part : llvm::drop_begin(parts))
    threads.emplace_back([&part, form] { assemble(part, form); });
  if (!parts.empty())
    assemble(parts.front(), form);
  for (std::thread &thread : threads)
    thread.join();
  for (const IsaModule &part : parts)
    if (!part.ok)
      return kernels.emitError() << "LLVM cannot emit code for " << isaName(part.isa);
  return success();
}

} // namespace

FailureOr<std::vector<ObjectBytes>>
sinter::emitKernelObjects(ModuleOp kernels, const StepProgram &program, ArrayRef<CpuIsa> isas) {
  FailureOr<std::vector<IsaModule>> parts = translateAll(kernels, program, isas);
  if (failed(parts) || failed(assembleAll(kernels, *parts, llvm::CodeGenFileType::ObjectFile)))
    return failure();
  std::vector<ObjectBytes> objects;
  for (IsaModule &part : *parts)
    objects.push_back(std::move(part.output));
  return objects;
}

FailureOr<std::string> sinter::emitKernelText(ModuleOp kernels, const StepProgram &program,
                                              ArrayRef<CpuIsa> isas, HostText form) {
  FailureOr<std::vector<IsaModule>> parts = translateAll(kernels, program, isas);
  if (failed(parts))
    return failure();
  if (form == HostText::Assembly &&
      failed(assembleAll(kernels, *parts, llvm::CodeGenFileType::AssemblyFile)))
    return failure();
  std::string text;
  llvm::raw_string_ostream stream(text);
  for (const IsaModule &part : *parts) {
    if (form == HostText::Assembly)
      stream << "# " << isaName(part.isa) << "\n"
             << llvm::StringRef(part.output.data(), part.output.size());
    else
      stream << "; " << isaName(part.isa) << "\n" << *part.module;
  }
  return text;
}
