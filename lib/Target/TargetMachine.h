//===- TargetMachine.h - LLVM's X86 code generator --------------*- C++ -*-===//
#pragma once

#include "sinter/Target/HostObject.h"

#include "llvm/IR/Module.h"
#include "llvm/Support/CodeGen.h"
#include "llvm/Target/TargetMachine.h"

#include <memory>

namespace sinter {

/// Position-independent code for Linux on `cpu` with `features` ("+avx512bf16") added; null when
/// LLVM has no X86.
std::unique_ptr<llvm::TargetMachine> createHostMachine(llvm::StringRef cpu,
                                                       llvm::StringRef features = "");

/// Appends `module` as an object or as assembly; false when LLVM cannot.
bool emitCode(llvm::TargetMachine &machine, llvm::Module &module, llvm::CodeGenFileType form,
              ObjectBytes &output);

} // namespace sinter
