//===- Norm.cpp - rms_norm and add_rms_norm -------------------------------===//
//
// Element i of a row goes to lane i % 16 of partial sum (i / 16) % 4; the sums are added in a fixed
// tree. Every kernel that needs the norm of a row does this.
//
//===----------------------------------------------------------------------===//
#include "Pieces.h"
#include "Templates.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

Values sinter::cpu::zeroSums(KernelBuilder &b) { return Values(4, b.splat(0.0f)); }

Value sinter::cpu::rstd(KernelBuilder &b, ValueRange sums, int64_t k, float eps) {
  Value total = b.sumLanes(b.addf(b.addf(sums[0], sums[1]), b.addf(sums[2], sums[3])));
  Value mean = b.divf(total, b.f32(static_cast<float>(k)));
  return b.divf(b.f32(1.0f), b.sqrt(b.addf(mean, b.f32(eps))));
}

int64_t sinter::cpu::emitNorm(ModuleOp module, StringRef symbol, CpuIsa isa, const NormSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  Value x = b.arg(0), gamma = b.arg(1), y = b.arg(2);
  Value other = spec.add ? b.arg(3) : Value(), sum = spec.add ? b.arg(4) : Value();
  const int64_t bytes = bytesOf(spec.type);
  b.loop(b.begin, b.end, 1, [&](Value row) {
    Value rowByte = b.mul(row, spec.k * bytes);
    auto place = [&](Value base, Value element) {
      return b.at(b.at(base, rowByte), b.mul(element, bytes));
    };
    Values sums = b.chunks(spec.k, 4, zeroSums(b),
                           [&](Value element, int64_t lanes, int64_t slot, Values &carried) {
                             Value v = b.load(place(x, element), spec.type, lanes);
                             if (spec.add) {
                               v = b.addf(v, b.load(place(other, element), spec.type, lanes));
                               b.store(place(sum, element), spec.type, v, lanes);
                               v = b.rounded(v, spec.type);
                             }
                             carried[slot] = b.fma(v, v, carried[slot]);
                           });
    Value scale = b.splat(rstd(b, sums, spec.k, spec.eps));
    b.chunks(spec.k, 4, {}, [&](Value element, int64_t lanes, int64_t, Values &) {
      Value v = b.load(place(spec.add ? sum : x, element), spec.type, lanes);
      Value g = b.load(b.at(gamma, b.mul(element, 4)), DType::F32, lanes);
      b.store(place(y, element), spec.type, b.mulf(b.mulf(v, scale), g), lanes);
    });
  });
  b.finish();
  return 0;
}
