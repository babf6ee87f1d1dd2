//===- DeviceImage.cpp - all GPU kernels of an artefact -------------------===//
//
// A kernel's bytecode is the unit of work and of the cache: it is written once, read in a context
// of the thread that compiles it, and hashed together with everything else that decides the code.
// (Text would take ten times as long to print as the rest of a compilation from the cache.)
//
//===----------------------------------------------------------------------===//
#include "sinter/Target/DeviceImage.h"

#include "KernelCache.h"
#include "sinter/Target/Artifact.h"
#include "sinter/Target/NvptxImage.h"

#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <mutex>
#include <thread>

using namespace mlir;
using namespace sinter;

namespace {

/// A file and its age: a new build of a tool is another tool.
std::string identityOf(const std::string &path) {
  llvm::sys::fs::file_status status;
  if (llvm::sys::fs::status(path, status))
    return path;
  return path + " " + std::to_string(status.getSize()) + " " +
         std::to_string(status.getLastModificationTime().time_since_epoch().count());
}

std::string ownIdentity() {
  static int anchor;
  return std::string(compilerBuild()) + " " + LLVM_VERSION_STRING + " " +
         identityOf(llvm::sys::fs::getMainExecutable("", &anchor));
}

/// Where a kernel comes from is nothing that its code depends on.
void dropLocations(Operation *kernels) {
  const Location none = UnknownLoc::get(kernels->getContext());
  kernels->walk([&](Operation *op) {
    op->setLoc(none);
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (BlockArgument argument : block.getArguments())
          argument.setLoc(none);
  });
}

struct Job {
  std::string bytecode; ///< of the gpu.module
  CachedKernel kernel;
  std::string error;
  bool cached = false;
};

class ImageCompiler {
public:
  ImageCompiler(StringRef chip, const DeviceImageOptions &options)
      : chip(chip.str()), cache(options.cacheFolder), ptxas(findPtxas()),
        tools(ownIdentity() + "\n" + (ptxas ? identityOf(*ptxas) : "no ptxas") + "\n" + this->chip +
              "\n") {}

  void run(Job &job) const {
    const std::string key = KernelCache::keyOf(tools + job.bytecode);
    if (std::optional<CachedKernel> found = cache.find(key)) {
      job.kernel = std::move(*found);
      job.cached = true;
      return;
    }
    if (compile(job))
      cache.store(key, job.kernel);
  }

private:
  bool compile(Job &job) const {
    DialectRegistry registry;
    registry.insert<arith::ArithDialect, cf::ControlFlowDialect, mlir::gpu::GPUDialect,
                    LLVM::LLVMDialect, NVVM::NVVMDialect, scf::SCFDialect, vector::VectorDialect>();
    MLIRContext context(registry, MLIRContext::Threading::DISABLED);
    ScopedDiagnosticHandler errors(&context, [&](Diagnostic &d) {
      if (d.getSeverity() == DiagnosticSeverity::Error && job.error.empty())
        job.error = d.str();
      return success();
    });
    OwningOpRef<ModuleOp> module =
        parseSourceString<ModuleOp>(job.bytecode, ParserConfig(&context));
    if (!module)
      return false;
    auto kernels = *module->getOps<mlir::gpu::GPUModuleOp>().begin();
    FailureOr<std::string> ptx = emitPtx(kernels, chip);
    if (failed(ptx))
      return false;
    job.kernel.ptx = std::move(*ptx);
    if (!ptxas)
      return true;
    FailureOr<Cubin> cubin = assemblePtx(module->getLoc(), job.kernel.ptx, chip, *ptxas);
    if (failed(cubin))
      return false;
    job.kernel.cubin = std::move(cubin->bytes);
    if (!cubin->kernels.empty())
      job.kernel.resources = cubin->kernels.front();
    return true;
  }

  std::string chip;
  KernelCache cache;
  std::optional<std::string> ptxas;
  std::string tools; ///< everything that decides the code besides the kernel
};

void runAll(const ImageCompiler &compiler, std::vector<Job> &jobs,
            const DeviceImageOptions &options) {
  std::atomic<size_t> next{0};
  std::mutex reporting;
  size_t done = 0;
  const auto work = [&] {
    for (size_t i; (i = next++) < jobs.size();) {
      compiler.run(jobs[i]);
      const std::lock_guard lock(reporting);
      ++done;
      if (options.progress)
        options.progress(done, jobs.size());
    }
  };
  const unsigned threads =
      options.threads ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> others;
  for (unsigned i = 1; i < std::min<size_t>(threads, jobs.size()); ++i)
    others.emplace_back(work);
  work();
  for (std::thread &thread : others)
    thread.join();
}

} // namespace

FailureOr<DeviceImage> sinter::compileDeviceImage(ModuleOp lowered, StepProgram &program,
                                                  const DeviceImageOptions &options) {
  std::vector<Job> jobs;
  for (auto module : lowered.getOps<mlir::gpu::GPUModuleOp>()) {
    jobs.emplace_back();
    dropLocations(module);
    llvm::raw_string_ostream stream(jobs.back().bytecode);
    if (failed(writeBytecodeToFile(module, stream)))
      return module.emitError("cannot be written as bytecode");
  }
  if (jobs.size() != program.kernels.size())
    return lowered.emitError("has ")
           << jobs.size() << " gpu.modules for " << program.kernels.size() << " kernels";
  const ImageCompiler compiler(program.chip, options);
  runAll(compiler, jobs, options);
  DeviceImage image;
  for (auto [job, kernel] : llvm::zip_equal(jobs, program.kernels)) {
    if (!job.error.empty() || job.kernel.ptx.empty())
      return lowered.emitError() << "kernel " << kernel.name << ": "
                                 << (job.error.empty() ? "cannot be compiled" : job.error);
    kernel.device.registers = job.kernel.resources.registers;
    kernel.device.staticSharedBytes = job.kernel.resources.sharedBytes;
    kernel.device.spillBytes = job.kernel.resources.spillBytes;
    image.cached += job.cached;
    image.modules.push_back({std::move(job.kernel.ptx), std::move(job.kernel.cubin)});
  }
  return image;
}

FailureOr<std::string> sinter::emitDeviceLlvm(ModuleOp lowered, StringRef chip) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  for (auto module : lowered.getOps<mlir::gpu::GPUModuleOp>()) {
    llvm::LLVMContext context;
    auto translated = translateGpuModule(module, chip, context);
    if (failed(translated))
      return failure();
    stream << **translated;
  }
  return text;
}
