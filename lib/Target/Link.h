//===- Link.h - lld in this process -----------------------------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"
#include "sinter/Target/HostObject.h"

#include <string>

namespace sinter {

/// A shared object without undefined symbols and dependencies from relocatable ones.
Result<std::string> linkSharedObject(llvm::ArrayRef<llvm::StringRef> objects);

} // namespace sinter
