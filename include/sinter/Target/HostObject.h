//===- HostObject.h - kernels to machine code -------------------*- C++ -*-===//
//
// One relocatable object per instruction set, so that two threads compile them, and one with the
// program table and the artefact's sections.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Conversion/StepProgram.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SmallVector.h"

#include <string>
#include <utility>
#include <vector>

namespace sinter {

using ObjectBytes = llvm::SmallVector<char, 0>;

enum class HostText { LlvmIr, Assembly };

/// Machine code of the kernels in `kernels`, a module in the LLVM dialect.
mlir::FailureOr<std::vector<ObjectBytes>>
emitKernelObjects(mlir::ModuleOp kernels, const StepProgram &program, llvm::ArrayRef<CpuIsa> isas);

/// The same kernels for people: as translated, or as assembled.
mlir::FailureOr<std::string> emitKernelText(mlir::ModuleOp kernels, const StepProgram &program,
                                            llvm::ArrayRef<CpuIsa> isas, HostText form);

/// A section of the artefact: its name and its bytes.
using Section = std::pair<llvm::StringRef, llvm::StringRef>;

/// What the step walker and all printers of a program rely on without looking.
mlir::LogicalResult checkProgram(mlir::Location loc, const StepProgram &program);

/// The program table (sinter_abi.h) that refers to the kernels by name, and the sections.
mlir::FailureOr<ObjectBytes> emitTableObject(mlir::Location loc, const StepProgram &program,
                                             llvm::ArrayRef<Section> sections);

} // namespace sinter
