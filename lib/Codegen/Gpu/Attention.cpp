//===- Attention.cpp - kernels over the paged cache, hand-written ----------===//
//
// Picks the body, its constants and its launch. The order of the arguments is that of
// runtime/kernels/Bodies.cu.
//
//===----------------------------------------------------------------------===//
#include "Attention.h"

#include "Wrapper.h"

#include "sinter/Abi/sinter_abi.h"

#include "runtime/kernels/DecodeAttention.h"
#include "runtime/kernels/PrefillAttention.h"
#include "runtime/kernels/QkNormRopeWrite.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

namespace {

/// Parts of split sequences in one step at most: enough to fill any chip several times.
constexpr int64_t kMaxSlots = 1024;
static_assert(kernels::kDecodeMaxQuery == SINTER_SHORT_TOKENS, "what launches are left out by");
constexpr int64_t kWhole = 1 << 30; ///< a part that holds any sequence
constexpr int64_t kPlanThreads = 256, kPlanSharedBytes = kPlanThreads / kWarp * 4;

/// Multiprocessors of the chip that the level is named after.
int64_t multiprocessors(const GpuChip &chip) {
  switch (chip.capability()) {
  case 80:
    return 108;
  case 86:
    return 84;
  case 89:
    return 128;
  default:
    return 132;
  }
}

std::string typeName(DType t) { return std::string(dtypeName(t)); }

/// What every kernel over this cache refuses.
LogicalResult check(Operation *module, StringRef name, const PagedCache &c, int64_t heads) {
  if (!llvm::is_contained({64, 80, 96, 128, 256}, c.headDim))
    return module->emitError() << name << ": no kernel for head size " << c.headDim
                               << ", only for 64, 80, 96, 128 and 256";
  if (c.heads == 0) // rotation alone
    return success();
  if (!llvm::is_contained({8, 16, 32, 64}, c.page))
    return module->emitError() << name << ": pages of " << c.page
                               << " tokens, expected 8, 16, 32 or 64";
  if (heads % c.heads)
    return module->emitError() << name << ": " << heads << " query heads on " << c.heads
                               << " kv heads";
  return success();
}

//===--- shapes of an entry ---===//

bool isHalf(DType t) { return t == DType::BF16 || t == DType::F16; }
/// What prefill attention and attention that reads raw q, k and v take.
bool halfOrFp8Cache(const AttentionSpec &s) {
  return isHalf(s.x) && (s.x == s.cache.type || isFp8(s.cache.type));
}
int64_t group(const AttentionSpec &s) { return s.heads / s.cache.heads; }

/// Query rows of a decode work entry.
int64_t decodeRows(const GpuChip &chip, const AttentionSpec &s) {
  return chip.capability() >= 90 && s.cache.headDim == 128 && s.x == s.cache.type && isHalf(s.x) &&
                 group(s) <= 4 && !s.cache.kPacked
             ? 4
             : 8;
}

/// The body for four rows keeps a short ring in steps of one token.
bool readsOneToken(const GpuChip &chip, const AttentionSpec &s) {
  return decodeRows(chip, s) == 4 && s.maxTokens == 1;
}

std::string decodeBody(const GpuChip &chip, const AttentionSpec &s) {
  return typeName(s.x) + "_" + typeName(s.cache.type) + "_d" + std::to_string(s.cache.headDim) +
         "_r" + std::to_string(decodeRows(chip, s)) + (readsOneToken(chip, s) ? "_one" : "") +
         (s.window ? "_window" : "");
}

kernels::DecodeLayout decodeLayoutOf(const GpuChip &chip, const AttentionSpec &s) {
  const int bytes = int(bytesOf(s.cache.type)), rows = int(decodeRows(chip, s));
  const bool fma = kernels::decodeUsesFma(int(bytesOf(s.x)), bytes,
                                          s.x == DType::F16 && s.cache.type == DType::BF16);
  return kernels::decodeLayout(bytes, fma, int(s.cache.headDim), 1, rows,
                               readsOneToken(chip, s) ? kernels::kDecodeSharedLimitOne
                               : rows == 4            ? kernels::kDecodeSharedLimitSm90
                                                      : kernels::kDecodeSharedLimit);
}

/// How the sequences of an entry are cut: so that sequences of one length fill the machine once.
struct Splitting {
  int64_t minChunk, maxChunk, target, slots, entries;
};

Splitting splitting(const GpuChip &chip, const AttentionSpec &s) {
  const int64_t seqs = s.maxSeqs ? std::min(s.maxSeqs, s.maxTokens) : s.maxTokens;
  const int64_t sms = multiprocessors(chip), pairs = seqs * s.cache.heads;
  const int64_t perToken = ceilDiv(group(s), decodeRows(chip, s));
  Splitting p{};
  p.minChunk = 64;
  p.target = std::clamp<int64_t>(std::min(2 * sms / pairs, sms / s.cache.heads), 1,
                                 kernels::kDecodeMaxSplits);
  // What one sequence, longer than the others, may keep a CTA busy with.
  p.maxChunk = std::clamp<int64_t>(roundUp(64 * pairs, 64), 1024, 4096);
  // No sequence has more rows than its tokens bring.
  const int64_t blocks = s.maxTokens * perToken;
  p.slots = s.invariant ? 0 : blocks * kernels::kDecodeMaxSplits;
  if (!s.fixedChunk) // with it, what is split may not depend on the others
    p.slots = std::min(p.slots, std::max(kMaxSlots, perToken * kernels::kDecodeMaxSplits));
  p.entries = blocks + p.slots;
  return p;
}

kernels::PrefillLayout prefillLayoutOf(const AttentionSpec &s) {
  return kernels::prefillLayout(int(s.cache.headDim), int(bytesOf(s.cache.type)));
}

/// K and V after the other parameters, a page of a head in a box. How many pages there will be
/// nobody knows yet: as many rows as a manifest takes, 512 GiB.
SmallVector<TensorMap, 2> pageMaps(const AttentionSpec &s) {
  assert(s.cache.pageBytes % (8 * s.cache.headDim * bytesOf(s.cache.type)) == 0 &&
         "the kernel counts pages in groups of eight rows");
  const unsigned first = 5 + s.kScale;
  SmallVector<TensorMap, 2> maps;
  for (unsigned arg : {first, first + 1})
    maps.push_back(
        {arg, s.cache.type, int64_t(1) << 31, s.cache.headDim, s.cache.page, s.cache.headDim});
  return maps;
}

/// Sequences with fewer tokens are decoded.
int64_t prefillMinQuery(const AttentionSpec &s) {
  return s.invariant ? 1 : kernels::kDecodeMaxQuery + 1;
}

/// Sum over the other sequences of ceil(tokens * G / M), at most.
int64_t prefillEntries(const AttentionSpec &s) {
  return s.maxTokens * group(s) / prefillLayoutOf(s).rows +
         std::max<int64_t>(1, s.maxTokens / prefillMinQuery(s));
}

int64_t planBytes(int64_t entries, size_t entry) {
  return kernels::kPlanHeader + entries * static_cast<int64_t>(entry);
}

//===--- calls ---===//

/// Constants after the pointers of a call.
class Constants {
public:
  explicit Constants(Operation *module) : b(module->getContext()) {}
  Constants &i32(int64_t v) {
    values.push_back(b.getI32IntegerAttr(static_cast<int32_t>(v)));
    return *this;
  }
  Constants &i64(int64_t v) {
    values.push_back(b.getI64IntegerAttr(v));
    return *this;
  }
  Constants &f32(float v) {
    values.push_back(b.getF32FloatAttr(v));
    return *this;
  }
  SmallVector<TypedAttr> values;

private:
  Builder b;
};

TilePlan launchOf(int64_t grid, int64_t threads, int64_t sharedBytes, int64_t minCtas) {
  TilePlan p;
  p.tiles = grid;
  p.threads = threads;
  p.sharedBytes = sharedBytes;
  p.minCtasPerSm = minCtas;
  return p;
}

/// As many CTAs as can be resident.
TilePlan decodeLaunch(const GpuChip &chip, const AttentionSpec &s) {
  const kernels::DecodeLayout layout = decodeLayoutOf(chip, s);
  const int64_t items = splitting(chip, s).entries * s.cache.heads;
  return launchOf(std::min(items, 2 * multiprocessors(chip)), layout.threads(), layout.shared_bytes,
                  2);
}

int64_t pageLog2(const PagedCache &c) { return llvm::Log2_64(static_cast<uint64_t>(c.page)); }

/// Items of the heads of one token.
int64_t together(const CacheWriteSpec &s, int64_t heads) {
  return ceilDiv(heads, kernels::qkvHeadsTogether(int(s.cache.headDim)));
}

/// A warp per item, a few rounds at most.
TilePlan headLaunch(const GpuChip &chip, int64_t items) {
  return launchOf(
      std::min(ceilDiv(items, kernels::kQkvThreads / kWarp), 16 * multiprocessors(chip)),
      kernels::kQkvThreads, 0, 8);
}

} // namespace

bool sinter::gpu::usesPrefill(const AttentionSpec &s) {
  const int64_t longest = s.maxQ ? std::min(s.maxQ, s.maxTokens) : s.maxTokens;
  return (s.invariant || longest > kernels::kDecodeMaxQuery) && halfOrFp8Cache(s);
}

bool sinter::gpu::prefillUsesWgmma(const GpuChip &chip, const AttentionSpec &s) {
  return chip.name == "sm_90a" && s.cache.headDim == 128 && !s.cache.kPacked && halfOrFp8Cache(s);
}

bool sinter::gpu::prefillTakesMaps(const GpuChip &chip, const AttentionSpec &s) {
  return prefillUsesWgmma(chip, s) && s.x == s.cache.type;
}

bool sinter::gpu::usesDecode(const AttentionSpec &s) { return !s.invariant || !usesPrefill(s); }

std::string sinter::gpu::attentionOrder(const GpuChip &chip, const AttentionSpec &s) {
  if (!usesPrefill(s))
    return "decode" + std::to_string(decodeLayoutOf(chip, s).warps) + "_whole";
  return prefillUsesWgmma(chip, s) ? "wgmma" + std::to_string(kernels::kPrefillWgmmaKeys)
                                   : "mma" + std::to_string(prefillLayoutOf(s).keys);
}

AttentionMemory sinter::gpu::attentionMemory(const GpuChip &chip, const AttentionSpec &s) {
  const Splitting p = splitting(chip, s);
  AttentionMemory m;
  if (usesPrefill(s))
    m.prefillPlan = planBytes(prefillEntries(s), sizeof(kernels::PrefillWork));
  if (!usesDecode(s))
    return m;
  m.decodePlan = planBytes(p.entries, sizeof(kernels::DecodeWork));
  const int64_t parts = p.slots * s.cache.heads;
  m.partials = parts * decodeRows(chip, s) * (s.cache.headDim + 2) * 4;
  m.counters = parts * 4 * 4;
  return m;
}

FailureOr<GpuKernel> sinter::gpu::emitDecodePlan(Operation *module, StringRef name,
                                                 const GpuChip &chip, const AttentionSpec &s) {
  if (failed(check(module, name, s.cache, s.heads)))
    return failure();
  const Splitting p = splitting(chip, s);
  // Without prefill kernels every sequence is decoded, a few rows at a time.
  const int64_t maxQ = usesPrefill(s) ? kernels::kDecodeMaxQuery : INT32_MAX;
  Constants c(module);
  c.i32(p.entries).i32(p.slots).i32(group(s)).i32(decodeRows(chip, s)).i32(maxQ);
  c.i32(p.minChunk).i32(p.maxChunk).i32(p.target).i32(s.invariant ? kWhole : s.fixedChunk);
  c.i32(s.window);
  return emitCall(module, name, "sinter_device_decode_plan",
                  launchOf(1, kPlanThreads, kPlanSharedBytes, 1), {true, true}, c.values);
}

FailureOr<GpuKernel> sinter::gpu::emitDecodeAttention(Operation *module, StringRef name,
                                                      const GpuChip &chip, const AttentionSpec &s) {
  if (failed(check(module, name, s.cache, s.heads)))
    return failure();
  const Splitting p = splitting(chip, s);
  Constants c(module);
  c.i64(s.cache.pageBytes).f32(s.scale).i32(s.heads).i32(s.cache.heads);
  c.i32(pageLog2(s.cache)).i32(s.cache.kPacked).i32(p.entries).i32(p.slots).i32(s.early);
  c.i32(s.window);
  return emitCall(module, name, "sinter_device_decode_" + decodeBody(chip, s),
                  decodeLaunch(chip, s), {true, true, true, true, s.kScale, true, true, true, true},
                  c.values);
}

bool sinter::gpu::readsRawQkv(const AttentionSpec &s) {
  return !usesPrefill(s) && halfOrFp8Cache(s);
}

FailureOr<GpuKernel> sinter::gpu::emitDecodeFromQkv(Operation *module, StringRef name,
                                                    const GpuChip &chip, const AttentionSpec &s,
                                                    const CacheWriteSpec &write) {
  if (failed(check(module, name, s.cache, s.heads)))
    return failure();
  if (!readsRawQkv(s))
    return module->emitError()
           << name << ": raw q, k and v are for 16-bit types, fp8 caches and short sequences";
  const Splitting p = splitting(chip, s);
  Constants c(module);
  c.i64(s.cache.pageBytes).f32(s.scale).f32(write.eps).i32(s.heads).i32(s.cache.heads);
  c.i32(pageLog2(s.cache)).i32(s.cache.kPacked).i32(p.entries).i32(p.slots).i32(s.early);
  c.i32(s.window);
  return emitCall(
      module, name, "sinter_device_decode_qkv_" + decodeBody(chip, s), decodeLaunch(chip, s),
      {true, true, true, true, true, write.norm, write.norm, s.kScale, true, true, true, true},
      c.values);
}

FailureOr<GpuKernel> sinter::gpu::emitPrefillPlan(Operation *module, StringRef name,
                                                  const GpuChip &, const AttentionSpec &s) {
  if (failed(check(module, name, s.cache, s.heads)))
    return failure();
  Constants c(module);
  c.i32(prefillEntries(s)).i32(group(s)).i32(prefillLayoutOf(s).rows);
  c.i32(prefillMinQuery(s));
  return emitCall(module, name, "sinter_device_prefill_plan",
                  launchOf(1, kPlanThreads, kPlanSharedBytes, 1), {true, true}, c.values);
}

FailureOr<GpuKernel> sinter::gpu::emitPrefillAttention(Operation *module, StringRef name,
                                                       const GpuChip &chip,
                                                       const AttentionSpec &s) {
  if (failed(check(module, name, s.cache, s.heads)))
    return failure();
  if (!halfOrFp8Cache(s))
    return module->emitError() << name << ": prefill attention takes bf16 or f16 queries and a "
                               << "cache of the same type or fp8";
  const bool wgmma = prefillUsesWgmma(chip, s), maps = prefillTakesMaps(chip, s);
  const kernels::PrefillLayout layout = prefillLayoutOf(s);
  // One item a CTA, and a second round for steps of many short sequences; the kernel for sm_90a
  // fills an SM with one CTA and deals the items out itself.
  const int64_t entries = std::min(s.maxTokens * group(s) / layout.rows + 16, prefillEntries(s));
  const int64_t items = entries * s.cache.heads;
  const std::string body = (wgmma ? "wgmma_" : "") + typeName(s.x) + "_" + typeName(s.cache.type) +
                           "_d" + std::to_string(s.cache.headDim) + (s.window ? "_window" : "");
  Constants c(module);
  c.i64(s.cache.pageBytes).f32(s.scale).i32(s.heads).i32(s.cache.heads);
  c.i32(pageLog2(s.cache)).i32(s.cache.kPacked).i32(s.early).i32(s.window);
  return emitCall(module, name, "sinter_device_prefill_" + body,
                  wgmma ? launchOf(std::min(items, multiprocessors(chip)),
                                   kernels::kPrefillWgmmaThreads, kernels::kPrefillWgmmaSharedBytes,
                                   1)
                        : launchOf(items, kernels::kPrefillThreads, layout.shared_bytes, 2),
                  {true, true, true, true, s.kScale, true, maps, maps, true}, c.values,
                  maps ? pageMaps(s) : SmallVector<TensorMap, 2>());
}

FailureOr<GpuKernel> sinter::gpu::emitQkNormRopeWrite(Operation *module, StringRef name,
                                                      const GpuChip &chip,
                                                      const CacheWriteSpec &s) {
  if (failed(check(module, name, s.cache, s.heads)))
    return failure();
  Constants c(module);
  c.i64(s.cache.pageBytes).f32(s.eps).i32(s.heads).i32(s.cache.heads);
  c.i32(pageLog2(s.cache)).i32(s.cache.kPacked);
  return emitCall(module, name,
                  "sinter_device_qkv_" + typeName(s.x) + "_" + typeName(s.cache.type) + "_d" +
                      std::to_string(s.cache.headDim),
                  headLaunch(chip, s.maxTokens * together(s, s.heads + 2 * s.cache.heads)),
                  {true, true, true, true, true, s.norm, s.norm, s.kScale, true}, c.values);
}

FailureOr<GpuKernel> sinter::gpu::emitKvWrite(Operation *module, StringRef name,
                                              const GpuChip &chip, const CacheWriteSpec &s) {
  if (failed(check(module, name, s.cache, s.cache.heads)))
    return failure();
  Constants c(module);
  c.i64(s.cache.pageBytes).i32(s.cache.heads).i32(pageLog2(s.cache)).i32(s.cache.kPacked);
  return emitCall(module, name,
                  "sinter_device_kv_write_" + typeName(s.x) + "_" + typeName(s.cache.type) + "_d" +
                      std::to_string(s.cache.headDim),
                  headLaunch(chip, s.maxTokens * 2 * s.cache.heads),
                  {true, true, true, true, s.kScale, true}, c.values);
}

FailureOr<GpuKernel> sinter::gpu::emitRope(Operation *module, StringRef name, const GpuChip &chip,
                                           const CacheWriteSpec &s) {
  PagedCache none;
  none.headDim = s.cache.headDim;
  if (failed(check(module, name, none, s.heads)))
    return failure();
  Constants c(module);
  c.i32(s.heads);
  return emitCall(
      module, name, "sinter_device_rope_" + typeName(s.x) + "_d" + std::to_string(s.cache.headDim),
      headLaunch(chip, s.maxTokens * together(s, s.heads)), {true, true, true, true}, c.values);
}
