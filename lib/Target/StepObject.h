//===- StepObject.h - step.c, compiled when Sinter is built -----*- C++ -*-===//
#pragma once

#include "llvm/ADT/StringRef.h"

namespace sinter {
llvm::StringRef stepObject();
} // namespace sinter
