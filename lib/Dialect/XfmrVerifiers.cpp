//===- XfmrVerifiers.cpp - what a legal xfmr graph is ---------------------===//
//
// Every message names the operand and gives both shapes. Types are checked by ODS already; here are
// relations between operands.
//
//===----------------------------------------------------------------------===//
#include "sinter/Dialect/Xfmr.h"

using namespace mlir;
using namespace sinter::xfmr;

using Tensor = TypedValue<RankedTensorType>;

static std::string shapeOf(ArrayRef<int64_t> shape) {
  std::string s = "[";
  for (auto [i, d] : llvm::enumerate(shape))
    s += (i ? ", " : "") + (ShapedType::isDynamic(d) ? std::string("?") : std::to_string(d));
  return s + "]";
}
static std::string shapeOf(Value v) {
  return shapeOf(cast<RankedTensorType>(v.getType()).getShape());
}
static int64_t dim(Value v, unsigned i) {
  return cast<RankedTensorType>(v.getType()).getDimSize(i);
}
static Type element(Value v) { return cast<RankedTensorType>(v.getType()).getElementType(); }
/// Two sizes that may be the same at run time.
static bool mayEqual(int64_t a, int64_t b) {
  return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b);
}

/// `name` must have `want` as its shape.
static LogicalResult checkShape(Operation *op, Value v, StringRef name, ArrayRef<int64_t> want,
                                StringRef because) {
  auto shape = cast<RankedTensorType>(v.getType()).getShape();
  bool ok = shape.size() == want.size() && llvm::all_of(llvm::zip(shape, want), [](auto p) {
              return mayEqual(std::get<0>(p), std::get<1>(p));
            });
  if (ok)
    return success();
  return op->emitOpError() << "'" << name << "' has shape " << shapeOf(shape) << ", " << because
                           << " needs " << shapeOf(want);
}

/// Tokens in and tokens out must be spelt alike: both static and equal, or both dynamic.
static LogicalResult checkTokens(Operation *op, Value in, Value out) {
  if (dim(in, 0) == dim(out, 0))
    return success();
  return op->emitOpError() << "result has shape " << shapeOf(out) << " for an input of shape "
                           << shapeOf(in) << ": the first dimensions differ";
}

static LogicalResult checkSameElement(Operation *op, Value in, StringRef name, Value out) {
  if (element(in) == element(out))
    return success();
  return op->emitOpError() << "result element type " << element(out) << " differs from that of '"
                           << name << "', " << element(in);
}

/// x [T, K], w [N, K], bias [N] -> [T, N].
static LogicalResult checkLinear(Operation *op, Value x, Value w, Value bias, int64_t n) {
  std::string because = "'x' of shape " + shapeOf(x);
  if (failed(checkShape(op, w, "w", {ShapedType::kDynamic, dim(x, 1)}, because)))
    return failure();
  if (ShapedType::isDynamic(dim(x, 1)) || ShapedType::isDynamic(dim(w, 0)) ||
      ShapedType::isDynamic(dim(w, 1)))
    return op->emitOpError() << "'x' " << shapeOf(x) << " and 'w' " << shapeOf(w)
                             << " need static sizes beyond the tokens";
  if (bias && failed(checkShape(op, bias, "bias", {dim(w, 0)}, "'w' of shape " + shapeOf(w))))
    return failure();
  if (n >= 0 && n != dim(w, 0))
    return op->emitOpError() << "result has " << n << " columns, 'w' of shape " << shapeOf(w)
                             << " gives " << dim(w, 0);
  return success();
}

static LogicalResult checkGamma(Operation *op, Value gamma, Value x, StringRef name = "gamma") {
  int64_t last = cast<RankedTensorType>(x.getType()).getShape().back();
  return checkShape(op, gamma, name, {last}, "'x' of shape " + shapeOf(x));
}

static LogicalResult checkEps(Operation *op, const APFloat &eps) {
  if (eps.isFinite() && !eps.isNegative())
    return success();
  return op->emitOpError("'eps' must be finite and not negative");
}

/// Counts are unsigned in ODS: -1 would pass for a large one.
static LogicalResult checkPositive(Operation *op, int64_t n, StringRef name) {
  if (n >= 1)
    return success();
  return op->emitOpError() << "'" << name << "' must be positive, got " << n;
}

static LogicalResult checkKScale(Operation *op, Value kScale) {
  return kScale ? checkShape(op, kScale, "k_scale", {1}, "one scale per layer") : success();
}

/// One write per handle, and no read of a handle after the write that consumed it.
static LogicalResult checkConsumed(CacheOpInterface op) {
  Value kv = op.getKvOperand().get();
  for (OpOperand &use : kv.getUses()) {
    auto other = dyn_cast<CacheOpInterface>(use.getOwner());
    if (!other || other == op)
      continue;
    if (other.writesCache())
      return op->emitOpError() << "consumes a cache handle that " << other->getName() << " at "
                               << other->getLoc() << " consumes too";
    if (other->getBlock() == op->getBlock() && op->isBeforeInBlock(other))
      return other->emitOpError() << "reads a stale cache handle: " << op->getName() << " at "
                                  << op->getLoc() << " has consumed it";
  }
  return success();
}

/// Heads [T, n, D] that go into or come out of a cache with D.
static LogicalResult checkHeads(Operation *op, Value v, StringRef name, KvType kv, bool isKv) {
  int64_t heads = isKv ? kv.getHeads() : dim(v, 1);
  SmallVector<int64_t> want = {ShapedType::kDynamic, heads, kv.getHeadDim()};
  std::string because;
  llvm::raw_string_ostream(because) << "a cache of type " << kv;
  if (failed(checkShape(op, v, name, want, because)))
    return failure();
  if (!isKv && (heads < 1 || heads % kv.getHeads()))
    return op->emitOpError() << "'" << name << "' of shape " << shapeOf(v) << " has " << heads
                             << " heads, not a multiple of the cache's " << kv.getHeads();
  return success();
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

static LogicalResult verifySources(WeightOp op, ArrayAttr sources, RankedTensorType type) {
  if (sources.empty())
    return op.emitOpError("has no sources");
  int64_t rows = 0;
  for (Attribute a : sources) {
    auto source = dyn_cast<SourceAttr>(a);
    if (!source)
      return op.emitOpError() << "source list holds " << a << ", not a #xfmr.source";
    int64_t n = source.getEnd() - source.getBegin();
    rows += source.getShard() == ShardRule::Rows ? n / source.getRanks() : n;
  }
  if (rows != type.getDimSize(0))
    return op.emitOpError() << "sources hold " << rows << " rows, the type " << type << " has "
                            << type.getDimSize(0);
  return success();
}

LogicalResult WeightOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape() || type.getRank() < 1 || type.getRank() > 2)
    return emitOpError() << "type " << type << " must be a static vector or matrix";
  if (auto sources = dyn_cast<ArrayAttr>(getInit()))
    return verifySources(*this, sources, type);
  if (isa<KScaleAttr>(getInit())) {
    if (!type.getElementType().isF32() || type.getShape() != ArrayRef<int64_t>{1})
      return emitOpError() << "a k_scale has type tensor<1xf32>, not " << type;
    return success();
  }
  if (auto rope = dyn_cast<RopeTableAttr>(getInit())) {
    if (!type.getElementType().isF32() || type.getRank() != 2 ||
        type.getDimSize(1) != 2 * static_cast<int64_t>(rope.getInvFreq().size()))
      return emitOpError() << "a rope_table of " << rope.getInvFreq().size()
                           << " frequencies has type tensor<Px" << 2 * rope.getInvFreq().size()
                           << "xf32>, not " << type;
    return success();
  }
  return emitOpError() << "init must be a list of #xfmr.source, a #xfmr.k_scale or a "
                          "#xfmr.rope_table, not "
                       << getInit();
}

LogicalResult GetWeightOp::verifySymbolUses(SymbolTableCollection &tables) {
  auto weight = tables.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr());
  if (!weight)
    return emitOpError() << "no xfmr.weight named @" << getWeight();
  if (weight.getType() != getType())
    return emitOpError() << "@" << getWeight() << " has type " << weight.getType()
                         << ", the result " << getType();
  return success();
}

//===----------------------------------------------------------------------===//
// Dense ops
//===----------------------------------------------------------------------===//

LogicalResult EmbeddingOp::verify() {
  if (failed(checkPositive(*this, getVocabParallel(), "vocab_parallel")))
    return failure();
  return checkShape(*this, getResult(), "result", {dim(getTokens(), 0), dim(getTable(), 1)},
                    "'tokens' " + shapeOf(getTokens()) + " and 'table' " + shapeOf(getTable()));
}

LogicalResult RmsNormOp::verify() {
  if (getX().getType().getShape() != getType().getShape())
    return emitOpError() << "result has shape " << shapeOf(getResult()) << ", 'x' has "
                         << shapeOf(getX());
  if (failed(checkSameElement(*this, getX(), "x", getResult())) ||
      failed(checkEps(*this, getEps())))
    return failure();
  return checkGamma(*this, getGamma(), getX());
}

LogicalResult LinearOp::verify() {
  if (failed(checkTokens(*this, getX(), getResult())))
    return failure();
  return checkLinear(*this, getX(), getW(), getBias(), dim(getResult(), 1));
}

LogicalResult AddOp::verify() {
  // The trait takes ? for equal to 1, which would broadcast.
  if (getA().getType() != getB().getType())
    return emitOpError() << "'b' has type " << getB().getType() << ", 'a' has " << getA().getType();
  if (getType() != getA().getType())
    return emitOpError() << "result has type " << getType() << ", 'a' has " << getA().getType();
  return success();
}

LogicalResult SwigluOp::verify() {
  if (failed(checkTokens(*this, getGate(), getResult())) ||
      failed(checkSameElement(*this, getGate(), "gate", getResult())))
    return failure();
  int64_t n = dim(getResult(), 1);
  if (!getUp())
    return checkShape(*this, getGate(), "gate", {ShapedType::kDynamic, 2 * n},
                      "a result of shape " + shapeOf(getResult()) + " from one operand");
  if (getUp().getType() != getGate().getType())
    return emitOpError() << "'up' has type " << getUp().getType() << ", 'gate' has "
                         << getGate().getType();
  return checkShape(*this, getGate(), "gate", {ShapedType::kDynamic, n},
                    "a result of shape " + shapeOf(getResult()));
}

LogicalResult SplitHeadsOp::verify() {
  if (failed(checkTokens(*this, getX(), getResult())) ||
      failed(checkSameElement(*this, getX(), "x", getResult())))
    return failure();
  int64_t begin = getOffset(), end = begin + dim(getResult(), 1) * dim(getResult(), 2);
  if (begin < 0 || end > dim(getX(), 1))
    return emitOpError() << "columns [" << begin << ", " << end << ") are not inside 'x' of "
                         << "shape " << shapeOf(getX());
  return success();
}

LogicalResult MergeHeadsOp::verify() {
  if (failed(checkSameElement(*this, getX(), "x", getResult())))
    return failure();
  return checkShape(*this, getResult(), "result", {dim(getX(), 0), dim(getX(), 1) * dim(getX(), 2)},
                    "'x' of shape " + shapeOf(getX()));
}

LogicalResult RopeOp::verify() {
  if (getX().getType() != getType())
    return emitOpError() << "result has type " << getType() << ", 'x' has " << getX().getType();
  return checkShape(*this, getTable(), "table", {ShapedType::kDynamic, dim(getX(), 2)},
                    "'x' of shape " + shapeOf(getX()));
}

LogicalResult SelectRowsOp::verify() {
  if (failed(checkSameElement(*this, getX(), "x", getResult())))
    return failure();
  return checkShape(*this, getResult(), "result", {dim(getRows(), 0), dim(getX(), 1)},
                    "'rows' " + shapeOf(getRows()) + " of 'x' " + shapeOf(getX()));
}

static LogicalResult checkArgmax(Operation *op, Value x, Value value, Value index) {
  if (failed(checkShape(op, value, "value", {dim(x, 0)}, "'x' of shape " + shapeOf(x))))
    return failure();
  return checkShape(op, index, "index", {dim(x, 0)}, "'x' of shape " + shapeOf(x));
}

LogicalResult ArgmaxOp::verify() { return checkArgmax(*this, getX(), getValue(), getIndex()); }

//===----------------------------------------------------------------------===//
// Cache and collectives
//===----------------------------------------------------------------------===//

LogicalResult KvWriteOp::verify() {
  KvType kv = getKv().getType();
  if (getResult().getType() != kv)
    return emitOpError() << "result has type " << getResult().getType() << ", 'kv' has " << kv;
  if (failed(checkHeads(*this, getK(), "k", kv, true)) ||
      failed(checkHeads(*this, getV(), "v", kv, true)) || failed(checkKScale(*this, getKScale())))
    return failure();
  if (getK().getType() != getV().getType())
    return emitOpError() << "'k' has type " << getK().getType() << ", 'v' has " << getV().getType();
  return checkConsumed(*this);
}

LogicalResult AttentionOp::verify() {
  if (getQ().getType() != getType())
    return emitOpError() << "result has type " << getType() << ", 'q' has " << getQ().getType();
  if (getWindow() && failed(checkPositive(*this, windowOrZero(), "window")))
    return failure();
  if (failed(checkKScale(*this, getKScale())))
    return failure();
  return checkHeads(*this, getQ(), "q", getKv().getType(), false);
}

LogicalResult AllReduceOp::verify() {
  if (failed(checkPositive(*this, getRanks(), "ranks")))
    return failure();
  if (getX().getType() != getType())
    return emitOpError() << "result has type " << getType() << ", 'x' has " << getX().getType();
  return success();
}

LogicalResult AllGatherOp::verify() {
  if (failed(checkPositive(*this, getRanks(), "ranks")))
    return failure();
  return checkShape(*this, getResult(), "result",
                    {dim(getX(), 0), dim(getX(), 1) * static_cast<int64_t>(getRanks())},
                    "'x' of shape " + shapeOf(getX()));
}

//===----------------------------------------------------------------------===//
// Fused ops
//===----------------------------------------------------------------------===//

LogicalResult RmsNormLinearOp::verify() {
  if (failed(checkTokens(*this, getX(), getResult())) ||
      failed(checkGamma(*this, getGamma(), getX())) || failed(checkEps(*this, getEps())))
    return failure();
  return checkLinear(*this, getX(), getW(), getBias(), dim(getResult(), 1));
}

LogicalResult RmsNormSwigluOp::verify() {
  if (failed(checkTokens(*this, getX(), getResult())) ||
      failed(checkGamma(*this, getGamma(), getX())) || failed(checkEps(*this, getEps())))
    return failure();
  return checkLinear(*this, getX(), getW(), getBias(), 2 * dim(getResult(), 1));
}

LogicalResult LinearAddOp::verify() {
  if (failed(checkTokens(*this, getX(), getResult())))
    return failure();
  if (getResidual().getType() != getType())
    return emitOpError() << "'residual' has type " << getResidual().getType() << ", the result "
                         << getType();
  return checkLinear(*this, getX(), getW(), getBias(), dim(getResult(), 1));
}

static LogicalResult checkAddNorm(Operation *op, Value a, Value b, StringRef bName, Value gamma,
                                  Value sum, Value result) {
  if (a.getType() != b.getType())
    return op->emitOpError() << "'" << bName << "' has type " << b.getType()
                             << ", the other summand " << a.getType();
  for (Value r : {sum, result})
    if (r.getType() != a.getType())
      return op->emitOpError() << "result has type " << r.getType() << ", the summands "
                               << a.getType();
  return checkGamma(op, gamma, a);
}

LogicalResult AddRmsNormOp::verify() {
  if (failed(checkEps(*this, getEps())))
    return failure();
  return checkAddNorm(*this, getA(), getB(), "b", getGamma(), getSum(), getResult());
}

LogicalResult AllReduceAddRmsNormOp::verify() {
  if (failed(checkPositive(*this, getRanks(), "ranks")) || failed(checkEps(*this, getEps())))
    return failure();
  return checkAddNorm(*this, getX(), getResidual(), "residual", getGamma(), getSum(), getResult());
}

LogicalResult QkNormRopeWriteOp::verify() {
  KvType kv = getKv().getType();
  if (getResult().getType() != kv)
    return emitOpError() << "result has type " << getResult().getType() << ", 'kv' has " << kv;
  if (failed(checkTokens(*this, getQkv(), getQ())) ||
      failed(checkSameElement(*this, getQkv(), "qkv", getQ())) ||
      failed(checkHeads(*this, getQ(), "q", kv, false)))
    return failure();
  int64_t columns = (dim(getQ(), 1) + 2 * kv.getHeads()) * kv.getHeadDim();
  if (dim(getQkv(), 1) != columns)
    return emitOpError() << "'qkv' of shape " << shapeOf(getQkv()) << " needs " << columns
                         << " columns for 'q' " << shapeOf(getQ()) << " and cache " << kv;
  if (failed(checkShape(*this, getTable(), "table", {ShapedType::kDynamic, kv.getHeadDim()},
                        "the cache's head_dim")) ||
      failed(checkKScale(*this, getKScale())) || failed(checkEps(*this, getEps())))
    return failure();
  if (!getQGamma() != !getKGamma())
    return emitOpError("'q_gamma' and 'k_gamma' must both be there or both be absent");
  for (auto [v, name] : {std::pair{getQGamma(), "q_gamma"}, std::pair{getKGamma(), "k_gamma"}})
    if (v && failed(checkShape(*this, v, name, {kv.getHeadDim()}, "the cache's head_dim")))
      return failure();
  return checkConsumed(*this);
}

LogicalResult LinearArgmaxOp::verify() {
  if (getGamma() && failed(checkGamma(*this, getGamma(), getX())))
    return failure();
  if (failed(checkEps(*this, getEps())) ||
      failed(checkLinear(*this, getX(), getW(), getBias(), -1)))
    return failure();
  return checkArgmax(*this, getX(), getValue(), getIndex());
}
