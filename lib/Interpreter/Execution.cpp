//===- Execution.cpp - the xfmr ops, one by one ---------------------------===//
#include "Execution.h"

#include "Math.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;
using namespace sinter::xfmr;

static DType dtypeOf(Type type) {
  if (type.isBF16())
    return DType::BF16;
  if (type.isF16())
    return DType::F16;
  if (isa<Float8E4M3FNType>(type))
    return DType::E4M3;
  if (isa<Float8E5M2Type>(type))
    return DType::E5M2;
  return type.isF32() ? DType::F32 : DType::I32;
}

DType interp::elementOf(Value value) {
  return dtypeOf(cast<RankedTensorType>(value.getType()).getElementType());
}

static double epsOf(const APFloat &eps) { return eps.convertToFloat(); }

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

const Tensor *Execution::find(Value value) {
  return value ? tensors_.find(value)->second[rank_].get() : nullptr;
}

Tensor Execution::rounded(Value value, Tensor tensor) const {
  if (interpreter_.mode() == Mode::Exact)
    return tensor;
  return roundTo(elementOf(value), std::move(tensor));
}

/// A tensor fits a type when it has its static sizes.
static bool fits(const Tensor &tensor, RankedTensorType type) {
  if (int64_t(tensor.shape.size()) != type.getRank())
    return false;
  for (auto [have, want] : llvm::zip(tensor.shape, type.getShape()))
    if (!ShapedType::isDynamic(want) && have != want)
      return false;
  return true;
}

Status Execution::store(Operation *op, std::vector<Tensor> results) {
  std::vector<Tensor *> shown;
  auto next = results.begin();
  for (Value result : op->getResults()) {
    auto type = dyn_cast<RankedTensorType>(result.getType());
    if (!type)
      continue;
    if (!fits(*next, type))
      return internalError(opName(op) + ": gave a result of another shape than its type");
    auto &slots = tensors_[result];
    slots.resize(interpreter_.ranks());
    slots[rank_] = std::make_shared<Tensor>(rounded(result, std::move(*next++)));
    shown.push_back(slots[rank_].get());
  }
  if (interpreter_.observer_)
    interpreter_.observer_(op, rank_, shown);
  return Status::ok();
}

void Execution::release(Operation *op) {
  for (Value operand : op->getOperands())
    if (llvm::all_of(operand.getUsers(),
                     [&](Operation *user) { return user == op || user->isBeforeInBlock(op); }))
      tensors_.erase(operand);
}

Status Execution::checkPositions(const Tensor &table) const {
  for (int32_t position : batch_.positions)
    if (position >= table.rows())
      return invalidArgument("position " + std::to_string(position) + " is beyond the " +
                             std::to_string(table.rows()) + " positions of the rope table");
  return Status::ok();
}

//===----------------------------------------------------------------------===//
// The walk
//===----------------------------------------------------------------------===//

Status Execution::bindArguments(FunctionOpInterface function,
                                const std::vector<Tensor> &arguments) {
  size_t next = 0;
  unsigned layer = 0;
  for (Value argument : function.getArguments()) {
    if (isa<KvType>(argument.getType()))
      layers_[argument] = layer++;
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type)
      continue;
    if (next == arguments.size() || !fits(arguments[next], type))
      return invalidArgument(
          "function " + function.getName().str() + ": tensor argument " + std::to_string(next) +
          (next == arguments.size() ? " is missing" : " has a shape that its type excludes"));
    auto shared = std::make_shared<Tensor>(rounded(argument, arguments[next++]));
    tensors_[argument].assign(interpreter_.ranks(), shared);
  }
  if (next != arguments.size())
    return invalidArgument("function " + function.getName().str() + " takes " +
                           std::to_string(next) + " tensors, " + std::to_string(arguments.size()) +
                           " were given");
  return Status::ok();
}

Execution::Tensors Execution::run(FunctionOpInterface function,
                                  const std::vector<Tensor> &arguments) {
  SINTER_RETURN_IF_ERROR(bindArguments(function, arguments));
  for (Operation &op : function.getFunctionBody().front()) {
    if (op.hasTrait<OpTrait::IsTerminator>())
      return collectReturned(&op);
    SINTER_RETURN_IF_ERROR(execute(&op).withContext(opName(&op)));
    release(&op);
  }
  return internalError("function without a terminator");
}

Execution::Tensors Execution::collectReturned(Operation *op) {
  std::vector<Tensor> results;
  for (Value operand : op->getOperands()) {
    if (!isa<RankedTensorType>(operand.getType()))
      continue;
    const auto &ranks = tensors_.find(operand)->second;
    for (const auto &other : ranks)
      if (relativeL2(*other, *ranks.front()) != 0)
        return invalidInput("result " + std::to_string(results.size()) +
                            " differs between ranks: the graph lacks a collective");
    results.push_back(*ranks.front());
  }
  return results;
}

Status Execution::execute(Operation *op) {
  if (auto get = dyn_cast<GetWeightOp>(op))
    return getWeight(get);
  if (isa<AllReduceOp, AllGatherOp, AllReduceAddRmsNormOp>(op))
    return executeCollective(op);
  for (rank_ = 0; rank_ < interpreter_.ranks(); ++rank_) {
    SINTER_ASSIGN_OR_RETURN(std::vector<Tensor> results, evaluate(op));
    SINTER_RETURN_IF_ERROR(store(op, std::move(results)));
  }
  return Status::ok();
}

Execution::Tensors Execution::evaluate(Operation *op) {
  return llvm::TypeSwitch<Operation *, Tensors>(op)
      .Case<EmbeddingOp, RmsNormOp, LinearOp, AddOp, SwigluOp, SplitHeadsOp, MergeHeadsOp, RopeOp,
            SelectRowsOp, ArgmaxOp, KvWriteOp, AttentionOp, RmsNormLinearOp, RmsNormSwigluOp,
            LinearAddOp, AddRmsNormOp, QkNormRopeWriteOp, LinearArgmaxOp>(
          [&](auto typed) { return eval(typed); })
      .Default([](Operation *other) -> Tensors {
        return unsupported("the interpreter does not know op '" +
                           other->getName().getStringRef().str() + "'");
      });
}

Status Execution::getWeight(GetWeightOp op) {
  auto &cached = interpreter_.weightCache_[op.getWeight().str()];
  auto &slots = tensors_[op.getResult()];
  if (!cached.empty()) {
    slots = cached;
    return Status::ok();
  }
  auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(op, op.getWeightAttr());
  size_t bytes = 0;
  for (unsigned rank = 0; rank < interpreter_.ranks(); ++rank) {
    SINTER_ASSIGN_OR_RETURN(Tensor values,
                            materialiseWeight(weight, *interpreter_.weights_, rank,
                                              interpreter_.ranks(), interpreter_.mode()));
    bytes += values.data.size() * sizeof(double);
    slots.push_back(std::make_shared<Tensor>(std::move(values)));
  }
  if (interpreter_.weightCacheBytes_ + bytes <= interpreter_.weightCacheLimit_) {
    interpreter_.weightCacheBytes_ += bytes;
    cached = slots;
  }
  return Status::ok();
}

//===----------------------------------------------------------------------===//
// Collectives: every rank's operand is there before any rank's result
//===----------------------------------------------------------------------===//

/// The ranks' tensors side by side.
static Tensor gather(const std::vector<std::shared_ptr<Tensor>> &parts) {
  const int64_t columns = parts[0]->dim(1);
  Tensor y({parts[0]->rows(), columns * int64_t(parts.size())});
  for (int64_t r = 0; r < y.rows(); ++r)
    for (size_t rank = 0; rank < parts.size(); ++rank)
      std::copy_n(parts[rank]->row(r), columns, y.row(r) + int64_t(rank) * columns);
  return y;
}

/// The ranks' sum, in rank order.
static Tensor reduce(const std::vector<std::shared_ptr<Tensor>> &parts) {
  Tensor sum = *parts[0];
  for (size_t rank = 1; rank < parts.size(); ++rank)
    sum = add(sum, *parts[rank]);
  return sum;
}

Status Execution::executeCollective(Operation *op) {
  const auto ranks = op->getAttrOfType<IntegerAttr>("ranks").getInt();
  if (ranks != int64_t(interpreter_.ranks()))
    return invalidInput("a collective of " + std::to_string(ranks) + " ranks in a module of " +
                        std::to_string(interpreter_.ranks()));
  const auto parts = tensors_.find(op->getOperand(0))->second;
  for (rank_ = 0; rank_ < interpreter_.ranks(); ++rank_) {
    std::vector<Tensor> results;
    if (isa<AllGatherOp>(op)) {
      results.push_back(gather(parts));
    } else if (isa<AllReduceOp>(op)) {
      results.push_back(reduce(parts));
    } else {
      auto fused = cast<AllReduceAddRmsNormOp>(op);
      Tensor sum = rounded(fused.getSum(), add(reduce(parts), in(fused.getResidual())));
      Tensor norm = rmsNorm(sum, in(fused.getGamma()), epsOf(fused.getEps()));
      results = {std::move(sum), std::move(norm)};
    }
    SINTER_RETURN_IF_ERROR(store(op, std::move(results)));
  }
  return Status::ok();
}

//===----------------------------------------------------------------------===//
// Dense ops
//===----------------------------------------------------------------------===//

Execution::Tensors Execution::eval(EmbeddingOp op) {
  const Tensor &tokens = in(op.getTokens()), &table = in(op.getTable());
  const int64_t parts = op.getVocabParallel();
  if (parts != 1 && parts != int64_t(interpreter_.ranks()))
    return invalidInput("vocab_parallel = " + std::to_string(parts) + " in a module of " +
                        std::to_string(interpreter_.ranks()) + " ranks");
  for (double id : tokens.data)
    if (id < 0 || id >= double(table.rows() * parts))
      return invalidArgument("token " + std::to_string(int64_t(id)) +
                             " is outside the vocabulary of " +
                             std::to_string(table.rows() * parts));
  const int64_t first = parts == 1 ? 0 : int64_t(rank_) * table.rows();
  return std::vector<Tensor>{embed(tokens, table, first)};
}

Execution::Tensors Execution::eval(RmsNormOp op) {
  return std::vector<Tensor>{rmsNorm(in(op.getX()), in(op.getGamma()), epsOf(op.getEps()))};
}

Execution::Tensors Execution::eval(LinearOp op) {
  return std::vector<Tensor>{linear(in(op.getX()), in(op.getW()), find(op.getBias()))};
}

Execution::Tensors Execution::eval(AddOp op) {
  return std::vector<Tensor>{add(in(op.getA()), in(op.getB()))};
}

Execution::Tensors Execution::eval(SwigluOp op) {
  return std::vector<Tensor>{op.getUp() ? swiglu(in(op.getGate()), in(op.getUp()))
                                        : swiglu(in(op.getGate()))};
}

Execution::Tensors Execution::eval(SplitHeadsOp op) {
  const auto shape = op.getType().getShape();
  return std::vector<Tensor>{splitHeads(in(op.getX()), op.getOffset(), shape[1], shape[2])};
}

Execution::Tensors Execution::eval(MergeHeadsOp op) {
  const Tensor &x = in(op.getX());
  return std::vector<Tensor>{x.reshaped({x.rows(), x.rowSize()})};
}

Execution::Tensors Execution::eval(RopeOp op) {
  SINTER_RETURN_IF_ERROR(checkPositions(in(op.getTable())));
  return std::vector<Tensor>{rope(in(op.getX()), in(op.getTable()), batch_.positions)};
}

Execution::Tensors Execution::eval(SelectRowsOp op) {
  const Tensor &x = in(op.getX()), &rows = in(op.getRows());
  for (double row : rows.data)
    if (row < 0 || row >= double(x.rows()))
      return invalidArgument("row " + std::to_string(int64_t(row)) + " is outside the " +
                             std::to_string(x.rows()) + " tokens of the step");
  return std::vector<Tensor>{selectRows(x, rows)};
}

Execution::Tensors Execution::eval(ArgmaxOp op) {
  Argmax best = argmax(in(op.getX()));
  return std::vector<Tensor>{std::move(best.value), std::move(best.index)};
}

//===----------------------------------------------------------------------===//
// Cache
//===----------------------------------------------------------------------===//

void Execution::writeCache(PagedCache &cache, DType type, const Tensor &k, const Tensor &v,
                           double scale) {
  // An fp8 cache is what the model computes with: the reference quantises like everybody else.
  const bool exact = interpreter_.mode() == Mode::Exact && !isFp8(type);
  for (int64_t t = 0; t < k.rows(); ++t) {
    const int64_t slot = batch_.slots[size_t(t)];
    if (slot < 0)
      continue;
    for (int64_t h = 0; h < cache.heads(); ++h)
      for (int64_t d = 0; d < cache.headDim(); ++d) {
        const double key = k.row(t)[h * cache.headDim() + d] / scale;
        const double value = v.row(t)[h * cache.headDim() + d];
        cache.k(slot, h)[d] = exact ? key : roundTo(type, key);
        cache.v(slot, h)[d] = exact ? value : roundTo(type, value);
      }
  }
}

Execution::Tensors Execution::eval(KvWriteOp op) {
  pass(op.getKv(), op.getResult());
  writeCache(cacheOf(op.getKv()), dtypeOf(op.getKv().getType().getElementType()), in(op.getK()),
             in(op.getV()), kScale(op.getKScale()));
  return std::vector<Tensor>{};
}

Execution::Tensors Execution::eval(AttentionOp op) {
  const double scale = double(op.getScale().convertToFloat()) * kScale(op.getKScale());
  return std::vector<Tensor>{
      attention(in(op.getQ()), cacheOf(op.getKv()), batch_, scale, op.windowOrZero())};
}

Execution::Tensors Execution::eval(QkNormRopeWriteOp op) {
  const Tensor &qkv = in(op.getQkv()), &table = in(op.getTable());
  SINTER_RETURN_IF_ERROR(checkPositions(table));
  KvType kv = op.getKv().getType();
  const int64_t size = kv.getHeadDim(), heads = kv.getHeads(),
                queries = op.getQ().getType().getDimSize(1);
  Tensor q = splitHeads(qkv, 0, queries, size);
  Tensor k = splitHeads(qkv, queries * size, heads, size);
  const Tensor v = splitHeads(qkv, (queries + heads) * size, heads, size);
  if (op.getQGamma()) {
    q = rmsNorm(q, in(op.getQGamma()), epsOf(op.getEps()));
    k = rmsNorm(k, in(op.getKGamma()), epsOf(op.getEps()));
  }
  pass(op.getKv(), op.getResult());
  writeCache(cacheOf(op.getKv()), dtypeOf(kv.getElementType()), rope(k, table, batch_.positions), v,
             kScale(op.getKScale()));
  return std::vector<Tensor>{rope(q, table, batch_.positions)};
}

//===----------------------------------------------------------------------===//
// Other fused ops
//===----------------------------------------------------------------------===//

Tensor Execution::normed(Value x, Value gamma, Value w, Value bias, double eps) {
  std::optional<DType> weighted;
  if (interpreter_.weightedRounded() && interpreter_.mode() == Mode::Declared &&
      elementOf(x) == DType::BF16 && elementOf(w) == DType::BF16)
    weighted = DType::BF16;
  return normLinear(in(x), in(gamma), in(w), find(bias), eps, weighted);
}

Execution::Tensors Execution::eval(RmsNormLinearOp op) {
  return std::vector<Tensor>{
      normed(op.getX(), op.getGamma(), op.getW(), op.getBias(), epsOf(op.getEps()))};
}

Execution::Tensors Execution::eval(RmsNormSwigluOp op) {
  return std::vector<Tensor>{
      swiglu(normed(op.getX(), op.getGamma(), op.getW(), op.getBias(), epsOf(op.getEps())))};
}

Execution::Tensors Execution::eval(LinearAddOp op) {
  return std::vector<Tensor>{
      add(linear(in(op.getX()), in(op.getW()), find(op.getBias())), in(op.getResidual()))};
}

Execution::Tensors Execution::eval(AddRmsNormOp op) {
  Tensor sum = rounded(op.getSum(), add(in(op.getA()), in(op.getB())));
  Tensor norm = rmsNorm(sum, in(op.getGamma()), epsOf(op.getEps()));
  return std::vector<Tensor>{std::move(sum), std::move(norm)};
}

Execution::Tensors Execution::eval(LinearArgmaxOp op) {
  Tensor logits =
      op.getGamma() ? normed(op.getX(), op.getGamma(), op.getW(), op.getBias(), epsOf(op.getEps()))
                    : linear(in(op.getX()), in(op.getW()), find(op.getBias()));
  // Ties are ties of f32 logits; value is f32, so its rounding is that of the logits.
  Argmax best = argmax(rounded(op.getValue(), std::move(logits)));
  return std::vector<Tensor>{std::move(best.value), std::move(best.index)};
}
