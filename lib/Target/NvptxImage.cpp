//===- NvptxImage.cpp - GPU kernels to PTX --------------------------------===//
#include "sinter/Target/NvptxImage.h"

#include "DeviceBodies.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVMPass.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Triple.h"

#include <mutex>

using namespace mlir;
using namespace sinter;

/// The first PTX version that knows the chip and what the hand-written kernels use
/// (movmatrix: 7.8, bulk copies and their mbarriers: 8.0, st.async: 8.1), for the oldest drivers.
static StringRef ptxFeature(StringRef chip) {
  return llvm::StringSwitch<StringRef>(chip)
      .Cases({"sm_80", "sm_86", "sm_89"}, "+ptx78")
      .Case("sm_90", "+ptx80")
      .Case("sm_90a", "+ptx81")
      .Default("");
}

bool sinter::isNvptxChip(StringRef chip) { return !ptxFeature(chip).empty(); }

static std::unique_ptr<llvm::TargetMachine> createMachine(StringRef chip) {
  // Kernels are compiled side by side, and LLVM's list of targets is not guarded: a target that
  // another thread is about to enter would not be found.
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  const llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string ignored;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, ignored);
  if (!target)
    return nullptr;
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(triple, chip, ptxFeature(chip), {}, std::nullopt, std::nullopt,
                                  llvm::CodeGenOptLevel::Aggressive));
}

/// The machine, or an error that says why there is none.
static FailureOr<std::unique_ptr<llvm::TargetMachine>> machineFor(Location loc, StringRef chip) {
  if (!isNvptxChip(chip))
    return emitError(loc) << "unknown GPU chip '" << chip
                          << "', expected sm_80, sm_86, sm_89, sm_90 or sm_90a";
  std::unique_ptr<llvm::TargetMachine> machine = createMachine(chip);
  if (!machine)
    return emitError(loc, "LLVM was built without its NVPTX target");
  return machine;
}

/// The upstream passes for these two run on a builtin.module only.
static LogicalResult lowerBranches(Operation *gpuModule) {
  MLIRContext *context = gpuModule->getContext();
  LLVMTypeConverter types(context);
  RewritePatternSet patterns(context);
  arith::populateArithToLLVMConversionPatterns(types, patterns);
  cf::populateControlFlowToLLVMConversionPatterns(types, patterns);
  LLVMConversionTarget target(*context);
  return applyPartialConversion(gpuModule, target, std::move(patterns));
}

static LogicalResult lowerToLLVMDialect(Operation *gpuModule) {
  PassManager pm(gpuModule->getContext(), gpuModule->getName().getStringRef());
  pm.enableVerifier(false); // the last pass manager verifies
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertNVVMToLLVMPass());
  PassManager end(gpuModule->getContext(), gpuModule->getName().getStringRef());
  end.addPass(createReconcileUnrealizedCastsPass());
  return failure(failed(pm.run(gpuModule)) || failed(lowerBranches(gpuModule)) ||
                 failed(end.run(gpuModule)));
}

static void optimise(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graphs;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  // Kernels are vectorised and unrolled as written; guessing again costs registers.
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  tuning.LoopUnrolling = false;
  llvm::PassBuilder builder(&machine, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(module, modules);
}

FailureOr<std::unique_ptr<llvm::Module>>
sinter::translateGpuModule(Operation *gpuModule, StringRef chip, llvm::LLVMContext &context) {
  auto machine = machineFor(gpuModule->getLoc(), chip);
  if (failed(machine))
    return failure();
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  gpuModule->getContext()->appendDialectRegistry(registry);
  if (failed(lowerToLLVMDialect(gpuModule)))
    return failure();
  std::unique_ptr<llvm::Module> module = translateModuleToLLVMIR(gpuModule, context);
  if (!module)
    return failure();
  module->setTargetTriple((*machine)->getTargetTriple());
  module->setDataLayout((*machine)->createDataLayout());
  if (failed(linkDeviceBodies(gpuModule->getLoc(), *module, chip)))
    return failure();
  optimise(*module, **machine);
  return module;
}

FailureOr<std::string> sinter::emitPtx(Location loc, llvm::Module &module, StringRef chip) {
  auto machine = machineFor(loc, chip);
  if (failed(machine))
    return failure();
  SmallVector<char, 0> output;
  llvm::raw_svector_ostream stream(output);
  llvm::legacy::PassManager passes;
  if ((*machine)->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::AssemblyFile))
    return emitError(loc, "LLVM cannot emit PTX for ") << chip;
  passes.run(module);
  return std::string(output.begin(), output.end());
}

FailureOr<std::string> sinter::emitPtx(Operation *gpuModule, StringRef chip) {
  llvm::LLVMContext context;
  auto module = translateGpuModule(gpuModule, chip, context);
  if (failed(module))
    return failure();
  return emitPtx(gpuModule->getLoc(), **module, chip);
}
