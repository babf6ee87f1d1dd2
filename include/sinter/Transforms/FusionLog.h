//===- FusionLog.h - what a fusion did and why not --------------*- C++ -*-===//
//
// Kept in the IR, on the function, so that it is the same with any number of threads:
//
//   xfmr.fusion = {"fuse-linear-add" = {candidates = 56, fused = 55, saved = 225280,
//                                       missed = {"the linear has another user" = 1}}, ...}
//   (saved: activation bytes per token that all its fusions together keep from moving)
//   xfmr.baseline = {unmerged = array<i64: layers, kernels, bytes per token>, merged = ...}
//
// The candidates of every fusion are counted once, before the first fusion; afterwards
// fused + missed = candidates always holds. MLIR remarks (category "fusion") mirror the record.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Dialect/Xfmr.h"

#include "mlir/IR/Remarks.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

#include <map>
#include <string>

namespace sinter::xfmr {

constexpr llvm::StringLiteral kFusionAttr = "xfmr.fusion";
constexpr llvm::StringLiteral kBaselineAttr = "xfmr.baseline";

/// How many places each fusion could have fired at, by pass name without "xfmr-".
std::map<std::string, int64_t> countFusionCandidates(mlir::FunctionOpInterface func);

class FusionLog {
public:
  /// Opens the record of `pass` ("fuse-linear-add"). The first fusion of a function fixes the
  /// candidates of all and the merged baseline.
  FusionLog(mlir::FunctionOpInterface func, llvm::StringRef pass);

  /// As above for a merge, which runs before the fusions and counts its own candidates; the first
  /// merge of a function notes the unmerged baseline.
  FusionLog(mlir::FunctionOpInterface func, llvm::StringRef pass, int64_t candidates);

  /// One candidate became `op`.
  void fused(mlir::Operation *op);
  /// One candidate stayed; `op` is where.
  void missed(mlir::Operation *op, llvm::StringRef reason);
  /// A remark about the whole function.
  void note(llvm::StringRef text) { noteText = text.str(); }

  /// Writes the record. Candidates that neither fused nor stayed were taken by another fusion:
  /// `taken` says by which.
  void finish(llvm::StringRef taken = "another fusion took it");

private:
  void readRecord();
  mlir::remark::RemarkOpts remarkOptions();

  mlir::FunctionOpInterface func;
  std::string pass;
  int64_t candidates = 0;
  int64_t fusedBefore = 0;
  int64_t fusedNow = 0;
  int64_t savedBefore = 0;
  int64_t bytesAtStart = 0; ///< activation bytes per token of the whole function
  std::map<std::string, int64_t> reasons, reasonsBefore;
  std::string noteText;
};

/// How often each reason was given in one pass's record; what is not such a list reads as empty.
std::map<std::string, int64_t> missedReasons(mlir::DictionaryAttr record);

/// How linear -> add -> norm -> linear is covered: the option, else the function's `xfmr.cover`,
/// else b where there is an all-reduce and a elsewhere. Fails on anything but a, b or c.
mlir::FailureOr<char> coverOf(mlir::FunctionOpInterface func, llvm::StringRef option,
                              FusionLog &log);

} // namespace sinter::xfmr
