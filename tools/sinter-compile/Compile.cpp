//===- Compile.cpp - from a model or a graph to any stage -----------------===//
#include "Compile.h"

#include "Diagnostics.h"
#include "ModelSource.h"
#include "PassSwitch.h"
#include "TuneParts.h"

#include "models/ImportXfmr.h"
#include "sinter/Conversion/LowerToLLVM.h"
#include "sinter/Conversion/XfmrToCpu.h"
#include "sinter/Conversion/XfmrToCuda.h"
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Pipelines.h"
#include "sinter/Registration.h"
#include "sinter/Target/Artifact.h"
#include "sinter/Target/HostObject.h"
#include "sinter/Target/NvptxImage.h"
#include "sinter/Target/TunePack.h"
#include "sinter/Transforms/FusionReport.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"

#include <chrono>
#include <map>

using namespace mlir;
using namespace sinter;

namespace {

/// Names are those of locations, so that a printed graph reads like the model.
OpPrintingFlags printingFlags() {
  return OpPrintingFlags().enableDebugInfo(true).printNameLocAsPrefix();
}

std::string printModule(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, printingFlags());
  return text;
}

/// A CPU's instruction sets or a GPU's chip.
struct CompileTarget {
  std::vector<CpuIsa> isas;
  std::string chip;

  bool cuda() const { return !chip.empty(); }
};

Result<CompileTarget> parseTarget(StringRef target) {
  if (target == "cpu")
    return CompileTarget{{CpuIsa::V3, CpuIsa::V4, CpuIsa::V4Bf16}, {}};
  if (target == "cpu:x86-64-v3")
    return CompileTarget{{CpuIsa::V3}, {}};
  if (target == "cpu:x86-64-v4")
    return CompileTarget{{CpuIsa::V4}, {}};
  if (target == "cpu:x86-64-v4-bf16") // most of its kernels are v4's
    return CompileTarget{{CpuIsa::V4, CpuIsa::V4Bf16}, {}};
  if (target == "cuda")
    return CompileTarget{{}, "sm_90a"};
  if (StringRef chip = target; chip.consume_front("cuda:") && isNvptxChip(chip))
    return CompileTarget{{}, chip.str()};
  return unsupported(
      "--target: \"" + target.str() +
      "\" is not supported (cpu, cpu:x86-64-v3, -v4 and -v4-bf16, cuda and cuda:CHIP "
      "with sm_80, sm_86, sm_89, sm_90 or sm_90a are)");
}

class Compiler {
public:
  explicit Compiler(const CompileRequest &request)
      : request(request), context(registry(), MLIRContext::Threading::DISABLED), errors(context) {}

  Result<CompileResult> run();
  /// Up to the kernels: what the wanted sequences and, with `candidates`, every linear need.
  Status addTo(TunePack &pack, llvm::ArrayRef<TunePack::Wanted> wanted, bool candidates);

private:
  static DialectRegistry registry() {
    DialectRegistry registry;
    registerDialects(registry);
    return registry;
  }

  Status prepare();
  LogicalResult import();
  LogicalResult fuse();
  void explainFusion();
  LogicalResult plan();
  LogicalResult lower();
  LogicalResult lowerToLlvm();
  LogicalResult emit();

  OwningOpRef<ModuleOp> importModel();
  OwningOpRef<ModuleOp> parseGraph();
  /// A graph whose every step knows its head has been specialised before.
  bool isSpecialised();
  LogicalResult runPasses(ModuleOp on, llvm::function_ref<void(OpPassManager &)> build);
  ArtifactInfo describe() const;
  PipelineOptions pipeline();
  FailureOr<std::string> emitForDevice();

  const CompileRequest &request;
  MLIRContext context;
  FirstError errors;
  CompileTarget target;
  CudaOptions cuda;
  OwningOpRef<ModuleOp> module, kernels;
  StepProgram program;
  CompileResult result;
  CompileProgress progress = {};
};

OwningOpRef<ModuleOp> Compiler::importModel() {
  const ModelSource &model = *request.model;
  models::ImportOptions options;
  options.name = model.name;
  options.eosIds = model.generation.eosIds;
  options.activation = request.dtype.value_or(model.defaultDType());
  options.cache = request.kvDtype.value_or(options.activation);
  options.pageSize = request.pageSize;
  options.maxTokensPerStep = request.maxTokensPerStep;
  options.kScale = request.kScale;
  const auto weightDType = [&](StringRef tensor) {
    return model.weightDType(std::string_view(tensor.data(), tensor.size()));
  };
  return models::importXfmr(context, model.config, model.variants, weightDType, options);
}

OwningOpRef<ModuleOp> Compiler::parseGraph() {
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(request.graphText, request.graphFile),
                             llvm::SMLoc());
  return parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
}

LogicalResult Compiler::import() {
  module = request.model ? importModel() : parseGraph();
  return module ? verify(*module) : failure();
}

bool Compiler::isSpecialised() {
  return llvm::all_of(module->getOps<func::FuncOp>(), [](func::FuncOp func) {
    return !func->hasAttr(xfmr::kEntryAttr) || func->hasAttr(xfmr::kHeadAttr);
  });
}

LogicalResult Compiler::runPasses(ModuleOp on, llvm::function_ref<void(OpPassManager &)> build) {
  PassManager passes(&context);
  if (request.printIrAfterAll)
    passes.enableIRPrinting([](Pass *, Operation *) { return false; },
                            [](Pass *, Operation *) { return true; }, true, true, false,
                            llvm::errs(), printingFlags());
  build(passes);
  return passes.run(on);
}

PipelineOptions Compiler::pipeline() {
  int64_t maxTokens = 1;
  for (auto func : module->getOps<func::FuncOp>())
    if (auto tokens = func->getAttrOfType<DenseI64ArrayAttr>(xfmr::kTokensAttr))
      maxTokens = std::max(maxTokens, tokens[1]);
  PipelineOptions options = target.cuda() ? cudaPipelineOptions(maxTokens) : cpuPipelineOptions();
  options.reuseBuffers = request.reuseBuffers;
  return options;
}

/// What a fusion costs depends on the target and on a function's tokens: known between the stages.
LogicalResult Compiler::fuse() {
  const PipelineOptions options = pipeline();
  if (!isSpecialised() && failed(runPasses(*module, [&](OpPassManager &passes) {
        addShardStage(passes, options);
        addMergeStage(passes);
        addSpecialiseStage(passes, options);
      })))
    return failure();
  if (target.cuda() && !cuda.batchInvariant) // what differs between entries, sums differently
    markSlowerFusions(*module, cuda);
  return runPasses(*module, addFuseStage);
}

/// After lowering, because only the target knows how many launches an op takes.
void Compiler::explainFusion() {
  std::map<std::string, xfmr::EntryNotes> notes;
  for (const StepEntry &entry : program.entries) {
    notes[entry.name].launches = entry.ops.size();
    notes[entry.name].layerLaunches = llvm::count_if(
        entry.ops, [](const StepOp &op) { return StringRef(op.name).starts_with("layers."); });
    notes[entry.name].splitsAttention = llvm::any_of(entry.ops, [](const StepOp &op) {
      const bool merge = op.op == "attention" && StringRef(op.name).ends_with(".merge");
      return merge || op.op == "decode_plan";
    });
    if (target.cuda())
      notes[entry.name].kernels = fusedKernelLines(entry, cuda);
  }
  llvm::raw_string_ostream stream(result.fusionReport);
  xfmr::printFusionReport(*module, stream, notes);
}

LogicalResult Compiler::plan() {
  return runPasses(*module, [&](OpPassManager &passes) {
    addLayoutStage(passes, pipeline());
    addPlanStage(passes, pipeline());
  });
}

LogicalResult Compiler::lower() {
  FailureOr<StepProgram> converted = target.cuda()
                                         ? convertXfmrToCuda(*module, cuda, kernels)
                                         : convertXfmrToCpu(*module, target.isas, kernels);
  if (failed(converted))
    return failure();
  program = std::move(*converted);
  result.entries = program.entries.size();
  result.kernels = program.kernels.size();
  return verify(*kernels);
}

/// GPU kernels go to LLVM one by one, in the threads that compile them.
LogicalResult Compiler::lowerToLlvm() {
  if (target.cuda())
    return success();
  return runPasses(*kernels, [](OpPassManager &passes) { buildLowerToLLVMPipeline(passes); });
}

ArtifactInfo Compiler::describe() const {
  ArtifactInfo info;
  info.name = llvm::sys::path::stem(request.graphFile).str();
  if (!request.model)
    return info;
  const ModelSource &model = *request.model;
  info.name = model.name;
  info.generation = {
      model.generation.doSample,     model.generation.temperature,       model.generation.topP,
      model.generation.minP,         model.generation.repetitionPenalty, model.generation.topK,
      model.generation.maxNewTokens, model.generation.maxLength};
  info.sourceDirectory = model.directory;
  if (model.checkpoint)
    for (const SafetensorsFile &file : model.checkpoint->files())
      info.sourceFiles.push_back({file.header().fileName, file.header().hash});
  info.tokenizer = model.tokenizer;
  info.chatTemplate = model.chatTemplate;
  return info;
}

FailureOr<std::string> Compiler::emitForDevice() {
  if (request.emit == EmitStage::Llvm)
    return emitDeviceLlvm(*kernels, target.chip);
  const auto report = [this](size_t done, size_t all) {
    progress.kernels = done;
    progress.allKernels = all;
    if (request.progress)
      request.progress(progress);
  };
  FailureOr<DeviceImage> image =
      compileDeviceImage(*kernels, program, {request.kernelCache, /*threads=*/0, report});
  if (failed(image))
    return failure();
  result.cachedKernels = image->cached;
  for (const StepKernel &kernel : program.kernels)
    result.spillBytes += kernel.device.spillBytes;
  result.hasCubins = !image->modules.empty() && !image->modules.front().cubin.empty();
  if (request.emit == EmitStage::Artifact)
    return writeArtifact(*module, program, *image, describe());
  std::string text;
  for (const DeviceModule &module : image->modules)
    text += module.ptx;
  return text;
}

LogicalResult Compiler::emit() {
  FailureOr<std::string> output = failure();
  if (target.cuda())
    output = emitForDevice();
  else if (request.emit == EmitStage::Artifact)
    output = writeArtifact(*module, *kernels, program, target.isas, describe());
  else
    output = emitKernelText(*kernels, program, target.isas,
                            request.emit == EmitStage::Asm ? HostText::Assembly : HostText::LlvmIr);
  if (failed(output))
    return failure();
  result.output = std::move(*output);
  return success();
}

Status Compiler::prepare() {
  SINTER_ASSIGN_OR_RETURN(target, parseTarget(request.target));
  if (target.cuda()) {
    cuda.chip = target.chip;
    cuda.batchInvariant = request.batchInvariant;
    cuda.linearWrites = request.fusion && !llvm::any_of(request.disabledPasses, isLinearWrite);
    if (request.tunedFile.empty()) {
      cuda.tuned = builtinTunedTable(target.chip);
    } else if (request.tunedFile != "none") {
      SINTER_ASSIGN_OR_RETURN(cuda.tuned,
                              readTunedTable(request.tunedText, request.tunedFile, target.chip));
    }
  }
  if (!target.cuda() && llvm::any_of(request.disabledPasses, isLinearWrite))
    return invalidArgument("--disable-pass: " + std::string(kLinearWrite) +
                           " is a fusion of the cuda target");
  return switchPasses(context, request.fusion, request.disabledPasses);
}

Status Compiler::addTo(TunePack &pack, llvm::ArrayRef<TunePack::Wanted> wanted, bool candidates) {
  SINTER_RETURN_IF_ERROR(prepare());
  // What is to be measured must not have been decided by an older measurement.
  cuda.tuned = nullptr;
  std::vector<TuneLinear> linears;
  if (candidates)
    cuda.candidates = &linears;
  if (failed(import()) || failed(fuse()) || failed(plan()) || failed(lower()) ||
      failed(pack.add(*module, *kernels, std::move(program), std::move(linears), wanted,
                      {request.kernelCache, /*threads=*/0})))
    return errors.status("a kernel cannot be compiled");
  return Status::ok();
}

Result<CompileResult> Compiler::run() {
  SINTER_RETURN_IF_ERROR(prepare());
  struct Stage {
    const char *name;
    LogicalResult (Compiler::*body)();
    EmitStage last; ///< printing this stage ends here
  };
  const Stage stages[] = {{"import", &Compiler::import, EmitStage::Xfmr},
                          {"fuse", &Compiler::fuse, EmitStage::Artifact},
                          {"plan", &Compiler::plan, EmitStage::Fused},
                          {"lower", &Compiler::lower, EmitStage::Lowered},
                          {"lower to LLVM", &Compiler::lowerToLlvm, EmitStage::Artifact},
                          {"emit", &Compiler::emit, EmitStage::Artifact}};
  progress.stages = std::size(stages);
  for (const Stage &stage : stages) {
    ++progress.stage;
    progress.name = stage.name;
    if (request.progress)
      request.progress(progress);
    const auto start = std::chrono::steady_clock::now();
    if (failed((this->*stage.body)()))
      return errors.status(std::string(stage.name) + " failed");
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    result.times.push_back({stage.name, took.count()});
    if (request.emit == stage.last && request.emit != EmitStage::Artifact) {
      result.output = printModule(request.emit == EmitStage::Lowered ? *kernels : *module);
      break;
    }
  }
  if (request.explainFusion)
    explainFusion();
  return std::move(result);
}

} // namespace

std::string sinter::compilerDescription() {
  return std::string(compilerVersion()) + " (commit " + compilerBuild() + ", LLVM " +
         LLVM_VERSION_STRING + ")";
}

Result<CompileResult> sinter::compile(const CompileRequest &request) {
  return Compiler(request).run();
}

Result<CompileResult> sinter::compileTunePack(const CompileRequest &request) {
  TunePack pack;
  const std::vector<TunePart> parts = tuneParts();
  for (const TunePart &part : parts) {
    CompileRequest own = request;
    own.disabledPasses.insert(own.disabledPasses.end(), part.disabled.begin(), part.disabled.end());
    SINTER_RETURN_IF_ERROR(Compiler(own).addTo(pack, part.wanted, &part == &parts.front()));
  }
  addTuneFusions(pack);
  CompileResult result;
  result.kernels = pack.kernels();
  result.output = pack.write(request.model ? request.model->name
                                           : llvm::sys::path::stem(request.graphFile).str());
  return std::move(result);
}
