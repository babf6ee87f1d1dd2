//===- GpuBuilderWarp.cpp - shuffles, barriers, tensor cores, cp.async ----===//
#include "GpuBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

Value GpuBuilder::shuffleXor(Value v, int64_t mask) {
  const bool isFloat = v.getType().isF32();
  return intrinsic(v.getType(),
                   isFloat ? "llvm.nvvm.shfl.sync.bfly.f32" : "llvm.nvvm.shfl.sync.bfly.i32",
                   {i32(-1), v, i32(mask), i32(31)});
}

Value GpuBuilder::sumWarp(Value v) {
  for (int64_t mask = 16; mask; mask /= 2)
    v = addf(v, shuffleXor(v, mask));
  return v;
}

void GpuBuilder::barrier() { NVVM::Barrier0Op::create(b, loc); }

//===----------------------------------------------------------------------===//
// Tensor cores
//===----------------------------------------------------------------------===//

void GpuBuilder::mma(DType type, ArrayRef<Value> a, ArrayRef<Value> c, MutableArrayRef<Value> d) {
  Type f32Type = b.getF32Type();
  Type quad =
      LLVM::LLVMStructType::getLiteral(b.getContext(), {f32Type, f32Type, f32Type, f32Type});
  Values args;
  auto operand = [&](Value v) {
    if (type == DType::BF16)
      return v;
    return Value(LLVM::BitcastOp::create(b, loc, VectorType::get(2, b.getF16Type()), v));
  };
  for (Value v : a)
    args.push_back(operand(v));
  for (Value v : c)
    args.push_back(operand(v));
  args.append(d.begin(), d.end());
  Value result = intrinsic(quad,
                           type == DType::BF16 ? "llvm.nvvm.mma.m16n8k16.row.col.bf16"
                                               : "llvm.nvvm.mma.m16n8k16.row.col.f32.f32",
                           args);
  for (int64_t i = 0; i < 4; ++i)
    d[i] = LLVM::ExtractValueOp::create(b, loc, result, i);
}

Values GpuBuilder::loadMatrices(Value p) {
  Type word = b.getI32Type();
  Type quad = LLVM::LLVMStructType::getLiteral(b.getContext(), {word, word, word, word});
  Value loaded = intrinsic(quad, "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16", p);
  Values result;
  for (int64_t i = 0; i < 4; ++i)
    result.push_back(LLVM::ExtractValueOp::create(b, loc, loaded, i));
  return result;
}

//===----------------------------------------------------------------------===//
// Copies to shared memory
//===----------------------------------------------------------------------===//

void GpuBuilder::copyAsync(Value to, Value from, Value bytes) {
  intrinsic({}, "llvm.nvvm.cp.async.cg.shared.global.16.s", {to, from, bytes});
}
void GpuBuilder::copyCommit() { intrinsic({}, "llvm.nvvm.cp.async.commit.group", {}); }
void GpuBuilder::copyWait(int64_t pending) {
  intrinsic({}, "llvm.nvvm.cp.async.wait.group", i32(pending));
}
