//===- GpuBuilderHopper.cpp - mbarriers, TMA, wgmma, clusters -------------===//
//
// Inline assembly where the order against other memory operations counts: LLVM takes several of the
// intrinsics for instructions that touch no memory. What a whole warp must reach together is an
// intrinsic: assembly is not convergent, and LLVM copies it into the branches before it.
//
//===----------------------------------------------------------------------===//
#include "GpuBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

Value GpuBuilder::assembly(Type result, StringRef text, StringRef constraints, ValueRange args) {
  auto op = LLVM::InlineAsmOp::create(b, loc, result ? TypeRange(result) : TypeRange(), args, text,
                                      constraints, /*has_side_effects=*/true,
                                      /*is_align_stack=*/false, LLVM::TailCallKind::None,
                                      LLVM::AsmDialectAttr(), ArrayAttr());
  return result ? op->getResult(0) : Value();
}

Value GpuBuilder::divide(Value a, Value c) { return arith::DivUIOp::create(b, loc, a, c); }

Value GpuBuilder::sharedAddress(int64_t offset) {
  return LLVM::PtrToIntOp::create(b, loc, b.getI32Type(), shared(offset));
}

Value GpuBuilder::shuffle(Value v, Value lane) {
  return intrinsic(b.getF32Type(), "llvm.nvvm.shfl.sync.idx.f32", {i32(-1), v, lane, i32(31)});
}

Value GpuBuilder::uniform(Value v) {
  return intrinsic(b.getI32Type(), "llvm.nvvm.shfl.sync.idx.i32", {i32(-1), v, i32(0), i32(31)});
}

void GpuBuilder::storeRaw(Value p, const Chunk &chunk) {
  for (auto [i, words] : llvm::enumerate(chunk.raw))
    LLVM::StoreOp::create(b, loc, words, at(p, 16 * static_cast<int64_t>(i)), 16);
}

void GpuBuilder::storeMatrices(Value p, ArrayRef<Value> words) {
  Values args = {p};
  args.append(words.begin(), words.end());
  intrinsic({}, "llvm.nvvm.stmatrix.sync.aligned.m8n8.x4.b16", args);
}

//===----------------------------------------------------------------------===//
// Barriers
//===----------------------------------------------------------------------===//

void GpuBuilder::barrier(Value id, int64_t count) {
  intrinsic({}, "llvm.nvvm.barrier.cta.sync.aligned.count", {id, i32(count)});
}
void GpuBuilder::barrierArrive(Value id, int64_t count) {
  intrinsic({}, "llvm.nvvm.barrier.cta.arrive.aligned.count", {id, i32(count)});
}

void GpuBuilder::syncWarp() { intrinsic({}, "llvm.nvvm.bar.warp.sync", i32(-1)); }

void GpuBuilder::mbarrierInit(Value address, int64_t count) {
  assembly({}, "mbarrier.init.shared::cta.b64 [$0], $1;", "r,r,~{memory}", {address, i32(count)});
}

void GpuBuilder::mbarrierInitDone() {
  assembly({}, "fence.mbarrier_init.release.cluster;", "~{memory}");
  assembly({}, "fence.proxy.async.shared::cta;", "~{memory}");
}

void GpuBuilder::mbarrierExpect(Value address, Value bytes) {
  assembly({}, "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "r,r,~{memory}",
           {address, bytes});
}

void GpuBuilder::mbarrierArrive(Value address, Value condition) {
  Value flag = arith::ExtUIOp::create(b, loc, b.getI32Type(), condition);
  assembly({},
           "{ .reg .pred p; setp.ne.b32 p, $1, 0; "
           "@p mbarrier.arrive.shared::cta.b64 _, [$0]; }",
           "r,r,~{memory}", {address, flag});
}

/// A few seconds at most: a copy that never lands is a bug, not a reason to hang. One loop with one
/// way out: of anything else ptxas believes that lanes leave it apart, and serialises the wgmmas
/// behind it.
void GpuBuilder::waitLoop(StringRef instruction, Value address, Value parity) {
  assembly({},
           ("{ .reg .pred p, late; .reg .u32 tries; mov.u32 tries, 0; "
            "AGAIN: " +
            instruction +
            ".b64 p, [$0], $1; "
            "add.u32 tries, tries, 1; setp.gt.u32 late, tries, 4194304; "
            "@late trap; @!p bra AGAIN; }")
               .str(),
           "r,r,~{memory}", {address, parity});
}

void GpuBuilder::mbarrierWait(Value address, Value parity) {
  waitLoop("mbarrier.try_wait.parity.shared::cta", address, parity);
}
void GpuBuilder::mbarrierWaitCluster(Value address, Value parity) {
  waitLoop("mbarrier.try_wait.parity.acquire.cluster.shared::cta", address, parity);
}

//===----------------------------------------------------------------------===//
// TMA
//===----------------------------------------------------------------------===//

void GpuBuilder::prefetchTensorMap(Value map) {
  assembly({}, "prefetch.tensormap [$0];", "l,~{memory}", map);
}

void GpuBuilder::loadTensor(Value to, Value map, Value column, Value row, Value mbarrier) {
  assembly({},
           "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
           "[$0], [$1, {$2, $3}], [$4];",
           "r,l,r,r,r,~{memory}", {to, map, column, row, mbarrier});
}

void GpuBuilder::fenceAsyncGlobal() { assembly({}, "fence.proxy.async.global;", "~{memory}"); }

//===----------------------------------------------------------------------===//
// wgmma
//===----------------------------------------------------------------------===//

/// "=f" once per accumulator, then each tied to its input.
static std::string tied(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i)
    text += i ? ",=f" : "=f";
  for (size_t i = 0; i < count; ++i)
    text += "," + std::to_string(i);
  return text;
}

static Type manyFloats(OpBuilder &b, size_t count) {
  return LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(count, b.getF32Type()));
}

void GpuBuilder::unpackAccumulators(Value result, Values &d) {
  for (size_t i = 0; i < d.size(); ++i)
    d[i] = LLVM::ExtractValueOp::create(b, loc, result, static_cast<int64_t>(i));
}

/// The lower word of a descriptor; kHighWord is the upper one. K-major rows of 128 bytes with the
/// 128-byte swizzle: 8 rows are 1024 bytes apart.
Value GpuBuilder::inDescriptor(Value address) {
  Value place =
      arith::ShRUIOp::create(b, loc, arith::AndIOp::create(b, loc, address, i32(0x3ffff)), i32(4));
  return arith::OrIOp::create(b, loc, place, i32(1 << 16));
}
static constexpr StringLiteral kHighWord = "0x40000040"; // 1 << 30 | 1024 >> 4

void GpuBuilder::wgmmaFence() { assembly({}, "wgmma.fence.sync.aligned;", "~{memory}"); }
void GpuBuilder::wgmmaCommit() { assembly({}, "wgmma.commit_group.sync.aligned;", "~{memory}"); }

void GpuBuilder::wgmmaWait(int64_t pending) {
  assembly({}, "wgmma.wait_group.sync.aligned " + std::to_string(pending) + ";", "~{memory}");
}

void GpuBuilder::wgmmaWaitAll(Values &d) {
  Value result = assembly(manyFloats(b, d.size()), "wgmma.wait_group.sync.aligned 0;",
                          tied(d.size()) + ",~{memory}", d);
  unpackAccumulators(result, d);
}

void GpuBuilder::wgmma(DType type, Value a, Value c, Values &d) {
  wgmmaOf(type, inDescriptor(a), inDescriptor(c), d);
}

void GpuBuilder::wgmmaOf(DType type, Value a, Value c, Values &d) {
  const size_t count = d.size();
  const char *element = type == DType::BF16 ? "bf16" : "f16";
  std::string text = "{ .reg .pred p; .reg .b64 a, c; setp.eq.u32 p, 0, 0; mov.b64 a, {$" +
                     std::to_string(2 * count) + ", " + kHighWord.str() + "}; mov.b64 c, {$" +
                     std::to_string(2 * count + 1) + ", " + kHighWord.str() +
                     "}; wgmma.mma_async.sync.aligned.m64n" + std::to_string(2 * count) +
                     "k16.f32." + element + "." + element + " {";
  for (size_t i = 0; i < count; ++i)
    text += (i ? ", $" : "$") + std::to_string(i);
  text += "}, a, c, p, 1, 1, 0, 0; }";
  Values args = d;
  args.append({a, c});
  Value result = assembly(manyFloats(b, count), text, tied(count) + ",r,r,~{memory}", args);
  unpackAccumulators(result, d);
}

//===----------------------------------------------------------------------===//
// Clusters and warpgroups
//===----------------------------------------------------------------------===//

void GpuBuilder::setRegisters(bool takes, int64_t count) {
  NVVM::SetMaxRegisterOp::create(b, loc, static_cast<uint32_t>(count),
                                 takes ? NVVM::SetMaxRegisterAction::increase
                                       : NVVM::SetMaxRegisterAction::decrease);
}

Value GpuBuilder::clusterRank() {
  return intrinsic(b.getI32Type(), "llvm.nvvm.read.ptx.sreg.cluster.ctarank", {});
}

/// Orders execution only: a release would wait for this CTA's stores to global memory as well.
void GpuBuilder::clusterArrive() {
  intrinsic({}, "llvm.nvvm.barrier.cluster.arrive.relaxed.aligned", {});
}
void GpuBuilder::clusterWait() {
  intrinsic({}, "llvm.nvvm.barrier.cluster.wait.aligned", {}); // acquires
}

Value GpuBuilder::inCluster(Value address, Value rank) {
  return assembly(b.getI32Type(), "mapa.shared::cluster.u32 $0, $1, $2;", "=r,r,r",
                  {address, rank});
}

void GpuBuilder::storeCluster(Value clusterAddress, ArrayRef<Value> v, Value clusterBarrier,
                              Value condition) {
  Value flag = arith::ExtUIOp::create(b, loc, b.getI32Type(), condition);
  assembly({},
           "{ .reg .pred p; setp.ne.b32 p, $6, 0; @p st.async.weak.shared::cluster"
           ".mbarrier::complete_tx::bytes.v4.f32 [$0], {$1, $2, $3, $4}, [$5]; }",
           "r,f,f,f,f,r,r,~{memory}",
           {clusterAddress, v[0], v[1], v[2], v[3], clusterBarrier, flag});
}
