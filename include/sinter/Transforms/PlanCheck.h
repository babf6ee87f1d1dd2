//===- PlanCheck.h - reading and checking a buffer plan ---------*- C++ -*-===//
#pragma once

#include "sinter/Dialect/Xfmr.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sinter::xfmr {

/// On ops with tensor results: one number per result, a byte offset in the arena or one of the two
/// below.
constexpr llvm::StringLiteral kBuffersAttr = "xfmr.buffers";
/// On the module: bytes of the arena that all its steps share.
constexpr llvm::StringLiteral kArenaBytesAttr = "xfmr.arena_bytes";

constexpr int64_t kNoBuffer = -1;     ///< weights and handles
constexpr int64_t kOutputBuffer = -2; ///< results of the step: the caller's memory

/// Bytes of a tensor of this step with as many tokens and rows as the step may have.
mlir::FailureOr<int64_t> plannedBytes(mlir::func::FuncOp func, mlir::Value value);

/// Plays the schedule on an imaginary arena, using nothing of the planner but the attributes, and
/// reports the first op that would read bytes another op has overwritten, or write outside
/// [0, arenaBytes).
mlir::LogicalResult checkPlan(mlir::func::FuncOp func, int64_t arenaBytes);

} // namespace sinter::xfmr
