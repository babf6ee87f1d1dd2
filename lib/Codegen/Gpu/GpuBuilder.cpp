//===- GpuBuilder.cpp - integers, floats, memory, control flow ------------===//
#include "GpuBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

//===----------------------------------------------------------------------===//
// Where
//===----------------------------------------------------------------------===//

Value GpuBuilder::thread() { return NVVM::ThreadIdXOp::create(b, loc, b.getI32Type()); }
Value GpuBuilder::lane() { return rem(thread(), kWarp); }
Value GpuBuilder::warp() { return div(thread(), kWarp); }

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

Value GpuBuilder::i32(int64_t value) {
  return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(static_cast<int32_t>(value)));
}
Value GpuBuilder::add(Value a, Value c) { return arith::AddIOp::create(b, loc, a, c); }
Value GpuBuilder::sub(Value a, Value c) { return arith::SubIOp::create(b, loc, a, c); }
Value GpuBuilder::mul(Value a, Value c) { return arith::MulIOp::create(b, loc, a, c); }
Value GpuBuilder::div(Value a, int64_t c) { return arith::DivUIOp::create(b, loc, a, i32(c)); }
Value GpuBuilder::rem(Value a, int64_t c) { return arith::RemUIOp::create(b, loc, a, i32(c)); }
Value GpuBuilder::exclusiveOr(Value a, Value c) { return arith::XOrIOp::create(b, loc, a, c); }
Value GpuBuilder::min(Value a, Value c) { return arith::MinSIOp::create(b, loc, a, c); }
Value GpuBuilder::less(Value a, Value c) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, a, c);
}
Value GpuBuilder::equal(Value a, Value c) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, a, c);
}
Value GpuBuilder::both(Value a, Value c) { return arith::AndIOp::create(b, loc, a, c); }
Value GpuBuilder::either(Value a, Value c) { return arith::OrIOp::create(b, loc, a, c); }
Value GpuBuilder::select(Value condition, Value a, Value c) {
  return arith::SelectOp::create(b, loc, condition, a, c);
}

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

Value GpuBuilder::f32(double value) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(static_cast<float>(value)));
}
Value GpuBuilder::fma(Value a, Value c, Value d) {
  return LLVM::FMAOp::create(b, loc, a.getType(), a, c, d);
}
Value GpuBuilder::mulf(Value a, Value c) { return arith::MulFOp::create(b, loc, a, c); }
Value GpuBuilder::subf(Value a, Value c) { return arith::SubFOp::create(b, loc, a, c); }
Value GpuBuilder::addf(Value a, Value c) { return arith::AddFOp::create(b, loc, a, c); }
Value GpuBuilder::divf(Value a, Value c) { return arith::DivFOp::create(b, loc, a, c); }
Value GpuBuilder::negate(Value a) { return arith::NegFOp::create(b, loc, a); }
Value GpuBuilder::lessF(Value a, Value c) {
  return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, a, c);
}
Value GpuBuilder::equalF(Value a, Value c) {
  return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, a, c);
}
Value GpuBuilder::isNaN(Value a) {
  return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, a, a);
}
Value GpuBuilder::isNumber(Value a) {
  return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ORD, a, a);
}
Value GpuBuilder::intrinsic(Type result, StringRef name, ValueRange args) {
  if (!result) {
    LLVM::CallIntrinsicOp::create(b, loc, b.getStringAttr(name), args);
    return {};
  }
  return LLVM::CallIntrinsicOp::create(b, loc, result, b.getStringAttr(name), args).getResults();
}
Value GpuBuilder::rsqrt(Value a) {
  return intrinsic(b.getF32Type(), "llvm.nvvm.rsqrt.approx.f", a);
}
Value GpuBuilder::silu(Value a) {
  // a / (1 + 2^(-a log2 e)): an overflowing power gives a * (1 / inf) = -0.
  Value power =
      intrinsic(b.getF32Type(), "llvm.nvvm.ex2.approx.ftz", mulf(a, f32(-1.4426950408889634)));
  return mulf(a, intrinsic(b.getF32Type(), "llvm.nvvm.rcp.approx.ftz.f", addf(power, f32(1))));
}
Type GpuBuilder::floatType(DType type) {
  return type == DType::BF16  ? b.getBF16Type()
         : type == DType::F16 ? b.getF16Type()
                              : b.getF32Type();
}
Value GpuBuilder::f32FromHalf(Value v) { return arith::ExtFOp::create(b, loc, b.getF32Type(), v); }
Value GpuBuilder::rounded(Value v, DType type) {
  if (type == DType::F32)
    return v;
  return f32FromHalf(arith::TruncFOp::create(b, loc, floatType(type), v));
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value GpuBuilder::at(Value p, Value index, int64_t scale, int64_t offset) {
  Value wide = arith::ExtSIOp::create(b, loc, b.getI64Type(), index);
  Value factor = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(scale));
  Value bytes = arith::MulIOp::create(b, loc, wide, factor);
  Value moved = LLVM::GEPOp::create(b, loc, p.getType(), b.getI8Type(), p,
                                    ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(bytes)});
  return at(moved, offset);
}
Value GpuBuilder::at(Value p, int64_t offset) {
  if (!offset)
    return p;
  return LLVM::GEPOp::create(b, loc, p.getType(), b.getI8Type(), p,
                             ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(static_cast<int32_t>(offset))});
}
Value GpuBuilder::shared(int64_t offset) { return at(sharedBase, offset); }

static Value plainLoad(OpBuilder &b, Location loc, Type type, Value p, unsigned alignment,
                       Access access) {
  return LLVM::LoadOp::create(b, loc, type, p, alignment, /*isVolatile=*/false,
                              /*isNonTemporal=*/false,
                              /*isInvariant=*/access == Access::Constant);
}
Value GpuBuilder::loadI32(Value p, Access access) {
  return plainLoad(b, loc, b.getI32Type(), p, 4, access);
}
Value GpuBuilder::loadF32(Value p, Access access) {
  return plainLoad(b, loc, b.getF32Type(), p, 4, access);
}
void GpuBuilder::storeI32(Value p, Value v) { LLVM::StoreOp::create(b, loc, v, p, 4); }
void GpuBuilder::storeF32(Value p, Value v) { LLVM::StoreOp::create(b, loc, v, p, 4); }

Value GpuBuilder::load(Value p, DType type, Access access) {
  return unpack(loadChunk(p, type, 1, access)).front();
}
void GpuBuilder::store(Value p, DType type, Value v) {
  if (type != DType::F32)
    v = arith::TruncFOp::create(b, loc, floatType(type), v);
  LLVM::StoreOp::create(b, loc, v, p, static_cast<unsigned>(bytesOf(type)));
}

Chunk GpuBuilder::loadChunk(Value p, DType type, int64_t width, Access access) {
  Chunk chunk{{}, type, width};
  if (width == 1) {
    auto bytes = static_cast<unsigned>(bytesOf(type));
    chunk.raw.push_back(plainLoad(b, loc, floatType(type), p, bytes, access));
    return chunk;
  }
  Type words = VectorType::get(4, b.getI32Type());
  for (int64_t byte = 0; byte < width * bytesOf(type); byte += 16)
    chunk.raw.push_back(plainLoad(b, loc, words, at(p, byte), 16, access));
  return chunk;
}

Value GpuBuilder::element(Value vector, int64_t i) {
  return LLVM::ExtractElementOp::create(b, loc, vector, i32(i));
}
Value GpuBuilder::word(const Chunk &chunk, int64_t i) { return element(chunk.raw[i / 4], i % 4); }

Chunk GpuBuilder::withRaw(const Chunk &like, ValueRange raw) {
  return {Values(raw), like.type, like.width};
}

Values GpuBuilder::unpack(const Chunk &chunk) {
  Values result;
  Type f32Type = b.getF32Type();
  if (chunk.width == 1) {
    Value v = chunk.raw.front();
    return {chunk.type == DType::F32 ? v : f32FromHalf(v)};
  }
  for (Value words : chunk.raw) {
    for (int64_t i = 0; i < 4; ++i) {
      Value w = element(words, i);
      if (chunk.type == DType::F32) {
        result.push_back(arith::BitcastOp::create(b, loc, f32Type, w));
      } else {
        auto [low, high] = halves(chunk.type, w);
        result.append({low, high});
      }
    }
  }
  return result;
}

std::pair<Value, Value> GpuBuilder::halves(DType type, Value w) {
  if (type == DType::BF16) {
    // bf16 is the upper half of an f32: two integer instructions for two elements.
    Value low = arith::ShLIOp::create(b, loc, w, i32(16));
    Value high = arith::AndIOp::create(b, loc, w, i32(static_cast<int32_t>(0xffff0000u)));
    return {arith::BitcastOp::create(b, loc, b.getF32Type(), low),
            arith::BitcastOp::create(b, loc, b.getF32Type(), high)};
  }
  Value pair = LLVM::BitcastOp::create(b, loc, VectorType::get(2, b.getF16Type()), w);
  return {f32FromHalf(element(pair, 0)), f32FromHalf(element(pair, 1))};
}

Value GpuBuilder::pack(DType type, Value low, Value high) {
  Value pair = LLVM::UndefOp::create(b, loc, VectorType::get(2, b.getF32Type()));
  pair = LLVM::InsertElementOp::create(b, loc, pair, low, i32(0));
  pair = LLVM::InsertElementOp::create(b, loc, pair, high, i32(1));
  Value narrow = LLVM::FPTruncOp::create(b, loc, VectorType::get(2, floatType(type)), pair);
  return LLVM::BitcastOp::create(b, loc, b.getI32Type(), narrow);
}

Value GpuBuilder::packFp8(DType type, ArrayRef<Value> v) {
  const StringRef name =
      type == DType::E4M3 ? "llvm.nvvm.ff.to.e4m3x2.rn" : "llvm.nvvm.ff.to.e5m2x2.rn";
  auto pair = [&](size_t i) { // the first operand becomes the upper byte
    Value both = intrinsic(b.getI16Type(), name, {v[i + 1], v[i]});
    return arith::ExtUIOp::create(b, loc, b.getI32Type(), both);
  };
  Value low = pair(0), high = arith::ShLIOp::create(b, loc, pair(2), i32(16));
  return arith::OrIOp::create(b, loc, low, high);
}

void GpuBuilder::storeChunk(Value p, DType type, ArrayRef<Value> values) {
  const int64_t perWord = 4 / bytesOf(type), all = static_cast<int64_t>(values.size()) / perWord;
  const int64_t together = std::min<int64_t>(all, 4);
  Type words = VectorType::get(together, b.getI32Type());
  for (int64_t first = 0; first < all; first += together) {
    Value v = LLVM::UndefOp::create(b, loc, words);
    for (int64_t i = 0; i < together; ++i) {
      auto own =
          values.slice(static_cast<size_t>((first + i) * perWord), static_cast<size_t>(perWord));
      Value w = perWord == 1   ? Value(arith::BitcastOp::create(b, loc, b.getI32Type(), own[0]))
                : perWord == 2 ? pack(type, own[0], own[1])
                               : packFp8(type, own);
      v = LLVM::InsertElementOp::create(b, loc, v, w, i32(i));
    }
    LLVM::StoreOp::create(b, loc, v, at(p, 4 * first), static_cast<unsigned>(4 * together));
  }
}

Value GpuBuilder::batchU32(Value batch, size_t offset) {
  return loadI32(at(batch, static_cast<int64_t>(offset)), Access::Activation);
}
Value GpuBuilder::batchPointer(Value batch, size_t offset) {
  return plainLoad(b, loc, LLVM::LLVMPointerType::get(b.getContext(), 1),
                   at(batch, static_cast<int64_t>(offset)), 8, Access::Activation);
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

Values GpuBuilder::loop(Value from, Value to, int64_t step, ValueRange init, Body body) {
  auto op = scf::ForOp::create(b, loc, from, to, i32(step), init,
                               [&](OpBuilder &, Location, Value index, ValueRange carried) {
                                 Values next = body(index, carried);
                                 scf::YieldOp::create(b, loc, next);
                               });
  return Values(op.getResults());
}
void GpuBuilder::loop(Value from, Value to, int64_t step, function_ref<void(Value)> body) {
  loop(from, to, step, ValueRange(), [&](Value index, ValueRange) {
    body(index);
    return Values();
  });
}
void GpuBuilder::when(Value condition, function_ref<void()> body) {
  scf::IfOp::create(b, loc, condition, [&](OpBuilder &, Location) {
    body();
    scf::YieldOp::create(b, loc);
  });
}
