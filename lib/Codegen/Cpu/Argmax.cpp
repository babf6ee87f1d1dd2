//===- Argmax.cpp - argmax of rows and of partial results -----------------===//
#include "Pieces.h"
#include "Templates.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

Best sinter::cpu::better(KernelBuilder &b, Best a, Best c) {
  Value aIsNaN = b.isNaN(a.value), cIsNaN = b.isNaN(c.value);
  Value lower = b.lessI(c.index, a.index);
  Value level = b.either(b.equalF(a.value, c.value), b.both(aIsNaN, cIsNaN));
  Value firstNaN = b.both(cIsNaN, b.equalF(a.value, a.value));
  Value take = b.either(b.lessF(a.value, c.value), b.either(b.both(level, lower), firstNaN));
  return {b.select(take, c.value, a.value), b.select(take, c.index, a.index)};
}

Best sinter::cpu::bestLane(KernelBuilder &b, Best lanes) {
  for (int64_t distance : {8, 4, 2, 1})
    lanes =
        better(b, lanes, {b.swapLanes(lanes.value, distance), b.swapLanes(lanes.index, distance)});
  return {b.lane(lanes.value, 0), b.laneI64(lanes.index, 0)};
}

void sinter::cpu::storeBest(KernelBuilder &b, Value value, Value index, Best best) {
  b.storeF32(value, best.value);
  b.storeI32(index, best.index);
}

int64_t sinter::cpu::emitArgmaxMerge(ModuleOp module, StringRef symbol, CpuIsa isa,
                                     const ArgmaxMergeSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  Value partials = b.arg(0), values = b.arg(1), indices = b.arg(2);
  b.loop(b.begin, b.end, 1, [&](Value row) {
    Value first = b.at(partials, b.mul(row, spec.count * 8));
    auto candidate = [&](Value i) {
      Value p = b.at(first, b.mul(i, 8));
      return Best{b.loadF32(p), b.loadI32(b.at(p, 4))};
    };
    Best best = candidate(b.i64(0));
    Values result = b.loop(b.i64(1), b.i64(spec.count), 1, {best.value, best.index},
                           [&](Value i, ValueRange carried) {
                             Best next = better(b, {carried[0], carried[1]}, candidate(i));
                             return Values{next.value, next.index};
                           });
    Value offset = b.mul(row, 4);
    storeBest(b, b.at(values, offset), b.at(indices, offset), {result[0], result[1]});
  });
  b.finish();
  return 0;
}

int64_t sinter::cpu::emitArgmax(ModuleOp module, StringRef symbol, CpuIsa isa,
                                const ArgmaxSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  Value x = b.arg(0), values = b.arg(1), indices = b.arg(2);
  Value lowest = b.splat(-std::numeric_limits<float>::infinity());
  const int64_t bytes = bytesOf(spec.x);
  b.loop(b.begin, b.end, 1, [&](Value row) {
    Value source = b.at(x, b.mul(row, spec.n * bytes));
    // Lanes that hold no element lose against every element: their index is beyond the row.
    Values init = {lowest, b.splatI32(b.i64(spec.n))};
    Values best = b.chunks(spec.n, 1, init, [&](Value element, int64_t lanes, int64_t, Values &c) {
      Value v = b.load(b.at(source, b.mul(element, bytes)), spec.x, lanes);
      Value index = b.laneIndices(element);
      if (lanes < kLanes)
        v = b.select(b.lessI(index, b.splatI32(b.i64(spec.n))), v, lowest);
      Best next = better(b, {c[0], c[1]}, {v, index});
      c = {next.value, next.index};
    });
    Value offset = b.mul(row, 4);
    storeBest(b, b.at(values, offset), b.at(indices, offset), bestLane(b, {best[0], best[1]}));
  });
  b.finish();
  return 0;
}
