//===- ToyProgram.h - the smallest artefact that does something -*- C++ -*-===//
//
// One entry, two kernels written by hand in the LLVM dialect, so that lib/Target is tested without
// the code generator:
//   stamp   arena[task] = 100 * isa + task            one task per token
//   copy    logits[0, tokens) = arena[0, tokens)      one task, through a call of memcpy
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Dialect/Xfmr.h"
#include "sinter/Target/Artifact.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

#include <string>

namespace sinter::testing {

inline std::string toyStamp(const char *symbol, const char *isa) {
  return std::string("llvm.func @") + symbol +
         "(%launch: !llvm.ptr, %begin: i32, %end: i32, %scratch: !llvm.ptr) {\n"
         "  %offset = llvm.mlir.constant(16 : i64) : i64\n"
         "  %field = llvm.getelementptr %launch[%offset] : (!llvm.ptr, i64) -> !llvm.ptr, i8\n"
         "  %args = llvm.load %field : !llvm.ptr -> !llvm.ptr\n"
         "  %to = llvm.load %args : !llvm.ptr -> !llvm.ptr\n"
         "  %one = llvm.mlir.constant(1 : i32) : i32\n"
         "  %base = llvm.mlir.constant(" +
         isa +
         "00 : i32) : i32\n"
         "  llvm.br ^head(%begin : i32)\n"
         "^head(%i: i32):\n"
         "  %more = llvm.icmp \"ult\" %i, %end : i32\n"
         "  llvm.cond_br %more, ^body, ^done\n"
         "^body:\n"
         "  %sum = llvm.add %base, %i : i32\n"
         "  %value = llvm.sitofp %sum : i32 to f32\n"
         "  %slot = llvm.getelementptr %to[%i] : (!llvm.ptr, i32) -> !llvm.ptr, f32\n"
         "  llvm.store %value, %slot : f32, !llvm.ptr\n"
         "  %next = llvm.add %i, %one : i32\n"
         "  llvm.br ^head(%next : i32)\n"
         "^done:\n"
         "  llvm.return\n}\n";
}

inline std::string toyCopy(const char *symbol) {
  return std::string("llvm.func @") + symbol +
         "(%launch: !llvm.ptr, %begin: i32, %end: i32, %scratch: !llvm.ptr) {\n"
         "  %offset = llvm.mlir.constant(16 : i64) : i64\n"
         "  %field = llvm.getelementptr %launch[%offset] : (!llvm.ptr, i64) -> !llvm.ptr, i8\n"
         "  %args = llvm.load %field : !llvm.ptr -> !llvm.ptr\n"
         "  %from = llvm.load %args : !llvm.ptr -> !llvm.ptr\n"
         "  %second = llvm.getelementptr %args[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr\n"
         "  %to = llvm.load %second : !llvm.ptr -> !llvm.ptr\n"
         "  %batch = llvm.load %launch : !llvm.ptr -> !llvm.ptr\n"
         "  %count = llvm.getelementptr %batch[1] : (!llvm.ptr) -> !llvm.ptr, i32\n"
         "  %tokens = llvm.load %count : !llvm.ptr -> i32\n"
         "  %wide = llvm.zext %tokens : i32 to i64\n"
         "  %four = llvm.mlir.constant(4 : i64) : i64\n"
         "  %bytes = llvm.mul %wide, %four : i64\n"
         "  \"llvm.intr.memcpy\"(%to, %from, %bytes) <{isVolatile = false}> : (!llvm.ptr, "
         "!llvm.ptr, i64) -> ()\n"
         "  llvm.return\n}\n";
}

inline const char *toyGraph() {
  return R"(
  module attributes {xfmr.model = {name = "toy", architecture = "toy", hidden = 4, heads = 1,
                                   intermediate = 12, vocab = 8, max_position = 64,
                                   eos = array<i64: 1>}} {
    xfmr.weight @embed : tensor<8x4xbf16> from [#xfmr.source<"embed.weight", 0, 8>] layout tiled16
    func.func @step_m1_8_logits(%tokens: tensor<?xi32>, %rows: tensor<?xi32>, %batch: !xfmr.batch,
        %kv: !xfmr.kv<1, 16, 4, bf16, k_packed>)
        -> (tensor<?x4xbf16>, !xfmr.kv<1, 16, 4, bf16, k_packed>)
        attributes {xfmr.entry, xfmr.tokens = array<i64: 1, 8>} {
      %w = xfmr.get_weight @embed : tensor<8x4xbf16>
      %x = xfmr.embedding %tokens, %w : (tensor<?xi32>, tensor<8x4xbf16>) -> tensor<?x4xbf16>
      %q = xfmr.split_heads %x : (tensor<?x4xbf16>) -> tensor<?x1x4xbf16>
      %w2 = xfmr.kv_write %kv, %q, %q, %batch : (!xfmr.kv<1, 16, 4, bf16, k_packed>,
          tensor<?x1x4xbf16>, tensor<?x1x4xbf16>, !xfmr.batch) -> !xfmr.kv<1, 16, 4, bf16, k_packed>
      %a = xfmr.attention %q, %w2, %batch {scale = 0.5 : f32} : (tensor<?x1x4xbf16>,
          !xfmr.kv<1, 16, 4, bf16, k_packed>, !xfmr.batch) -> tensor<?x1x4xbf16>
      %m = xfmr.merge_heads %a : (tensor<?x1x4xbf16>) -> tensor<?x4xbf16>
      return %m, %w2 : tensor<?x4xbf16>, !xfmr.kv<1, 16, 4, bf16, k_packed>
    }
  }
  )";
}

/// What convertXfmrToCpu would return for the toy.
inline StepProgram toyProgram() {
  StepProgram program;
  program.kernels = {{"stamp_toy", "embedding", {"stamp_v3", "stamp_v4", "stamp_bf16"}, {}},
                     {"copy_toy", "merge_heads", {"copy_v3", "copy_v4", ""}, {}}};
  StepEntry entry = {
      "step_m1_8_logits", "logits", 1, 8, 8, 0, {}, {{"embed", 64, 32, DType::F32, 1, false}}};
  const SinterGrid perToken = {1, {SINTER_GRID_TOKENS, 0, 0}, {1, 1, 1}, 1};
  const SinterGrid once = {1, {0, 0, 0}, {1, 1, 1}, 1};
  const SinterArg arena = {SINTER_ARG_ARENA, 0, 64}, logits = {SINTER_ARG_LOGITS, 0, 0},
                  weight = {SINTER_ARG_WEIGHT, 0, 0};
  entry.ops = {{"embed", "embedding", 0, perToken, {arena, weight}, 128, 0, 8, false},
               {"heads", "merge_heads", 1, once, {arena, logits}, 0, 0, 8, false}};
  program.entries = {entry};
  program.arenaBytes = 128;
  program.scratchBytes = 64;
  return program;
}

struct Toy {
  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  mlir::OwningOpRef<mlir::ModuleOp> planned, kernels;
  StepProgram program = toyProgram();
  ArtifactInfo info;

  Toy() {
    context.loadDialect<xfmr::XfmrDialect, mlir::func::FuncDialect, mlir::LLVM::LLVMDialect>();
    planned = mlir::parseSourceString<mlir::ModuleOp>(toyGraph(), &context);
    kernels = mlir::parseSourceString<mlir::ModuleOp>(
        toyStamp("stamp_v3", "3") + toyStamp("stamp_v4", "4") + toyStamp("stamp_bf16", "5") +
            toyCopy("copy_v3") + toyCopy("copy_v4"),
        &context);
    info.name = "toy";
    info.tokenizer = "{}";
  }

  mlir::FailureOr<std::string> write() {
    return writeArtifact(*planned, *kernels, program, {CpuIsa::V3, CpuIsa::V4, CpuIsa::V4Bf16},
                         info);
  }
};

} // namespace sinter::testing
