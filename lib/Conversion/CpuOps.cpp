//===- CpuOps.cpp - dense ops to their templates --------------------------===//
#include "CpuLowering.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

//===----------------------------------------------------------------------===//
// Facts about operands
//===----------------------------------------------------------------------===//

FailureOr<SmallVector<int64_t, 4>> CpuLowering::tiledRows(Operation *op, Value w) const {
  xfmr::WeightOp weight = weightOf(w);
  if (!weight)
    return op->emitOpError() << "reads " << w.getType() << " packed, which is not a weight";
  auto sources = dyn_cast<ArrayAttr>(weight.getInit());
  if (!sources || weight.getLayout() != xfmr::WeightLayout::Tiled16)
    return op->emitOpError() << "needs @" << weight.getSymName()
                             << " in layout tiled16 from checkpoint tensors";
  SmallVector<int64_t, 4> rows;
  for (auto source : sources.getAsRange<xfmr::SourceAttr>()) {
    int64_t n = source.getEnd() - source.getBegin();
    rows.push_back(source.getShard() == xfmr::ShardRule::Rows ? n / source.getRanks() : n);
  }
  return rows;
}

int64_t CpuLowering::weightBytes(Value w) const {
  auto type = cast<RankedTensorType>(w.getType());
  xfmr::WeightOp weight = weightOf(w);
  if (!weight || weight.getLayout() != xfmr::WeightLayout::Tiled16)
    return type.getNumElements() * 4; // vectors are f32 in memory
  auto dtype = elementType(weight, w);
  auto rows = tiledRows(weight, w);
  int64_t tiles = 0;
  for (int64_t r : *rows)
    tiles += ceilDiv(r, kLanes);
  const int64_t k = type.getDimSize(1);
  return tiles * kLanes * (*dtype == DType::BF16 ? roundUp(k, 2) : k) * bytesOf(*dtype);
}

SinterGrid CpuLowering::perToken(Value v, int64_t perToken, uint32_t split) const {
  const uint32_t dim = countsRows(v) ? SINTER_GRID_ROWS : SINTER_GRID_TOKENS;
  return {
      static_cast<uint32_t>(perToken), {dim, SINTER_GRID_ONE, SINTER_GRID_ONE}, {1, 1, 1}, split};
}

static std::string typeName(DType t) { return std::string(dtypeName(t)); }
/// "bf16", or "bf16_f32" where the result differs.
static std::string typeNames(DType a, DType b) {
  return a == b ? typeName(a) : typeName(a) + "_" + typeName(b);
}

//===----------------------------------------------------------------------===//
// Linears
//===----------------------------------------------------------------------===//

static std::string linearKey(StringRef op, const LinearSpec &s) {
  std::string key;
  llvm::raw_string_ostream os(key);
  os << op << " k" << s.k << " rows";
  for (int64_t r : s.sourceRows)
    os << ' ' << r;
  os << " w" << int(s.weight) << " x" << int(s.x) << " y" << int(s.y) << " m" << s.maxTokens << " e"
     << int(s.epilogue) << (s.rows ? " R" : " T") << (s.norm ? " norm" : "") << (s.bias ? " b" : "")
     << (s.residual ? " r" : "") << ' ' << llvm::APFloat(s.eps).bitcastToAPInt().getZExtValue();
  return key;
}

static std::string linearName(StringRef op, const LinearSpec &s) {
  std::string m = s.maxTokens == INT64_MAX ? "n" : std::to_string(s.maxTokens);
  std::string types = typeName(s.x);
  if (s.weight != s.x || s.y != s.x)
    types += "_w" + typeName(s.weight) + "_" + typeName(s.y);
  return op.str() + "_" + types + "_" + std::to_string(s.weightRows()) + "x" + std::to_string(s.k) +
         (s.rows ? "_rows_m" : "_m") + m;
}

LogicalResult CpuLowering::linear(Operation *op, const LinearParts &p) {
  auto rows = tiledRows(op, p.w);
  auto xType = elementType(op, p.x), wType = elementType(op, p.w);
  auto yType = p.y ? elementType(op, p.y) : FailureOr<DType>(DType::F32);
  if (failed(rows) || failed(xType) || failed(wType) || failed(yType) ||
      failed(checkVector(op, p.gamma)) || failed(checkVector(op, p.bias)))
    return failure();
  LinearSpec spec;
  spec.k = cast<RankedTensorType>(p.x.getType()).getDimSize(1);
  spec.sourceRows = *rows;
  spec.weight = *wType, spec.x = *xType, spec.y = *yType;
  const int64_t tokens = cast<RankedTensorType>(p.x.getType()).getDimSize(0);
  spec.maxTokens = tokenClass(ShapedType::isDynamic(tokens) ? entry->maxTokens : tokens);
  spec.epilogue = p.epilogue;
  spec.rows = countsRows(p.x);
  spec.norm = static_cast<bool>(p.gamma), spec.bias = static_cast<bool>(p.bias);
  spec.residual = static_cast<bool>(p.residual), spec.eps = p.eps;
  if (spec.epilogue == LinearSpec::Swiglu && !spec.gateUpAligned())
    return op->emitOpError("gate and up rows do not start at tiles of the weight: they must be two "
                           "sources, or multiples of 16 rows");
  StringRef mnemonic = op->getName().stripDialect();
  unsigned k = kernel(
      mnemonic, linearName(mnemonic, spec), linearKey(mnemonic, spec),
      [&](ModuleOp m, StringRef s, CpuIsa isa) { return emitLinear(m, s, isa, spec); },
      spec.takesPairs());
  const bool argmax = spec.epilogue == LinearSpec::Argmax;
  SinterArg partials = argmax ? arena(plannedArena) : place({});
  std::vector<SinterArg> args = {place(p.x),    place(p.w),        place(p.y), place(p.gamma),
                                 place(p.bias), place(p.residual), partials};
  // Chunks even out the threads, but each packs x again: 1-2 % of its time with many tokens.
  SinterGrid grid{
      static_cast<uint32_t>(spec.tasks()), {}, {1, 1, 1}, spec.maxTokens == 1 ? 6u : 2u};
  launch(op, "", k, grid, args, {p.x, p.y, p.residual}, {p.w, p.gamma, p.bias},
         2 * spec.weightRows() * spec.k);
  if (!argmax)
    return success();
  partialBytes = std::max(partialBytes, roundUp(entry->maxRows * spec.tasks() * 8, 64));
  entry->ops.back().actBytesPerToken += spec.tasks() * 8;
  ArgmaxMergeSpec merge{spec.tasks()};
  std::string name = "argmax_merge_" + std::to_string(merge.count);
  k = kernel("argmax_merge", name, name, [&](ModuleOp m, StringRef s, CpuIsa isa) {
    return emitArgmaxMerge(m, s, isa, merge);
  });
  launch(op, ".merge", k, perToken(p.value), {partials, place(p.value), place(p.index)},
         {p.value, p.index});
  entry->ops.back().actBytesPerToken += spec.tasks() * 8;
  return success();
}

//===----------------------------------------------------------------------===//
// Norms and rows
//===----------------------------------------------------------------------===//

LogicalResult CpuLowering::norm(Operation *op, Tensor x, Value gamma, Tensor y, float eps,
                                Value other, Value sum) {
  auto type = elementType(op, x);
  if (failed(type) || failed(checkVector(op, gamma)))
    return failure();
  auto shape = x.getType().getShape();
  NormSpec spec{shape.back(), *type, eps, static_cast<bool>(other)};
  const int64_t heads = shape.size() == 3 ? shape[1] : 1;
  std::string name =
      op->getName().stripDialect().str() + "_" + typeName(*type) + "_" + std::to_string(spec.k);
  std::string key = name + " " + std::to_string(llvm::APFloat(eps).bitcastToAPInt().getZExtValue());
  unsigned k =
      kernel(op->getName().stripDialect(), name, key,
             [&](ModuleOp m, StringRef s, CpuIsa isa) { return emitNorm(m, s, isa, spec); });
  std::vector<SinterArg> args = {place(x), place(gamma), place(y)};
  if (other)
    args.insert(args.end(), {place(other), place(sum)});
  launch(op, "", k, perToken(x, heads), args, {x, other, sum, y}, {gamma}, 4 * heads * spec.k);
  return success();
}

LogicalResult CpuLowering::rows(Operation *op, RowSpec::Kind kind, Value a, Value c, Tensor y) {
  auto type = elementType(op, y);
  if (failed(type))
    return failure();
  RowSpec spec{kind, 1, *type};
  for (int64_t d : y.getType().getShape().drop_front())
    spec.n *= d;
  std::string name = op->getName().stripDialect().str() + "_" + typeName(*type) + "_" +
                     std::to_string(spec.n) + (kind == RowSpec::Swiglu1 ? "_merged" : "");
  unsigned k =
      kernel(op->getName().stripDialect(), name, name,
             [&](ModuleOp m, StringRef s, CpuIsa isa) { return emitRows(m, s, isa, spec); });
  launch(op, "", k, perToken(y), {place(a), place(c), place(y)}, {a, c, y}, {}, 4 * spec.n);
  return success();
}

LogicalResult CpuLowering::splitHeads(xfmr::SplitHeadsOp op) {
  auto type = elementType(op, op.getX());
  if (failed(type))
    return failure();
  auto shape = op.getType().getShape();
  RowSpec spec{RowSpec::Copy, shape[1] * shape[2], *type, op.getX().getType().getDimSize(1),
               static_cast<int64_t>(op.getOffset())};
  std::string name = "split_heads_" + typeName(*type) + "_" + std::to_string(spec.n) + "_of_" +
                     std::to_string(spec.stride) + "_at_" + std::to_string(spec.offset);
  unsigned k = kernel("split_heads", name, name, [&](ModuleOp m, StringRef s, CpuIsa isa) {
    return emitRows(m, s, isa, spec);
  });
  launch(op, "", k, perToken(op.getX()), {place(op.getX()), place(op.getResult())},
         {op.getResult(), op.getResult()});
  return success();
}

LogicalResult CpuLowering::selectRows(xfmr::SelectRowsOp op) {
  auto type = elementType(op, op.getX());
  if (failed(type))
    return failure();
  RowSpec spec{RowSpec::Select, op.getType().getDimSize(1), *type};
  std::string name = "select_rows_" + typeName(*type) + "_" + std::to_string(spec.n);
  unsigned k = kernel("select_rows", name, name, [&](ModuleOp m, StringRef s, CpuIsa isa) {
    return emitRows(m, s, isa, spec);
  });
  launch(op, "", k, perToken(op.getResult()), {place(op.getX()), place(op.getResult())},
         {op.getResult(), op.getResult()});
  return success();
}

LogicalResult CpuLowering::embedding(xfmr::EmbeddingOp op) {
  if (op.getVocabParallel() != 1)
    return op.emitOpError("with 'vocab_parallel' is not executed on the cpu target");
  auto rows = tiledRows(op, op.getTable());
  auto table = elementType(op, op.getTable()), y = elementType(op, op.getResult());
  if (failed(rows) || failed(table) || failed(y))
    return failure();
  EmbeddingSpec spec{op.getType().getDimSize(1), *rows, *table, *y};
  std::string name = "embedding_" + typeNames(*table, *y);
  for (int64_t r : *rows)
    name += "_" + std::to_string(r);
  name += "x" + std::to_string(spec.k);
  unsigned k = kernel("embedding", name, name, [&](ModuleOp m, StringRef s, CpuIsa isa) {
    return emitEmbedding(m, s, isa, spec);
  });
  // The rows read are counted as activations: they depend on the step, not on the table's size.
  launch(op, "", k, perToken(op.getResult()), {place(op.getTable()), place(op.getResult())},
         {op.getTable(), op.getResult()});
  return success();
}

LogicalResult CpuLowering::argmax(xfmr::ArgmaxOp op) {
  auto type = elementType(op, op.getX());
  if (failed(type))
    return failure();
  ArgmaxSpec spec{op.getX().getType().getDimSize(1), *type};
  std::string name = "argmax_" + typeName(*type) + "_" + std::to_string(spec.n);
  unsigned k = kernel("argmax", name, name, [&](ModuleOp m, StringRef s, CpuIsa isa) {
    return emitArgmax(m, s, isa, spec);
  });
  launch(op, "", k, perToken(op.getX()),
         {place(op.getX()), place(op.getValue()), place(op.getIndex())},
         {op.getX(), op.getValue(), op.getIndex()});
  return success();
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

LogicalResult CpuLowering::lowerKernelOp(Operation *op) {
  auto eps = [](const APFloat &v) { return v.convertToFloat(); };
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](xfmr::EmbeddingOp o) { return embedding(o); })
      .Case([&](xfmr::SplitHeadsOp o) { return splitHeads(o); })
      .Case([&](xfmr::SelectRowsOp o) { return selectRows(o); })
      .Case([&](xfmr::ArgmaxOp o) { return argmax(o); })
      .Case([&](xfmr::RopeOp o) { return rope(o); })
      .Case([&](xfmr::KvWriteOp o) { return kvWrite(o); })
      .Case([&](xfmr::QkNormRopeWriteOp o) { return qkNormRopeWrite(o); })
      .Case([&](xfmr::AttentionOp o) { return attention(o); })
      .Case([&](xfmr::AddOp o) { return rows(o, RowSpec::Add, o.getA(), o.getB(), o.getResult()); })
      .Case([&](xfmr::SwigluOp o) {
        return rows(o, o.getUp() ? RowSpec::Swiglu : RowSpec::Swiglu1, o.getGate(), o.getUp(),
                    o.getResult());
      })
      .Case([&](xfmr::RmsNormOp o) {
        return norm(o, o.getX(), o.getGamma(), o.getResult(), eps(o.getEps()));
      })
      .Case([&](xfmr::AddRmsNormOp o) {
        return norm(o, o.getA(), o.getGamma(), o.getResult(), eps(o.getEps()), o.getB(),
                    o.getSum());
      })
      .Case([&](xfmr::LinearOp o) {
        return linear(o, {o.getX(), o.getW(), {}, o.getBias(), {}, o.getResult()});
      })
      .Case([&](xfmr::LinearAddOp o) {
        return linear(o, {o.getX(), o.getW(), {}, o.getBias(), o.getResidual(), o.getResult()});
      })
      .Case([&](xfmr::RmsNormLinearOp o) {
        return linear(
            o, {o.getX(), o.getW(), o.getGamma(), o.getBias(), {}, o.getResult(), eps(o.getEps())});
      })
      .Case([&](xfmr::RmsNormSwigluOp o) {
        return linear(o, {o.getX(),
                          o.getW(),
                          o.getGamma(),
                          o.getBias(),
                          {},
                          o.getResult(),
                          eps(o.getEps()),
                          LinearSpec::Swiglu});
      })
      .Case([&](xfmr::LinearArgmaxOp o) {
        return linear(o, {o.getX(),
                          o.getW(),
                          o.getGamma(),
                          o.getBias(),
                          {},
                          {},
                          eps(o.getEps()),
                          LinearSpec::Argmax,
                          o.getValue(),
                          o.getIndex()});
      })
      .Default([](Operation *o) { return o->emitOpError("is not executed on the cpu target"); });
}
