//===- CudaOpsCache.cpp - ops on the cache to their GPU kernels -----------===//
#include "CudaLowering.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

static std::string bits(float v) {
  return std::to_string(llvm::APFloat(v).bitcastToAPInt().getZExtValue());
}

//===----------------------------------------------------------------------===//
// Specs
//===----------------------------------------------------------------------===//

static PagedCache pagedCache(Value kv, int64_t layers) {
  auto type = cast<xfmr::KvType>(kv.getType());
  PagedCache cache;
  cache.heads = type.getHeads(), cache.headDim = type.getHeadDim(), cache.page = type.getPage();
  cache.kPacked = type.getLayout() == xfmr::KvLayout::KPacked;
  cache.type = TypeSwitch<Type, DType>(type.getElementType())
                   .Case([](BFloat16Type) { return DType::BF16; })
                   .Case([](Float16Type) { return DType::F16; })
                   .Case([](Float8E4M3FNType) { return DType::E4M3; })
                   .Case([](Float8E5M2Type) { return DType::E5M2; })
                   .Default([](Type) { return DType::F32; });
  cache.pageBytes =
      layers * 2 * cache.heads * cache.page * cache.headDim * int64_t(dtypeBytes(cache.type));
  return cache;
}

static int64_t countLayers(Operation *op) {
  auto func = op->getParentOfType<FunctionOpInterface>();
  return llvm::count_if(func.getArguments(),
                        [](BlockArgument arg) { return isa<xfmr::KvType>(arg.getType()); });
}

FailureOr<AttentionSpec> CudaLowering::attentionSpec(xfmr::AttentionOp op, int64_t maxTokens,
                                                     int64_t maxQ) const {
  auto type = elementType(op, op.getQ());
  if (failed(type))
    return failure();
  AttentionSpec spec;
  spec.cache = pagedCache(op.getKv(), countLayers(op));
  spec.heads = op.getQ().getType().getDimSize(1);
  spec.x = *type;
  spec.kScale = static_cast<bool>(op.getKScale());
  spec.scale = op.getScale().convertToFloat();
  spec.maxTokens = maxTokens;
  spec.maxQ = maxQ;
  spec.early = chip.dependentLaunch();
  spec.invariant = options.batchInvariant;
  spec.window = op.windowOrZero();
  return spec;
}

static std::string kernelName(StringRef op, const AttentionSpec &s) {
  return op.str() + "_" + std::string(dtypeName(s.x)) + "_" + std::to_string(s.heads) + "_" +
         std::to_string(s.cache.heads) + "x" + std::to_string(s.cache.headDim) + "_page" +
         std::to_string(s.cache.page) + "_" + std::string(dtypeName(s.cache.type)) +
         (s.kScale ? "_scaled_m" : "_m") + std::to_string(s.maxTokens) +
         (s.maxQ ? "_q" + std::to_string(s.maxQ) : "") +
         (s.window ? "_w" + std::to_string(s.window) : "");
}

static std::string kernelKey(StringRef op, const AttentionSpec &s) {
  return kernelName(op, s) + " " + bits(s.scale) + (s.cache.kPacked ? " packed" : "") + " " +
         std::to_string(s.cache.pageBytes);
}

static std::string kernelName(StringRef op, const CacheWriteSpec &s) {
  return op.str() + "_" + std::string(dtypeName(s.x)) + "_" + std::to_string(s.heads) + "_" +
         std::to_string(s.cache.heads) + "x" + std::to_string(s.cache.headDim) + "_page" +
         std::to_string(s.cache.page) + "_" + std::string(dtypeName(s.cache.type)) +
         (s.norm ? "" : "_plain") + (s.kScale ? "_scaled_m" : "_m") + std::to_string(s.maxTokens);
}

static std::string kernelKey(StringRef op, const CacheWriteSpec &s) {
  return kernelName(op, s) + " " + bits(s.eps) + (s.cache.kPacked ? " packed " : " ") +
         std::to_string(s.cache.pageBytes);
}

std::string sinter::writeKey(const CacheWriteSpec &s) { return kernelKey("", s); }

//===----------------------------------------------------------------------===//
// Memory and plans
//===----------------------------------------------------------------------===//

/// For each window of an entry its first attention, whose plan serves all others of that window:
/// they differ in their layer only.
static SmallVector<xfmr::AttentionOp> firstAttentions(FunctionOpInterface func) {
  SmallVector<xfmr::AttentionOp> firsts;
  func->walk([&](xfmr::AttentionOp op) {
    if (llvm::none_of(firsts, [&](auto first) { return first.getWindow() == op.getWindow(); }))
      firsts.push_back(op);
  });
  return firsts;
}

/// The plans of an entry, from plansAt: that of decode for the first window, that of prefill, those
/// of decode for the other windows.
int64_t CudaLowering::decodePlanAt(const AttentionSpec &spec) const {
  const AttentionMemory memory = attentionMemory(chip, spec);
  const auto index = llvm::find(windows, spec.window) - windows.begin();
  const int64_t before = index ? alignUp(memory.prefillPlan, 256) : 0;
  return plansAt + index * alignUp(memory.decodePlan, 256) + before;
}

int64_t CudaLowering::prefillPlanAt(const AttentionSpec &spec) const {
  return plansAt + alignUp(attentionMemory(chip, spec).decodePlan, 256);
}

/// x * gamma and a sum of squares per 16 columns, for the widest rows a norm reads.
int64_t CudaLowering::preparedBytes() {
  int64_t bytes = 0;
  planned.walk([&](Operation *op) {
    Value x;
    if (auto o = dyn_cast<xfmr::RmsNormLinearOp>(op))
      x = o.getX();
    else if (auto o = dyn_cast<xfmr::RmsNormSwigluOp>(op))
      x = o.getX();
    else if (auto o = dyn_cast<xfmr::LinearArgmaxOp>(op))
      x = o.getGamma() ? o.getX() : Value();
    if (!x)
      return;
    auto tokens = op->getParentOfType<FunctionOpInterface>()->getAttrOfType<DenseI64ArrayAttr>(
        xfmr::kTokensAttr);
    if (!tokens || tokens.size() != 2)
      return;
    const int64_t columns = cast<RankedTensorType>(x.getType()).getDimSize(1);
    bytes = std::max(bytes, alignUp(tokens[1] * rowBytes(x), 256) +
                                alignUp(tokens[1] * 4 * (columns / 16 + 1), 256));
  });
  return bytes;
}

LogicalResult CudaLowering::prepare() {
  int64_t plans = 0, attended = 0, mostRows = 0;
  for (auto func : planned.getOps<func::FuncOp>()) {
    SmallVector<xfmr::AttentionOp> firsts = firstAttentions(func);
    auto tokens = func->getAttrOfType<DenseI64ArrayAttr>(xfmr::kTokensAttr);
    if (!func->hasAttr(xfmr::kEntryAttr) || !tokens || tokens.size() != 2)
      continue;
    mostRows = std::max(mostRows, tokens[1]);
    if (firsts.empty())
      continue;
    auto maxQ = func->getAttrOfType<IntegerAttr>(xfmr::kMaxQAttr);
    auto spec = attentionSpec(firsts.front(), tokens[1], maxQ ? maxQ.getInt() : 0);
    if (failed(spec))
      return failure();
    const AttentionMemory memory = attentionMemory(chip, *spec);
    // The same room takes q, which has as many columns, of a linear that writes to the cache.
    const bool mayWrite = options.linearWrites && !spec->invariant && usesPrefill(*spec) &&
                          prefillUsesWgmma(chip, *spec);
    if (readsRawQkv(*spec) || mayWrite)
      attended = std::max(attended, tokens[1] * rowBytes(firsts.front().getResult()));
    plans = std::max(plans, int64_t(firsts.size()) * alignUp(memory.decodePlan, 256) +
                                alignUp(memory.prefillPlan, 256));
    program.persistentBytes = std::max(program.persistentBytes, alignUp(memory.counters, 256));
  }
  feedbackAt = program.persistentBytes;
  program.persistentBytes += alignUp(4 * mostRows, 256);
  // Plans live as long as the step, so nobody else may use their room.
  plansAt = alignUp(plannedArena, 256);
  preparedAt = plansAt + plans;
  attendedAt = alignUp(preparedAt + preparedBytes(), 256);
  plannedArena = attendedAt + alignUp(attended, 256);
  return success();
}

LogicalResult CudaLowering::planAttention(xfmr::AttentionOp op) {
  auto spec = attentionSpec(op, entry->maxTokens, entry->maxQ);
  if (failed(spec))
    return failure();
  const bool first = windows.empty();
  windows.push_back(spec->window);
  const auto plan = [&](StringRef name, auto emit, int64_t at) -> LogicalResult {
    auto k = kernel(
        name, kernelName(name, *spec), kernelKey(name, *spec),
        [&](Operation *module, StringRef symbol) { return emit(module, symbol, chip, *spec); });
    if (failed(k))
      return failure();
    if (failed(start(op, "", *k, {arena(at)}, {})))
      return failure();
    entry->ops.back().name = name.str() + (spec->window ? "_w" + std::to_string(spec->window) : "");
    entry->ops.back().op = name.str();
    return success();
  };
  if (usesDecode(*spec) && failed(plan("decode_plan", emitDecodePlan, decodePlanAt(*spec))))
    return failure();
  spec->window = 0; // the plan of prefill is the same for every window
  if (first && usesPrefill(*spec) &&
      failed(plan("prefill_plan", emitPrefillPlan, prefillPlanAt(*spec))))
    return failure();
  // Attention reads the plan before it waits for its predecessor.
  fullEdgeNext = true;
  return success();
}

LogicalResult CudaLowering::beginEntry(FunctionOpInterface func) {
  // Prompts ask for the logits of one row; a matrix of them for every token would not fit.
  constexpr int64_t kPromptRows = 64;
  auto rows = func->getAttrOfType<IntegerAttr>(xfmr::kMaxRowsAttr);
  if (rows || !entry->maxQ)
    entry->maxRows = std::min(entry->maxRows, rows ? rows.getInt() : kPromptRows);
  windows.clear();
  for (xfmr::AttentionOp first : firstAttentions(func))
    if (failed(planAttention(first)))
      return failure();
  return success();
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

LogicalResult CudaLowering::attention(xfmr::AttentionOp op) {
  if (!knowsCache(op.getKv()))
    return op.emitOpError("reads a cache handle that does not come from the entry's arguments");
  auto spec = attentionSpec(op, entry->maxTokens, entry->maxQ);
  if (failed(spec))
    return failure();
  if (auto raw = op.getQ().getDefiningOp<xfmr::QkNormRopeWriteOp>();
      raw && readerOfRawQkv(raw) == op)
    return attentionFromQkv(op, *spec);
  const AttentionMemory memory = attentionMemory(chip, *spec);
  const std::vector<SinterArg> common = {place(op.getQ()), place(op.getResult()),
                                         cacheStream(op.getKv(), false),
                                         cacheStream(op.getKv(), true), place(op.getKScale())};
  const bool prefills = usesPrefill(*spec), decodes = usesDecode(*spec);
  const std::string order = spec->invariant ? attentionOrder(chip, *spec) : "";
  const auto part = [&](StringRef name, StringRef suffix, auto emit,
                        std::vector<SinterArg> more) -> LogicalResult {
    auto k = kernel(
        "attention", kernelName(name, *spec) + (order.empty() ? "" : "_" + order),
        kernelKey(name, *spec),
        [&](Operation *module, StringRef symbol) { return emit(module, symbol, chip, *spec); },
        order);
    if (failed(k))
      return failure();
    std::vector<SinterArg> args = common;
    args.insert(args.end(), more.begin(), more.end());
    const bool first = suffix.empty();
    return start(op, suffix, *k, std::move(args),
                 first ? ArrayRef<Value>{op.getQ(), op.getResult()} : ArrayRef<Value>{}, {}, 0,
                 first,
                 !prefills || !decodes ? SINTER_GRID_ONE
                 : first               ? SINTER_GRID_SHORT_SEQS
                                       : SINTER_GRID_LONG_SEQS);
  };
  std::vector<SinterArg> forPrefill;
  if (prefills) {
    forPrefill = {arena(prefillPlanAt(*spec))};
    if (prefillTakesMaps(chip, *spec))
      forPrefill.insert(forPrefill.end(),
                        {cacheStream(op.getKv(), false), cacheStream(op.getKv(), true)});
  }
  if (prefills && failed(part("attention_prefill", decodes ? ".prefill" : "", emitPrefillAttention,
                              forPrefill)))
    return failure();
  if (!decodes)
    return success();
  return part("attention_decode", "", emitDecodeAttention,
              {arena(decodePlanAt(*spec)), room(memory.partials), persistent(0)});
}

FailureOr<CacheWriteSpec> CudaLowering::cacheWrite(Operation *op, Value kv, Value x,
                                                   int64_t heads) const {
  auto type = elementType(op, x);
  if (failed(type))
    return failure();
  if (!knowsCache(kv))
    return op->emitOpError("reads a cache handle that does not come from the entry's arguments");
  CacheWriteSpec spec;
  spec.cache = pagedCache(kv, countLayers(op));
  spec.heads = heads;
  spec.x = *type;
  spec.maxTokens = entry->maxTokens;
  return spec;
}

FailureOr<CacheWriteSpec> CudaLowering::qkvWrite(xfmr::QkNormRopeWriteOp op) const {
  auto spec = cacheWrite(op, op.getKv(), op.getQkv(), op.getQ().getType().getDimSize(1));
  if (failed(spec) || failed(checkVector(op, op.getQGamma())) ||
      failed(checkVector(op, op.getKGamma())))
    return failure();
  spec->norm = static_cast<bool>(op.getQGamma());
  spec->kScale = static_cast<bool>(op.getKScale());
  spec->eps = op.getEps().convertToFloat();
  return spec;
}

/// The decode attention that does this op on the way, if there is one.
xfmr::AttentionOp CudaLowering::readerOfRawQkv(xfmr::QkNormRopeWriteOp op) const {
  if (!op.getQ().hasOneUse())
    return {};
  auto reader = dyn_cast<xfmr::AttentionOp>(*op.getQ().user_begin());
  if (!reader || reader.getKv() != op.getResult() || !reader.getResult().hasOneUse())
    return {};
  // Its result lies where the next attention's will: it must have been read by then.
  Operation *user = *reader.getResult().user_begin();
  for (Operation *next = reader->getNextNode(); next != user; next = next->getNextNode())
    if (!next || isa<xfmr::AttentionOp, xfmr::QkNormRopeWriteOp>(next))
      return {};
  auto spec = attentionSpec(reader, entry->maxTokens, entry->maxQ);
  return succeeded(spec) && readsRawQkv(*spec) ? reader : xfmr::AttentionOp();
}

xfmr::QkNormRopeWriteOp CudaLowering::writerOf(Value y) const {
  if (!y || !y.hasOneUse())
    return {};
  auto writer = dyn_cast<xfmr::QkNormRopeWriteOp>(*y.user_begin());
  if (!writer || writer.getQkv() != y || !writer.getQ().hasOneUse() || readerOfRawQkv(writer))
    return {};
  // K and V come as early as the linear: nothing may read the cache before the op's own place.
  for (Operation *next = y.getDefiningOp()->getNextNode(); next != writer;
       next = next->getNextNode())
    if (!next || !isa<xfmr::GetWeightOp>(next))
      return {};
  // q lies where that of the next such linear will: it must have been read by then.
  Operation *reader = *writer.getQ().user_begin();
  for (Operation *next = writer->getNextNode(); next != reader; next = next->getNextNode())
    if (!next || isa<xfmr::QkNormRopeWriteOp, xfmr::AttentionOp>(next))
      return {};
  return isa<xfmr::AttentionOp>(reader) ? writer : xfmr::QkNormRopeWriteOp();
}

/// Behind q in the parameters of a linear.
std::vector<SinterArg> CudaLowering::writeArgs(xfmr::QkNormRopeWriteOp op) {
  std::vector<SinterArg> args = {cacheStream(op.getKv(), false), cacheStream(op.getKv(), true),
                                 place(op.getTable())};
  if (op.getQGamma())
    args.insert(args.end(), {place(op.getQGamma()), place(op.getKGamma())});
  if (op.getKScale())
    args.push_back(place(op.getKScale()));
  return args;
}

LogicalResult CudaLowering::qkNormRopeWrite(xfmr::QkNormRopeWriteOp op) {
  if (readerOfRawQkv(op))
    return success();
  if (written.contains(op)) {
    // The plan lets q take the place of what other blocks of the linear still read.
    moveTo(op.getQ(), arena(attendedAt));
    return success();
  }
  auto spec = qkvWrite(op);
  if (failed(spec))
    return failure();
  auto k = kernel(
      "qk_norm_rope_write", kernelName("qk_norm_rope_write", *spec),
      kernelKey("qk_norm_rope_write", *spec),
      [&](Operation *module, StringRef symbol) {
        return emitQkNormRopeWrite(module, symbol, chip, *spec);
      },
      "qk_norm_rope_write");
  if (failed(k))
    return failure();
  if (failed(start(op, "", *k,
                   {place(op.getQkv()), place(op.getTable()), place(op.getQ()),
                    cacheStream(op.getKv(), false), cacheStream(op.getKv(), true),
                    place(op.getQGamma()), place(op.getKGamma()), place(op.getKScale())},
                   {op.getQkv(), op.getQ()}, {op.getQGamma(), op.getKGamma()}, spec->flops())))
    return failure();
  entry->ops.back().actBytesPerToken += spec->cache.tokenBytes();
  return success();
}

LogicalResult CudaLowering::attentionFromQkv(xfmr::AttentionOp op, const AttentionSpec &spec) {
  auto raw = op.getQ().getDefiningOp<xfmr::QkNormRopeWriteOp>();
  auto write = qkvWrite(raw);
  if (failed(write))
    return failure();
  // The plan lets the result take the place of qkv, which it believes to be read by now.
  moveTo(op.getResult(), arena(attendedAt));
  const StringRef name = "attention_qkv";
  auto k = kernel("attention", kernelName(name, spec) + (write->norm ? "" : "_plain"),
                  kernelKey(name, spec) + kernelKey("", *write),
                  [&](Operation *module, StringRef symbol) {
                    return emitDecodeFromQkv(module, symbol, chip, spec, *write);
                  });
  if (failed(k))
    return failure();
  if (failed(start(
          op, "", *k,
          {place(raw.getQkv()), place(raw.getTable()), place(op.getResult()),
           cacheStream(op.getKv(), false), cacheStream(op.getKv(), true), place(raw.getQGamma()),
           place(raw.getKGamma()), place(raw.getKScale()), arena(decodePlanAt(spec)),
           room(attentionMemory(chip, spec).partials), persistent(0)},
          {raw.getQkv(), op.getResult()}, {raw.getQGamma(), raw.getKGamma()}, write->flops(),
          /*readsKv=*/true)))
    return failure();
  entry->ops.back().actBytesPerToken += write->cache.tokenBytes();
  return success();
}

LogicalResult CudaLowering::kvWrite(xfmr::KvWriteOp op) {
  auto spec = cacheWrite(op, op.getKv(), op.getK(), 0);
  if (failed(spec))
    return failure();
  spec->kScale = static_cast<bool>(op.getKScale());
  auto k = kernel(
      "kv_write", kernelName("kv_write", *spec), kernelKey("kv_write", *spec),
      [&](Operation *module, StringRef symbol) { return emitKvWrite(module, symbol, chip, *spec); },
      "kv_write");
  if (failed(k))
    return failure();
  if (failed(start(op, "", *k,
                   {place(op.getK()), place(op.getV()), cacheStream(op.getKv(), false),
                    cacheStream(op.getKv(), true), place(op.getKScale())},
                   {op.getK(), op.getV()})))
    return failure();
  entry->ops.back().actBytesPerToken += spec->cache.tokenBytes();
  return success();
}

LogicalResult CudaLowering::rope(xfmr::RopeOp op) {
  auto type = elementType(op, op.getX());
  if (failed(type))
    return failure();
  auto shape = op.getType().getShape();
  CacheWriteSpec spec;
  spec.heads = shape[1], spec.cache.headDim = shape[2];
  spec.x = *type;
  spec.maxTokens = entry->maxTokens;
  const std::string name = "rope_" + std::string(dtypeName(*type)) + "_" +
                           std::to_string(shape[1]) + "x" + std::to_string(shape[2]) + "_m" +
                           std::to_string(spec.maxTokens);
  auto k = kernel(
      "rope", name, name,
      [&](Operation *module, StringRef symbol) { return emitRope(module, symbol, chip, spec); },
      "rope");
  if (failed(k))
    return failure();
  return start(op, "", *k, {place(op.getX()), place(op.getTable()), place(op.getResult())},
               {op.getX(), op.getResult()}, {}, 3 * shape[1] * shape[2]);
}
