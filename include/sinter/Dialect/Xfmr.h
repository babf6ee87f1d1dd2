//===- Xfmr.h - C++ face of the xfmr dialect --------------------*- C++ -*-===//
#pragma once

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "sinter/Dialect/XfmrDialect.h.inc"
#include "sinter/Dialect/XfmrEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "sinter/Dialect/XfmrAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "sinter/Dialect/XfmrTypes.h.inc"

namespace sinter::xfmr {
/// Where cache writes and reads take effect: orders them, keeps them alive.
struct KvCacheResource : mlir::SideEffects::Resource::Base<KvCacheResource> {
  llvm::StringRef getName() final { return "KvCache"; }
};
/// Where collectives take effect: all ranks must issue them in one order.
struct CommResource : mlir::SideEffects::Resource::Base<CommResource> {
  llvm::StringRef getName() final { return "Comm"; }
};
} // namespace sinter::xfmr

#include "sinter/Dialect/XfmrInterfaces.h.inc"
#define GET_OP_CLASSES
#include "sinter/Dialect/XfmrOps.h.inc"

namespace sinter::xfmr {
/// Attribute names on entry functions.
constexpr llvm::StringLiteral kEntryAttr = "xfmr.entry";      ///< unit: this function is a step
constexpr llvm::StringLiteral kTokensAttr = "xfmr.tokens";    ///< array<i64: lo, hi>, inclusive
constexpr llvm::StringLiteral kMaxRowsAttr = "xfmr.max_rows"; ///< i64: most rows of the head
constexpr llvm::StringLiteral kHeadAttr = "xfmr.head";        ///< "logits" or "argmax"
constexpr llvm::StringLiteral kCoverAttr = "xfmr.cover";      ///< "a", "b" or "c"
constexpr llvm::StringLiteral kMaxQAttr = "xfmr.max_q";       ///< i64: most tokens of one sequence
} // namespace sinter::xfmr
