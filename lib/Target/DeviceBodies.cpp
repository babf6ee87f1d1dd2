//===- DeviceBodies.cpp - hand-written kernels for generated modules -------===//
//
// runtime/kernels/Bodies.cu was compiled to bitcode when Sinter was built, once per level of the
// instruction set; the compiler carries those bytes and reads from them only what a module calls.
//
//===----------------------------------------------------------------------===//
#include "DeviceBodies.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;
using namespace sinter;

// The assembler copies the file: faster to build than a table of numbers.
#define SINTER_EMBED(symbol, path)                                                                 \
  asm(".pushsection .rodata, \"a\", @progbits\n"                                                   \
      ".balign 16\n" #symbol ":\n"                                                                 \
      ".incbin \"" path "\"\n" #symbol "_end:\n"                                                   \
      ".byte 0\n"                                                                                  \
      ".popsection\n");                                                                            \
  extern "C" __attribute__((visibility("hidden"))) const char symbol[], symbol##_end[];

SINTER_EMBED(sinter_bodies_sm_80, SINTER_BODIES_SM_80)
SINTER_EMBED(sinter_bodies_sm_90, SINTER_BODIES_SM_90)
SINTER_EMBED(sinter_bodies_sm_90a, SINTER_BODIES_SM_90A)

/// What the chip can run.
static StringRef bodiesFor(StringRef chip) {
  if (chip == "sm_90a")
    return {sinter_bodies_sm_90a, size_t(sinter_bodies_sm_90a_end - sinter_bodies_sm_90a)};
  if (chip == "sm_90")
    return {sinter_bodies_sm_90, size_t(sinter_bodies_sm_90_end - sinter_bodies_sm_90)};
  return {sinter_bodies_sm_80, size_t(sinter_bodies_sm_80_end - sinter_bodies_sm_80)};
}

/// A function that is called and has no body, if there is one.
static const llvm::Function *missing(const llvm::Module &module) {
  for (const llvm::Function &f : module)
    if (f.isDeclaration() && !f.isIntrinsic() && !f.use_empty())
      return &f;
  return nullptr;
}

LogicalResult sinter::linkDeviceBodies(Location loc, llvm::Module &module, StringRef chip) {
  if (!missing(module))
    return success();
  const llvm::MemoryBufferRef bytes(bodiesFor(chip), "device bodies");
  llvm::Expected<std::unique_ptr<llvm::Module>> bodies =
      llvm::getLazyBitcodeModule(bytes, module.getContext());
  if (!bodies)
    return emitError(loc, "the device bodies in this compiler cannot be read: ")
           << llvm::toString(bodies.takeError());
  if (llvm::Linker::linkModules(module, std::move(*bodies), llvm::Linker::LinkOnlyNeeded))
    return emitError(loc, "the device bodies cannot be linked");
  if (const llvm::Function *f = missing(module))
    return emitError(loc) << "no device body named '" << f->getName() << "' for " << chip;
  for (llvm::Function &f : module) {
    if (f.isDeclaration() || f.getCallingConv() == llvm::CallingConv::PTX_Kernel)
      continue;
    f.setLinkage(llvm::GlobalValue::InternalLinkage);
    f.setComdat(nullptr);
    // The chip of the level, where the module's is meant.
    f.removeFnAttr("target-cpu");
    f.removeFnAttr("target-features");
  }
  return success();
}
