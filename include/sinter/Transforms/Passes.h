//===- Passes.h - xfmr -> xfmr, in pipeline order ---------------*- C++ -*-===//
#pragma once

#include "mlir/Pass/Pass.h"

namespace mlir {
class ModuleOp;
namespace func {
class FuncOp;
}
} // namespace mlir

namespace sinter::xfmr {
#define GEN_PASS_DECL
#include "sinter/Transforms/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr
