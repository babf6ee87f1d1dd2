//===- Registration.cpp - every dialect and pass of Sinter ----------------===//
//
// The one translation unit that knows them all: it is slow to build.
//
//===----------------------------------------------------------------------===//
#include "sinter/Registration.h"

#include "sinter/Dialect/Xfmr.h"
#include "sinter/Pipelines.h"
#include "sinter/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/Extensions/InlinerExtension.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

void sinter::registerDialects(mlir::DialectRegistry &registry) {
  registry.insert<xfmr::XfmrDialect, mlir::arith::ArithDialect, mlir::func::FuncDialect,
                  mlir::LLVM::LLVMDialect, mlir::math::MathDialect, mlir::memref::MemRefDialect,
                  mlir::scf::SCFDialect, mlir::vector::VectorDialect>();
}

void sinter::registerPasses() {
  xfmr::registerXfmrTransformsPasses();
  registerPipelines();
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  mlir::registerSymbolDCEPass();
}

/// MLIR lists passes by the alphabet; --help shows these first. A test compares with --list-passes.
constexpr llvm::StringLiteral kPipelineOrder[] = {
    "xfmr-shard",
    "xfmr-merge-qkv",
    "xfmr-merge-gate-up",
    "xfmr-specialise",
    "xfmr-fuse-qk-norm-rope-write",
    "xfmr-fuse-linear-add",
    "xfmr-fuse-rms-norm-linear",
    "xfmr-fuse-add-rms-norm",
    "xfmr-fuse-linear-argmax",
    "xfmr-assign-weight-layout",
    "xfmr-plan",
    "xfmr-check-plan",
    "xfmr-explain-fusion",
};

std::string sinter::describePasses() {
  std::string text = "Passes in pipeline order (options below):\n";
  llvm::raw_string_ostream os(text);
  for (llvm::StringRef name : kPipelineOrder)
    if (const mlir::PassInfo *info = mlir::PassInfo::lookup(name))
      os << "  --" << llvm::left_justify(name, 32) << info->getPassDescription() << "\n";
  return text;
}
