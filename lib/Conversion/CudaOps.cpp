//===- CudaOps.cpp - dense ops to their GPU templates ---------------------===//
#include "CudaLowering.h"

#include "lib/Codegen/Gpu/TunedTable.h"
#include "lib/Codegen/Gpu/Tuning.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

static std::string typeName(DType t) { return std::string(dtypeName(t)); }

static std::string bits(float v) {
  return std::to_string(llvm::APFloat(v).bitcastToAPInt().getZExtValue());
}

//===----------------------------------------------------------------------===//
// Linears
//===----------------------------------------------------------------------===//

static std::string linearName(StringRef op, const LinearSpec &s) {
  std::string types = typeName(s.x);
  if (s.w != s.x || s.y != s.x)
    types += "_w" + typeName(s.w) + "_" + typeName(s.y);
  return op.str() + "_" + types + "_" + std::to_string(s.n) + "x" + std::to_string(s.k) +
         (s.rows ? "_rows_m" : "_m") + std::to_string(s.maxTokens);
}

/// Orders are part of the names where they are promised.
static std::string suffixOf(const std::string &order) { return order.empty() ? "" : "_" + order; }

static std::string linearKey(StringRef op, const LinearSpec &s) {
  std::string key;
  llvm::raw_string_ostream os(key);
  os << linearName(op, s) << " e" << int(s.epilogue) << (s.norm ? " norm" : "")
     << (s.bias ? " b" : "") << (s.residual ? " r" : "") << (s.xg ? " xg" : "")
     << (s.xgOut ? " xgout " : " ") << s.sumsIn << ' ' << bits(s.eps);
  if (s.write)
    os << " writes " << writeKey(*s.write);
  return key;
}

CudaLowering::PreparedRows CudaLowering::preparedRoom(Value x) const {
  PreparedRows rows;
  rows.x = x;
  rows.xgAt = arena(preparedAt);
  rows.sumsAt = arena(preparedAt + alignUp(entry->maxTokens * rowBytes(x), 256));
  return rows;
}

/// The norm weight with which a linear reads y, if one does and nothing comes between.
Value CudaLowering::nextGamma(Value y) const {
  for (Operation *user : y.getUsers()) {
    if (auto op = dyn_cast<xfmr::RmsNormLinearOp>(user); op && op.getX() == y)
      return op.getGamma();
    if (auto op = dyn_cast<xfmr::RmsNormSwigluOp>(user); op && op.getX() == y)
      return op.getGamma();
  }
  return {};
}

/// Makes the norm of `p` part of what the linear reads: from its producer's x * gamma and sums
/// where they are there, else by a kernel of its own. Returns what takes the place of x.
FailureOr<SinterArg> CudaLowering::prepareRows(Operation *op, const LinearParts &p,
                                               LinearSpec &spec, std::vector<SinterArg> &sums) {
  if (prepared.x == p.x && prepared.gamma == p.gamma && prepared.sums) {
    spec.xg = true;
    spec.sumsIn = prepared.sums;
    sums = {prepared.sumsAt};
    return prepared.xgAt;
  }
  RowSpec norm{RowSpec::RmsNorm, spec.k, spec.x, spec.x, spec.maxTokens, spec.rows};
  norm.eps = p.eps;
  const PreparedRows room = preparedRoom(p.x);
  prepared = {};
  if (failed(startRows(op, ".norm", norm, {place(p.x), place(p.gamma), room.xgAt}, {p.x, p.x})))
    return failure();
  spec.norm = false;
  return room.xgAt;
}

/// Whether the kernel can, and nobody has measured that it should not.
bool CudaLowering::writesAfter(const LinearSpec &spec, const CacheWriteSpec &write,
                               const LinearTuning &tuning) const {
  if (!options.linearWrites || !writesCache(chip, spec, write, tuning))
    return false;
  if (!options.tuned)
    return true;
  const auto row = options.tuned->fusion(
      "fuse-linear-write", std::to_string(spec.n) + "x" + std::to_string(spec.k), spec.maxTokens);
  return !row || row->second.fused <= row->second.apart;
}

LogicalResult CudaLowering::linear(Operation *op, const LinearParts &p) {
  auto xType = elementType(op, p.x), wType = matrixType(op, p.w);
  auto yType = p.y ? elementType(op, p.y) : FailureOr<DType>(DType::F32);
  if (failed(xType) || failed(wType) || failed(yType) || failed(checkVector(op, p.gamma)) ||
      failed(checkVector(op, p.bias)))
    return failure();
  auto shape = cast<RankedTensorType>(p.w.getType()).getShape();
  LinearSpec spec;
  spec.n = shape[0], spec.k = shape[1];
  spec.x = *xType, spec.w = *wType, spec.y = *yType;
  spec.maxTokens = mostOf(p.x);
  spec.epilogue = p.epilogue;
  spec.rows = countsRows(p.x);
  spec.norm = static_cast<bool>(p.gamma), spec.bias = static_cast<bool>(p.bias);
  spec.residual = static_cast<bool>(p.residual), spec.eps = p.eps;
  spec.invariant = options.batchInvariant;
  SinterArg x = place(p.x), gamma = place(p.gamma);
  std::vector<SinterArg> sumsIn, gammaNext, left;
  const bool ready = readsPreparedRows(chip, spec);
  if (ready && spec.norm) {
    auto rows = prepareRows(op, p, spec, sumsIn);
    if (failed(rows))
      return failure();
    x = *rows, gamma = {};
  }
  prepared = {};
  const bool prepares = !spec.invariant || spec.n % 8 == 0;
  Value next =
      ready && spec.residual && spec.y == DType::BF16 && prepares ? nextGamma(p.y) : Value();
  if (next) {
    prepared = preparedRoom(p.y);
    prepared.gamma = next;
    spec.xgOut = spec.sumsOut = true;
    gammaNext = {place(next)};
    left = {prepared.sumsAt, prepared.xgAt};
  }
  StringRef mnemonic = op->getName().stripDialect();
  const std::string order = spec.invariant ? linearOrder(chip, spec) : "";
  // What was measured is not about sums in one order.
  const TunedTable::Linear *tuned =
      options.tuned && !spec.invariant ? options.tuned->find(spec) : nullptr;
  const LinearTuning tuning = tuned ? tuned->tuning : LinearTuning();
  xfmr::QkNormRopeWriteOp writer = writerOf(p.y);
  const LinearSpec alone = spec;
  if (writer) {
    auto write = qkvWrite(writer);
    if (failed(write))
      return failure();
    if (writesAfter(spec, *write, tuning))
      spec.write = *write;
    else
      writer = {};
  }
  auto k = kernel(
      mnemonic, linearName(mnemonic, spec) + (writer ? "_write" : "") + suffixOf(order),
      linearKey(mnemonic, spec),
      [&](Operation *module, StringRef symbol) {
        return emitLinear(module, symbol, chip, spec, tuning);
      },
      order + (spec.norm ? spec.xg ? " xg" : " norm" : "") + (spec.residual ? " residual" : "") +
          (spec.epilogue == LinearSpec::Swiglu ? " swiglu" : ""));
  if (failed(k) || (options.candidates && failed(addCandidates(op, alone, *k))))
    return failure();
  const StepChoice choice{std::to_string(spec.n) + "x" + std::to_string(spec.k),
                          describe(k->made.tuning) + (writer ? ", writes to the cache" : ""),
                          k->made.predictedMicros, tuned && !writer ? tuned->micros : 0};
  int64_t flops = 2 * spec.n * spec.k;
  std::vector<SinterArg> args = {x, place(p.w), gamma, place(p.bias), place(p.residual)};
  args.insert(args.end(), sumsIn.begin(), sumsIn.end());
  args.insert(args.end(), gammaNext.begin(), gammaNext.end());
  if (spec.epilogue != LinearSpec::Argmax) {
    SmallVector<Value> weights = {p.w, p.gamma, p.bias};
    if (writer) {
      written.insert(writer);
      args.push_back(arena(attendedAt)); // q
      left = writeArgs(writer);
      weights.append({writer.getQGamma(), writer.getKGamma()});
      flops += spec.write->flops();
    } else {
      args.push_back(place(p.y));
    }
    args.insert(args.end(), left.begin(), left.end());
    const Value result = writer ? writer.getQ() : p.y;
    if (failed(start(op, "", *k, args, {p.x, result, p.residual}, weights, flops)))
      return failure();
    entry->ops.back().choice = choice;
    int64_t &traffic = entry->ops.back().actBytesPerToken;
    traffic += 4 * spec.sumsIn + (writer ? spec.write->cache.tokenBytes() : 0);
    if (next) {
      prepared.sums = k->made.partials;
      traffic += 4 * prepared.sums + rowBytes(p.y);
    }
    return success();
  }
  // A value and an index per tile of rows of W, then the best of them.
  const int64_t each = alignUp(spec.maxTokens * k->made.partials * 4, 256);
  args.insert(args.end(), {room(each), room(each, each)});
  if (failed(start(op, "", *k, args, {p.x}, {p.w, p.gamma, p.bias}, flops)))
    return failure();
  entry->ops.back().choice = choice;
  entry->ops.back().actBytesPerToken += 8 * k->made.partials;
  RowSpec merge{RowSpec::ArgmaxMerge, k->made.partials, DType::F32,
                DType::F32,           spec.maxTokens,   spec.rows};
  merge.feedback = true;
  if (failed(startRows(
          op, ".merge", merge,
          {room(each), room(each, each), place(p.value), place(p.index), persistent(feedbackAt)},
          {p.value, p.index})))
    return failure();
  entry->ops.back().actBytesPerToken += 8 * k->made.partials;
  return success();
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

static const char *kindName(RowSpec::Kind kind) {
  switch (kind) {
  case RowSpec::Embedding:
    return "embedding";
  case RowSpec::SelectRows:
    return "select_rows";
  case RowSpec::RmsNorm:
    return "rms_norm";
  case RowSpec::Add:
    return "add";
  case RowSpec::AddRmsNorm:
    return "add_rms_norm";
  case RowSpec::Swiglu:
    return "swiglu";
  case RowSpec::ArgmaxMerge:
    return "argmax_merge";
  case RowSpec::Argmax:
    return "argmax";
  case RowSpec::SwigluTwo:
    return "swiglu_two";
  case RowSpec::Columns:
    return "columns";
  }
  return "";
}

/// Whether results differ from operands.
static bool rounds(RowSpec::Kind kind) {
  return kind == RowSpec::RmsNorm || kind == RowSpec::Add || kind == RowSpec::AddRmsNorm ||
         kind == RowSpec::Swiglu || kind == RowSpec::SwigluTwo;
}

LogicalResult CudaLowering::startRows(Operation *op, StringRef suffix, const RowSpec &spec,
                                      std::vector<SinterArg> args, ArrayRef<Value> tensors) {
  std::string name =
      std::string(kindName(spec.kind)) + "_" + typeName(spec.x) +
      (spec.y == spec.x ? "" : "_" + typeName(spec.y)) + "_" + std::to_string(spec.k) +
      (spec.perToken > 1 ? "x" + std::to_string(spec.perToken) : "") +
      (spec.stride ? "_of_" + std::to_string(spec.stride) + "_at_" + std::to_string(spec.offset)
                   : "") +
      (spec.rows ? "_rows_m" : "_m") + std::to_string(spec.maxTokens);
  auto k = kernel(
      op->getName().stripDialect(), name,
      name + " " + bits(spec.eps) + (spec.feedback ? " feedback" : ""),
      [&](Operation *module, StringRef symbol) { return emitRows(module, symbol, chip, spec); },
      rounds(spec.kind) ? kindName(spec.kind) : "");
  if (failed(k))
    return failure();
  return start(op, suffix, *k, std::move(args), tensors, {}, 4 * spec.k);
}

LogicalResult CudaLowering::rows(Operation *op, RowSpec::Kind kind, ArrayRef<Value> operands,
                                 ArrayRef<Value> results, float eps) {
  auto x = elementType(op, operands.front());
  auto y = kind == RowSpec::Argmax ? x : elementType(op, results.front());
  if (failed(x) || failed(y))
    return failure();
  // Heads are rows of their own to a norm.
  auto shape =
      cast<RankedTensorType>((kind == RowSpec::Argmax ? operands : results).front().getType())
          .getShape();
  RowSpec spec{kind, shape.back(), *x, *y, mostOf(results.front()), countsRows(results.front())};
  spec.eps = eps;
  if (shape.size() == 3)
    spec.perToken = shape[1];
  std::vector<SinterArg> args;
  SmallVector<Value> tensors(operands);
  for (Value v : operands)
    args.push_back(place(v));
  for (Value v : results) {
    args.push_back(place(v));
    tensors.push_back(v);
  }
  spec.feedback = kind == RowSpec::Embedding || kind == RowSpec::Argmax;
  if (spec.feedback)
    args.push_back(persistent(feedbackAt));
  return startRows(op, "", spec, std::move(args), tensors);
}

LogicalResult CudaLowering::splitHeads(xfmr::SplitHeadsOp op) {
  auto type = elementType(op, op.getX());
  if (failed(type))
    return failure();
  auto shape = op.getType().getShape();
  RowSpec spec{RowSpec::Columns,       shape[1] * shape[2],       *type, *type,
               mostOf(op.getResult()), countsRows(op.getResult())};
  spec.stride = op.getX().getType().getDimSize(1);
  spec.offset = static_cast<int64_t>(op.getOffset());
  return startRows(op, "", spec, {place(op.getX()), place(op.getResult())},
                   {op.getResult(), op.getResult()});
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

LogicalResult CudaLowering::lowerKernelOp(Operation *op) {
  auto eps = [](const APFloat &v) { return v.convertToFloat(); };
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](xfmr::EmbeddingOp o) -> LogicalResult {
        if (o.getVocabParallel() != 1)
          return o.emitOpError("with 'vocab_parallel' is not executed on the cuda target");
        if (failed(matrixType(o, o.getTable())))
          return failure();
        return rows(o, RowSpec::Embedding, {o.getTable()}, {o.getResult()});
      })
      .Case([&](xfmr::SelectRowsOp o) {
        // The row of one token is that token.
        if (entry->maxTokens == 1)
          return alias(o.getResult(), o.getX()), success();
        return rows(o, RowSpec::SelectRows, {o.getX()}, {o.getResult()});
      })
      .Case([&](xfmr::ArgmaxOp o) {
        return rows(o, RowSpec::Argmax, {o.getX()}, {o.getValue(), o.getIndex()});
      })
      .Case([&](xfmr::AddOp o) {
        return rows(o, RowSpec::Add, {o.getA(), o.getB()}, {o.getResult()});
      })
      .Case([&](xfmr::RmsNormOp o) {
        return rows(o, RowSpec::RmsNorm, {o.getX(), o.getGamma()}, {o.getResult()},
                    eps(o.getEps()));
      })
      .Case([&](xfmr::AddRmsNormOp o) {
        return rows(o, RowSpec::AddRmsNorm, {o.getA(), o.getB(), o.getGamma()},
                    {o.getSum(), o.getResult()}, eps(o.getEps()));
      })
      .Case([&](xfmr::SwigluOp o) {
        if (o.getUp())
          return rows(o, RowSpec::SwigluTwo, {o.getGate(), o.getUp()}, {o.getResult()});
        return rows(o, RowSpec::Swiglu, {o.getGate()}, {o.getResult()});
      })
      .Case([&](xfmr::SplitHeadsOp o) { return splitHeads(o); })
      .Case([&](xfmr::QkNormRopeWriteOp o) { return qkNormRopeWrite(o); })
      .Case([&](xfmr::AttentionOp o) { return attention(o); })
      .Case([&](xfmr::KvWriteOp o) { return kvWrite(o); })
      .Case([&](xfmr::RopeOp o) { return rope(o); })
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
      .Default([](Operation *o) { return o->emitOpError("is not executed on the cuda target"); });
}
