//===- TargetChoice.h - what to compile a model for here --------*- C++ -*-===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "sinter/Support/Status.h"

#include <functional>
#include <string>

namespace sinter {

/// The compiler's target for a model that this machine will run: `asked` where given, with the
/// GPU's chip where it says just "cuda"; else the GPU of that number, which is then announced to
/// `say`; else empty, the compiler's default. Asking for a GPU where none can be used is an error.
Result<std::string> chooseTarget(const std::string &asked, int device,
                                 const std::function<void(const std::string &)> &say);

/// Whether a compiled model is for `asked`: "cpu", "cpu:x86-64-v4", "cuda" or "cuda:sm_90a".
bool isCompiledFor(const Manifest &manifest, const std::string &asked);

/// Refuses `--isa` (SinterModel::isa; 0: not given) where `--target` makes no code for it.
Status checkIsa(const std::string &target, uint32_t isa);

} // namespace sinter
