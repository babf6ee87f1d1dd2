//===- TargetMachine.cpp - LLVM's X86 code generator ----------------------===//
#include "TargetMachine.h"

#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Triple.h"

#include <mutex>

using namespace sinter;

std::unique_ptr<llvm::TargetMachine> sinter::createHostMachine(llvm::StringRef cpu,
                                                               llvm::StringRef features) {
  static std::once_flag once; // LLVM's list of targets is not guarded
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
  const llvm::Triple triple("x86_64-unknown-linux-gnu");
  std::string ignored;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, ignored);
  if (!target)
    return nullptr;
  llvm::TargetOptions options;
  options.FunctionSections = true;
  options.DataSections = true;
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(triple, cpu, features, options, llvm::Reloc::PIC_,
                                  llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default));
}

bool sinter::emitCode(llvm::TargetMachine &machine, llvm::Module &module,
                      llvm::CodeGenFileType form, ObjectBytes &output) {
  llvm::raw_svector_ostream stream(output);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, form))
    return false;
  passes.run(module);
  return true;
}
