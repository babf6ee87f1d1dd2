//===- Rows.cpp - add, swiglu, copies, embedding: one task per row --------===//
#include "Pieces.h"
#include "Templates.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

int64_t sinter::cpu::emitRows(ModuleOp module, StringRef symbol, CpuIsa isa, const RowSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  const bool copies = spec.kind == RowSpec::Copy || spec.kind == RowSpec::Select;
  const int64_t bytes = bytesOf(spec.type);
  Value first = b.arg(0), second = copies ? Value() : b.arg(1), y = b.arg(copies ? 1 : 2);
  Value rows = spec.kind == RowSpec::Select ? b.batchPointer(offsetof(SinterBatch, rows)) : Value();
  b.loop(b.begin, b.end, 1, [&](Value row) {
    Value target = b.at(y, b.mul(row, spec.n * bytes));
    Value from = rows ? b.loadI32(b.at(rows, b.mul(row, 4))) : row;
    int64_t stride = spec.n;
    if (spec.kind == RowSpec::Copy)
      stride = spec.stride;
    if (spec.kind == RowSpec::Swiglu1)
      stride = 2 * spec.n;
    Value source = b.at(b.at(first, spec.offset * bytes), b.mul(from, stride * bytes));
    Value source2;
    if (spec.kind == RowSpec::Swiglu1)
      source2 = b.at(source, spec.n * bytes);
    else if (!copies)
      source2 = b.at(second, b.mul(row, spec.n * bytes));
    b.chunks(spec.n, 4, {}, [&](Value element, int64_t lanes, int64_t, Values &) {
      Value byte = b.mul(element, bytes);
      Value v = b.load(b.at(source, byte), spec.type, lanes);
      if (!copies) {
        Value w = b.load(b.at(source2, byte), spec.type, lanes);
        v = spec.kind == RowSpec::Add ? b.addf(v, w) : b.mulf(b.silu(v), w);
      }
      b.store(b.at(target, byte), spec.type, v, lanes);
    });
  });
  b.finish();
  return 0;
}

/// A row of a tile lies strided: element (k, lane) is gathered one or two columns at a time into
/// scratch, then converted.
int64_t sinter::cpu::emitEmbedding(ModuleOp module, StringRef symbol, CpuIsa isa,
                                   const EmbeddingSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  Value table = b.arg(0), y = b.arg(1);
  Value tokens = b.batchPointer(offsetof(SinterBatch, tokens));
  const int64_t bytes = bytesOf(spec.table);
  const int64_t group = spec.table == DType::BF16 ? 2 : 1; // neighbours in memory
  const int64_t groupBytes = group * bytes, stride = kLanes * groupBytes;
  b.loop(b.begin, b.end, 1, [&](Value t) {
    Value row = paddedRow(b, spec.sourceRows, b.loadI32(b.at(tokens, b.mul(t, 4))));
    Value tile = b.mul(b.div(row, kLanes), tiledBytes(spec.table, spec.k));
    Value source = b.at(b.at(table, tile), b.mul(b.rem(row, kLanes), groupBytes));
    b.loop(b.i64(0), b.i64(ceilDiv(spec.k, group)), 1, [&](Value i) {
      b.copyElement(b.at(source, b.mul(i, stride)), b.at(b.scratch, b.mul(i, groupBytes)),
                    groupBytes);
    });
    Value target = b.at(y, b.mul(t, spec.k * bytesOf(spec.y)));
    b.chunks(spec.k, 4, {}, [&](Value element, int64_t lanes, int64_t, Values &) {
      Value v = b.load(b.at(b.scratch, b.mul(element, bytes)), spec.table, lanes);
      b.store(b.at(target, b.mul(element, bytesOf(spec.y))), spec.y, v, lanes);
    });
  });
  b.finish();
  return roundUp(spec.k, 2) * bytes;
}
