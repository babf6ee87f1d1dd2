//===- CpuOpsCache.cpp - ops on the cache to their templates --------------===//
#include "CpuLowering.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

FailureOr<CacheShape> CpuLowering::cacheShape(Operation *op, Value kv) const {
  auto type = cast<xfmr::KvType>(kv.getType());
  if (!knowsCache(kv))
    return op->emitOpError("reads a cache handle that does not come from the entry's arguments");
  if (type.getLayout() != xfmr::KvLayout::KPacked)
    return op->emitOpError() << "on " << type << ": the cpu target has kernels for k_packed only";
  if (type.getPage() % kLanes)
    return op->emitOpError() << "on " << type << ": the cpu target needs pages of a multiple of "
                             << kLanes << " tokens";
  if (type.getHeadDim() % 2)
    return op->emitOpError() << "on " << type << ": the cpu target needs an even head size";
  CacheShape shape{type.getHeads(), type.getPage(), type.getHeadDim(), DType::F32};
  Type element = type.getElementType();
  if (element.isBF16() || element.isF16())
    shape.type = element.isBF16() ? DType::BF16 : DType::F16;
  else if (!element.isF32())
    return op->emitOpError() << "on " << type << ": caches of " << element << " have no CPU kernel";
  return shape;
}

static std::string cacheName(const CacheShape &c) {
  return std::to_string(c.heads) + "x" + std::to_string(c.headDim) + "_page" +
         std::to_string(c.page) + "_" + std::string(dtypeName(c.type));
}

static std::string bits(float v) {
  return std::to_string(llvm::APFloat(v).bitcastToAPInt().getZExtValue());
}

/// K and V of one token, all heads.
static int64_t tokenBytes(const CacheShape &c) { return 2 * c.heads * c.headDim * bytesOf(c.type); }

LogicalResult CpuLowering::rope(xfmr::RopeOp op) {
  auto type = elementType(op, op.getX());
  if (failed(type))
    return failure();
  auto shape = op.getType().getShape();
  if (shape[2] % 2)
    return op.emitOpError() << "head size " << shape[2] << " is odd";
  RopeSpec spec{shape[1], shape[2], *type};
  std::string name = "rope_" + std::string(dtypeName(*type)) + "_" + std::to_string(spec.heads) +
                     "x" + std::to_string(spec.headDim);
  unsigned k = kernel("rope", name, name, [&](ModuleOp m, StringRef s, CpuIsa isa) {
    return emitRope(m, s, isa, spec);
  });
  launch(op, "", k, perToken(op.getX(), spec.heads),
         {place(op.getX()), place(op.getTable()), place(op.getResult())},
         {op.getX(), op.getResult()}, {}, 3 * spec.heads * spec.headDim);
  return success();
}

LogicalResult CpuLowering::kvWrite(xfmr::KvWriteOp op) {
  auto cache = cacheShape(op, op.getKv());
  auto type = elementType(op, op.getK());
  if (failed(cache) || failed(type))
    return failure();
  KvWriteSpec spec{*cache, *type, static_cast<bool>(op.getKScale())};
  std::string name = "kv_write_" + std::string(dtypeName(*type)) + "_" + cacheName(*cache) +
                     (spec.kScale ? "_scaled" : "");
  unsigned k = kernel("kv_write", name, name, [&](ModuleOp m, StringRef s, CpuIsa isa) {
    return emitKvWrite(m, s, isa, spec);
  });
  std::vector<SinterArg> args = {place(op.getK()), place(op.getV()), cacheStream(op.getKv(), false),
                                 cacheStream(op.getKv(), true), place(op.getKScale())};
  launch(op, "", k, perToken(op.getK(), 2 * cache->heads), args, {op.getK(), op.getV()});
  entry->ops.back().actBytesPerToken += tokenBytes(*cache);
  return success();
}

LogicalResult CpuLowering::qkNormRopeWrite(xfmr::QkNormRopeWriteOp op) {
  auto cache = cacheShape(op, op.getKv());
  auto type = elementType(op, op.getQkv());
  if (failed(cache) || failed(type) || failed(checkVector(op, op.getQGamma())) ||
      failed(checkVector(op, op.getKGamma())))
    return failure();
  const int64_t queries = op.getQ().getType().getDimSize(1);
  QkvSpec spec{*cache,
               queries,
               *type,
               static_cast<bool>(op.getQGamma()),
               static_cast<bool>(op.getKScale()),
               op.getEps().convertToFloat()};
  std::string name = "qk_norm_rope_write_" + std::string(dtypeName(*type)) + "_" +
                     std::to_string(queries) + "_" + cacheName(*cache) +
                     (spec.norm ? "" : "_plain") + (spec.kScale ? "_scaled" : "");
  unsigned k = kernel(
      "qk_norm_rope_write", name, name + " " + bits(spec.eps),
      [&](ModuleOp m, StringRef s, CpuIsa isa) { return emitQkNormRopeWrite(m, s, isa, spec); },
      spec.roundsToBf16());
  std::vector<SinterArg> args = {place(op.getQkv()),
                                 place(op.getTable()),
                                 place(op.getQ()),
                                 cacheStream(op.getKv(), false),
                                 cacheStream(op.getKv(), true),
                                 place(op.getQGamma()),
                                 place(op.getKGamma()),
                                 place(op.getKScale())};
  launch(op, "", k, perToken(op.getQkv(), queries + 2 * cache->heads, 4), args,
         {op.getQkv(), op.getQ()}, {op.getQGamma(), op.getKGamma()},
         7 * (queries + cache->heads) * cache->headDim);
  entry->ops.back().actBytesPerToken += tokenBytes(*cache);
  return success();
}

/// The rows of the rope table; 0 where there is none.
int64_t CpuLowering::maxPositions() {
  int64_t positions = 0;
  for (auto weight : planned.getOps<xfmr::WeightOp>())
    if (isa<xfmr::RopeTableAttr>(weight.getInit()))
      positions = cast<RankedTensorType>(weight.getType()).getDimSize(0);
  return positions;
}

/// From so many kv heads on each can be one task: a split needs a second launch.
static constexpr int64_t kManyHeads = 8;

LogicalResult CpuLowering::attention(xfmr::AttentionOp op) {
  auto cache = cacheShape(op, op.getKv());
  auto type = elementType(op, op.getQ());
  if (failed(cache) || failed(type))
    return failure();
  const int64_t tokens = op.getQ().getType().getDimSize(0);
  AttentionSpec spec{*cache,
                     op.getQ().getType().getDimSize(1),
                     *type,
                     static_cast<bool>(op.getKScale()),
                     op.getScale().convertToFloat(),
                     ShapedType::isDynamic(tokens) ? entry->maxTokens : tokens,
                     op.windowOrZero()};
  const int64_t chunks = ceilDiv(maxPositions(), kAttentionChunk);
  spec.split = spec.maxTokens == 1 && cache->heads < kManyHeads && chunks > 1;
  const int64_t blockTokens = spec.blockTokens();
  std::string name =
      "attention_" + std::string(dtypeName(*type)) + "_" + std::to_string(spec.queryHeads) + "_" +
      cacheName(*cache) + "_q" + std::to_string(blockTokens) + (spec.kScale ? "_scaled" : "") +
      (spec.window ? "_w" + std::to_string(spec.window) : "") + (spec.split ? "_split" : "");
  unsigned k = kernel(
      "attention", name, name + " " + bits(spec.scale),
      [&](ModuleOp m, StringRef s, CpuIsa isa) { return emitAttention(m, s, isa, spec); },
      spec.takesPairs());
  SinterGrid grid{static_cast<uint32_t>(cache->heads),
                  {SINTER_GRID_SEQS, SINTER_GRID_MAX_Q, SINTER_GRID_ONE},
                  {1, static_cast<uint32_t>(blockTokens), 1},
                  4};
  std::vector<SinterArg> args = {place(op.getQ()), place(op.getResult()),
                                 cacheStream(op.getKv(), false), cacheStream(op.getKv(), true),
                                 place(op.getKScale())};
  if (!spec.split) {
    launch(op, "", k, grid, args, {op.getQ(), op.getResult()}, {}, 0, true);
    return success();
  }
  args.push_back(arena(plannedArena));
  partialBytes = std::max(partialBytes, roundUp(chunks * cache->heads * spec.partialBytes(), 64));
  grid.dim[0] = SINTER_GRID_MAX_CTX, grid.div[0] = kAttentionChunk;
  grid.dim[1] = SINTER_GRID_ONE, grid.div[1] = 1;
  // Of the partial states at least one chunk goes through memory.
  const int64_t partial = cache->heads * spec.partialBytes();
  launch(op, "", k, grid, args, {op.getQ()}, {}, 0, true);
  entry->ops.back().actBytesPerToken += partial;
  name += "_merge";
  k = kernel("attention", name, name, [&](ModuleOp m, StringRef s, CpuIsa isa) {
    return emitAttentionMerge(m, s, isa, spec);
  });
  launch(op, ".merge", k, {static_cast<uint32_t>(cache->heads), {}, {1, 1, 1}, 1}, args,
         {op.getResult()});
  entry->ops.back().actBytesPerToken += partial;
  return success();
}
