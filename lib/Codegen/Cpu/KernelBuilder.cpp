//===- KernelBuilder.cpp - integers, memory, control flow -----------------===//
#include "KernelBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <cstddef>

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

static LLVM::LLVMPointerType pointer(OpBuilder &b) {
  return LLVM::LLVMPointerType::get(b.getContext());
}

/// The CPU name selects the features. v4's own tuning would split 512-bit vectors in two.
static void setTarget(OpBuilder &b, LLVM::LLVMFuncOp func, CpuIsa isa) {
  const bool v4 = isa != CpuIsa::V3;
  func.setTargetCpu(v4 ? "x86-64-v4" : "x86-64-v3");
  if (isa == CpuIsa::V4Bf16)
    func.setTargetFeaturesAttr(LLVM::TargetFeaturesAttr::get(b.getContext(), "+avx512bf16"));
  func.setPreferVectorWidth(v4 ? "512" : "256");
  auto pair = [&](StringRef key, StringRef value) {
    return b.getArrayAttr({b.getStringAttr(key), b.getStringAttr(value)});
  };
  func.setPassthroughAttr(
      b.getArrayAttr({pair("min-legal-vector-width", v4 ? "512" : "256"),
                      b.getStringAttr("nounwind"), b.getStringAttr("no-builtins")}));
}

KernelBuilder::KernelBuilder(ModuleOp module, StringRef symbol, CpuIsa isa)
    : isa(isa), b(OpBuilder::atBlockEnd(module.getBody())), loc(b.getUnknownLoc()) {
  Type ptr = pointer(b), i32 = b.getI32Type();
  auto type =
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), {ptr, i32, i32, ptr});
  auto func = LLVM::LLVMFuncOp::create(b, loc, symbol, type);
  setTarget(b, func, isa);
  Block *entry = entryBlock = func.addEntryBlock(b);
  b.setInsertionPointToStart(entry);
  launchPtr = entry->getArgument(0);
  begin = arith::ExtUIOp::create(b, loc, b.getI64Type(), entry->getArgument(1));
  end = arith::ExtUIOp::create(b, loc, b.getI64Type(), entry->getArgument(2));
  scratch = entry->getArgument(3);
  batchPtr = loadPointer(at(launchPtr, offsetof(SinterLaunch, batch)));
  argsPtr = loadPointer(at(launchPtr, offsetof(SinterLaunch, args)));
}

void KernelBuilder::finish() { LLVM::ReturnOp::create(b, loc, ValueRange()); }

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

Value KernelBuilder::i64(int64_t value) {
  return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
}
Value KernelBuilder::add(Value a, Value c) { return arith::AddIOp::create(b, loc, a, c); }
Value KernelBuilder::sub(Value a, Value c) { return arith::SubIOp::create(b, loc, a, c); }
Value KernelBuilder::mul(Value a, Value c) { return arith::MulIOp::create(b, loc, a, c); }
Value KernelBuilder::div(Value a, Value c) { return arith::DivUIOp::create(b, loc, a, c); }
Value KernelBuilder::rem(Value a, Value c) { return arith::RemUIOp::create(b, loc, a, c); }
Value KernelBuilder::min(Value a, Value c) { return arith::MinSIOp::create(b, loc, a, c); }
Value KernelBuilder::max(Value a, Value c) { return arith::MaxSIOp::create(b, loc, a, c); }
Value KernelBuilder::less(Value a, Value c) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, a, c);
}
Value KernelBuilder::equal(Value a, Value c) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, a, c);
}
Value KernelBuilder::both(Value a, Value c) { return arith::AndIOp::create(b, loc, a, c); }
Value KernelBuilder::either(Value a, Value c) { return arith::OrIOp::create(b, loc, a, c); }
Value KernelBuilder::select(Value condition, Value a, Value c) {
  return arith::SelectOp::create(b, loc, condition, a, c);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value KernelBuilder::at(Value p, Value byteOffset) {
  return LLVM::GEPOp::create(b, loc, pointer(b), b.getI8Type(), p,
                             ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(byteOffset)});
}
Value KernelBuilder::loadPointer(Value p) { return LLVM::LoadOp::create(b, loc, pointer(b), p); }
Value KernelBuilder::loadI64(Value p) { return LLVM::LoadOp::create(b, loc, b.getI64Type(), p); }
Value KernelBuilder::loadI32(Value p) {
  Value v = LLVM::LoadOp::create(b, loc, b.getI32Type(), p);
  return arith::ExtSIOp::create(b, loc, b.getI64Type(), v);
}
Value KernelBuilder::loadF32(Value p) { return LLVM::LoadOp::create(b, loc, b.getF32Type(), p); }
void KernelBuilder::storeI32(Value p, Value v) {
  LLVM::StoreOp::create(b, loc, arith::TruncIOp::create(b, loc, b.getI32Type(), v), p);
}
void KernelBuilder::storeF32(Value p, Value v) { LLVM::StoreOp::create(b, loc, v, p); }
void KernelBuilder::copyElement(Value from, Value to, int64_t bytes) {
  Type type = b.getIntegerType(static_cast<unsigned>(8 * bytes));
  LLVM::StoreOp::create(b, loc, LLVM::LoadOp::create(b, loc, type, from), to);
}
// Arguments of the intrinsic: read, locality (3: all levels, 2: not L1), data cache.
void KernelBuilder::prefetch(Value p) { LLVM::Prefetch::create(b, loc, p, 0, 3, 1); }
void KernelBuilder::prefetchFar(Value p) { LLVM::Prefetch::create(b, loc, p, 0, 2, 1); }

Value KernelBuilder::arg(unsigned i) {
  return loadPointer(at(argsPtr, static_cast<int64_t>(i * sizeof(void *))));
}
Value KernelBuilder::batchU32(size_t offset) {
  return loadI32(at(batchPtr, static_cast<int64_t>(offset)));
}
Value KernelBuilder::batchPointer(size_t offset) {
  return loadPointer(at(batchPtr, static_cast<int64_t>(offset)));
}
Value KernelBuilder::pageBytes() {
  Value model = loadPointer(at(launchPtr, offsetof(SinterLaunch, model)));
  return loadI64(at(model, offsetof(SinterModel, kv_page_bytes)));
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

Values KernelBuilder::loop(Value from, Value to, int64_t step, ValueRange init, Body body) {
  auto loop = scf::ForOp::create(b, loc, from, to, i64(step), init,
                                 [&](OpBuilder &inner, Location l, Value iv, ValueRange carried) {
                                   OpBuilder::InsertionGuard guard(b);
                                   b.setInsertionPoint(inner.getInsertionBlock(),
                                                       inner.getInsertionPoint());
                                   Values next = body(iv, carried);
                                   scf::YieldOp::create(b, l, next);
                                 });
  return Values(loop.getResults());
}

void KernelBuilder::loop(Value from, Value to, int64_t step, function_ref<void(Value)> body) {
  loop(from, to, step, ValueRange(), [&](Value iv, ValueRange) {
    body(iv);
    return Values();
  });
}

void KernelBuilder::when(Value condition, function_ref<void()> body) {
  choose(
      condition,
      [&] {
        body();
        return Values();
      },
      [] { return Values(); });
}

Values KernelBuilder::choose(Value condition, function_ref<Values()> yes,
                             function_ref<Values()> no) {
  auto branch = [&](function_ref<Values()> body) {
    return [this, body](OpBuilder &inner, Location l) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(inner.getInsertionBlock(), inner.getInsertionPoint());
      Values results = body();
      scf::YieldOp::create(b, l, results);
    };
  };
  auto op = scf::IfOp::create(b, loc, condition, branch(yes), branch(no));
  return Values(op.getResults());
}

Values KernelBuilder::chunks(int64_t count, int64_t unroll, ValueRange init, Chunk body) {
  const int64_t step = unroll * kLanes;
  const int64_t whole = count / step * step;
  Values carried(init);
  if (whole == step) { // one iteration: no loop
    for (int64_t slot = 0; slot < unroll; ++slot)
      body(i64(slot * kLanes), kLanes, slot, carried);
  } else if (whole) {
    carried = loop(i64(0), i64(whole), step, init, [&](Value iv, ValueRange values) {
      Values inner(values);
      for (int64_t slot = 0; slot < unroll; ++slot)
        body(add(iv, slot * kLanes), kLanes, slot, inner);
      return inner;
    });
  }
  for (int64_t at = whole, slot = 0; at < count; at += kLanes, ++slot)
    body(i64(at), std::min(kLanes, count - at), slot, carried);
  return carried;
}
