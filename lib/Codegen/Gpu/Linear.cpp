//===- Linear.cpp - which template computes a linear ----------------------===//
#include "CostModel.h"
#include "Gemv.h"
#include "SkinnyMma.h"
#include "TiledMma.h"
#include "WgmmaGemm.h"
#include "WgmmaSkinny.h"
#include "Wrapper.h"

#include "mlir/IR/Diagnostics.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

int64_t GpuChip::capability() const {
  int64_t value = 0;
  for (char c : name)
    if (c >= '0' && c <= '9')
      value = 10 * value + (c - '0');
  return value;
}

/// Why the tensor-core templates cannot take `spec`; empty if they can.
static std::string refusedByMma(const LinearSpec &spec) {
  if (spec.x != spec.w || spec.x == DType::F32)
    return "tensor cores take bf16 x bf16 or f16 x f16";
  if (spec.k % 8)
    return "K is no multiple of 8";
  if (spec.norm && spec.x == DType::F16)
    return "f16 x * gamma may overflow before the row scale";
  return {};
}

/// Why the wgmma templates cannot; empty if they can.
static std::string refusedByWgmma(const LinearSpec &spec, const GpuChip &chip) {
  if (!chip.wgmma())
    return "wgmma is sm_90a's only";
  if (spec.norm && !spec.xg)
    return "x goes to the tensor cores as it is: a norm needs x * gamma";
  return {};
}

/// Why no wgmma template has tiles of so many rows.
static std::string refusedRows(const LinearSpec &spec, const LinearTuning &tuning) {
  const bool gemm = tuning.kind == LinearTuning::WgmmaGemm;
  const int64_t most = gemm && !spec.invariant ? 256 : 192;
  if (tuning.rows % 64 || tuning.rows > most)
    return most == 256 ? "a tile has 64, 128, 192 or 256 rows of W"
                       : "a tile has 64, 128 or 192 rows of W";
  // Those who look at a token's results together are a power of two.
  if (!gemm && tuning.rows == 192 && (spec.epilogue == LinearSpec::Argmax || spec.sumsOut))
    return "argmax and sums of squares need tiles of 64 or 128 rows of W";
  return {};
}

/// Measured on an H200. Up to eight tokens mma.sync is faster until W takes long enough to read
/// (8B with 12 Mi: 2 tokens 4.56 -> 4.13 ms a step, 4 tokens 5.24 -> 4.17, 8 tokens 5.55 -> 4.27).
static LinearTuning::Kind chooseWgmma(const LinearSpec &spec) {
  constexpr int64_t kMuchWeight = int64_t(12) << 20;
  if (spec.maxTokens <= 8)
    return spec.n * spec.k >= kMuchWeight ? LinearTuning::WgmmaSkinny : LinearTuning::SkinnyMma;
  const int64_t skinnyTokens = spec.n <= 2048 ? 512 : spec.n <= 6144 ? 128 : 64;
  return spec.maxTokens <= skinnyTokens ? LinearTuning::WgmmaSkinny : LinearTuning::WgmmaGemm;
}

/// One class of instructions for any number of tokens. The two wgmma templates sum alike: what is
/// m and what is n in the instruction does not change a sum over k.
static LinearTuning::Kind chooseInvariant(const LinearSpec &spec, const GpuChip &chip) {
  if (!refusedByMma(spec).empty())
    return LinearTuning::Gemv;
  if (!refusedByWgmma(spec, chip).empty())
    return LinearTuning::TiledMma;
  const LinearTuning::Kind kind = chooseWgmma(spec);
  return kind == LinearTuning::SkinnyMma ? LinearTuning::WgmmaSkinny : kind;
}

static LinearTuning::Kind choose(const LinearSpec &spec, const GpuChip &chip) {
  if (spec.invariant)
    return chooseInvariant(spec, chip);
  if (spec.maxTokens == 1 || !refusedByMma(spec).empty())
    return LinearTuning::Gemv;
  if (refusedByWgmma(spec, chip).empty())
    return chooseWgmma(spec);
  // Few rows give the tiled kernel too few tiles to fill the machine.
  const int64_t skinnyTokens = spec.n <= 2048 ? 64 : 8;
  return spec.maxTokens <= skinnyTokens ? LinearTuning::SkinnyMma : LinearTuning::TiledMma;
}

/// Why no linear does `write` with its results; empty if the wgmma GEMM can.
static std::string refusedWrite(const GpuChip &chip, const LinearSpec &spec,
                                const CacheWriteSpec &write, LinearTuning tuning) {
  if (tuning.kind == LinearTuning::Auto)
    tuning.kind = choose(spec, chip);
  const PagedCache &c = write.cache;
  if (!chip.wgmma() || tuning.kind != LinearTuning::WgmmaGemm || !refusedByMma(spec).empty())
    return "only the wgmma GEMM writes to the cache";
  // With a bias or many sums of squares registers would be spilled.
  constexpr int64_t kMostSums = 16; // of a lane; two share a token with an even number
  if (spec.sumsIn > kMostSums * (spec.sumsIn % 2 ? 1 : 2))
    return "a linear that writes to the cache takes at most 32 sums of squares a token, 16 if odd";
  if (spec.epilogue != LinearSpec::Store || spec.bias || spec.residual || spec.sumsOut ||
      spec.xgOut)
    return "a linear that writes to the cache does nothing else with its results";
  if (spec.invariant)
    return "other kernels sum the squares of q and k in another order";
  if (c.headDim != kHeadRows || (tuning.rows && !holdsHeads(write, tuning.rows)) ||
      spec.n != (write.heads + 2 * c.heads) * kHeadRows)
    return "a tile of W must hold whole heads of 128, of q, of k or of v";
  if (spec.y != spec.x || (c.type != spec.y && !isFp8(c.type)) || c.kPacked)
    return "the cache must have the type of the results, or fp8, and K as V";
  return {};
}

/// Null, with the reason in `why`, when the template does not take `spec`.
static std::unique_ptr<LinearTemplate> createTemplate(const GpuChip &chip, const LinearSpec &spec,
                                                      LinearTuning tuning, std::string &why) {
  if (spec.xg && (!spec.norm || !spec.sumsIn || spec.x == DType::F16))
    why = "xg stands for a norm's x, needs its sums and is not f16";
  else if (spec.xgOut && (spec.epilogue == LinearSpec::Argmax || spec.y == DType::F16))
    why = "xgOut is for results that are stored, not in f16";
  else if (spec.write)
    why = refusedWrite(chip, spec, *spec.write, tuning);
  if (!why.empty())
    return nullptr;
  if (tuning.kind == LinearTuning::Auto)
    tuning.kind = choose(spec, chip);
  if (tuning.kind == LinearTuning::Gemv)
    return std::make_unique<GemvTemplate>(spec, tuning);
  why = refusedByMma(spec);
  if (!why.empty())
    return nullptr;
  if (tuning.kind == LinearTuning::SkinnyMma)
    return std::make_unique<SkinnyMmaTemplate>(spec, tuning);
  if (tuning.kind == LinearTuning::TiledMma)
    return std::make_unique<TiledMmaTemplate>(spec, tuning);
  why = refusedByWgmma(spec, chip);
  if (why.empty())
    why = refusedRows(spec, tuning);
  if (!why.empty())
    return nullptr;
  if (tuning.kind == LinearTuning::WgmmaSkinny)
    return std::make_unique<WgmmaSkinnyTemplate>(spec, tuning);
  return std::make_unique<WgmmaGemmTemplate>(spec, tuning);
}

static FailureOr<std::unique_ptr<LinearTemplate>> createLinear(Operation *gpuModule, StringRef name,
                                                               const GpuChip &chip,
                                                               const LinearSpec &spec,
                                                               const LinearTuning &tuning) {
  std::string why;
  auto made = createTemplate(chip, spec, tuning, why);
  if (!made)
    return gpuModule->emitError() << name << ": " << why;
  return made;
}

std::optional<LinearCost> sinter::gpu::costOf(const GpuChip &chip, const LinearSpec &spec,
                                              const LinearTuning &tuning) {
  std::string why;
  auto made = createTemplate(chip, spec, tuning, why);
  if (!made)
    return std::nullopt;
  const TilePlan plan = made->plan();
  const LinearTuning chosen = made->chosen();
  return LinearCost{chosen, plan.sharedBytes, predictLinear(chip, spec, chosen, plan)};
}

std::string sinter::gpu::linearOrder(const GpuChip &chip, const LinearSpec &spec) {
  switch (choose(spec, chip)) {
  case LinearTuning::Gemv:
    return "gemv";
  case LinearTuning::TiledMma:
    return "mma";
  default:
    return "wgmma" + std::to_string(WgmmaRing::fixedParts(spec));
  }
}

bool sinter::gpu::readsPreparedRows(const GpuChip &chip, LinearSpec spec) {
  spec.norm = spec.xg = false;
  const LinearTuning::Kind kind = choose(spec, chip);
  // After select_rows nobody has prepared rows, and a norm kernel would cost more than it saves.
  if (kind == LinearTuning::SkinnyMma)
    return chip.wgmma() && spec.x == DType::BF16 && !spec.rows;
  return chip.wgmma() && (kind == LinearTuning::WgmmaSkinny || kind == LinearTuning::WgmmaGemm);
}

bool sinter::gpu::writesCache(const GpuChip &chip, const LinearSpec &spec,
                              const CacheWriteSpec &write, const LinearTuning &tuning) {
  return refusedWrite(chip, spec, write, tuning).empty();
}

FailureOr<GpuKernel> sinter::gpu::emitLinear(Operation *gpuModule, StringRef name,
                                             const GpuChip &chip, const LinearSpec &spec,
                                             const LinearTuning &tuning) {
  auto op = createLinear(gpuModule, name, chip, spec, tuning);
  if (failed(op))
    return failure();
  GpuKernel kernel = emitKernel(gpuModule, name, chip, **op, tuning.maxTiles, tuning.stress);
  kernel.partials = (*op)->partials();
  kernel.tuning = (*op)->chosen();
  kernel.predictedMicros = predictLinear(chip, spec, kernel.tuning, (*op)->plan());
  return kernel;
}

FailureOr<GpuKernel> sinter::gpu::emitLinearPair(Operation *gpuModule, StringRef name,
                                                 const GpuChip &chip, const LinearSpec &first,
                                                 const LinearSpec &second, int64_t ctas,
                                                 const LinearTuning &tuning) {
  auto one = createLinear(gpuModule, name, chip, first, tuning);
  auto two = createLinear(gpuModule, name, chip, second, tuning);
  if (failed(one) || failed(two))
    return failure();
  if (!(*one)->tensorMaps().empty() || !(*two)->tensorMaps().empty())
    return gpuModule->emitError() << name << ": tensor maps belong to one op";
  if ((*one)->plan().threads != (*two)->plan().threads)
    return gpuModule->emitError() << name << ": the two ops have CTAs of different sizes";
  return emitPersistentKernel(gpuModule, name, chip, **one, **two, ctas);
}
