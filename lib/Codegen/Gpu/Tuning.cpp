//===- Tuning.cpp - shapes and tunings as text, and what to try -----------===//
#include "Tuning.h"

#include "CostModel.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace sinter;
using namespace sinter::gpu;

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static StringRef name(DType t) {
  const std::string_view text = dtypeName(t);
  return {text.data(), text.size()};
}

std::string sinter::gpu::shapeText(const LinearSpec &spec) {
  std::string text;
  raw_string_ostream os(text);
  os << spec.n << 'x' << spec.k << " m" << spec.maxTokens << ' ' << name(spec.x);
  if (spec.w != spec.x || spec.y != spec.x)
    os << ' ' << name(spec.w) << ' ' << name(spec.y);
  const std::pair<bool, const char *> parts[] = {{spec.norm, " norm"},
                                                 {spec.xg, " xg"},
                                                 {spec.bias, " bias"},
                                                 {spec.epilogue == LinearSpec::Swiglu, " swiglu"},
                                                 {spec.epilogue == LinearSpec::Argmax, " argmax"},
                                                 {spec.residual, " residual"},
                                                 {spec.sumsOut, " sums_out"},
                                                 {spec.xgOut, " xg_out"},
                                                 {spec.rows, " rows"}};
  for (const auto &[present, word] : parts)
    os << (present ? word : "");
  return text;
}

static const char *kindName(LinearTuning::Kind kind) {
  switch (kind) {
  case LinearTuning::Auto:
    return "auto";
  case LinearTuning::Gemv:
    return "gemv";
  case LinearTuning::SkinnyMma:
    return "skinny_mma";
  case LinearTuning::TiledMma:
    return "tiled_mma";
  case LinearTuning::WgmmaSkinny:
    return "wgmma_skinny";
  case LinearTuning::WgmmaGemm:
    return "wgmma_gemm";
  }
  return "";
}

namespace {
struct Parameter {
  const char *name;
  int64_t LinearTuning::*value;
};
} // namespace

static constexpr Parameter kParameters[] = {
    {"rows", &LinearTuning::rows},         {"warps_n", &LinearTuning::warpsN},
    {"warps_k", &LinearTuning::warpsK},    {"unroll", &LinearTuning::unroll},
    {"tokens", &LinearTuning::tokens},     {"stages", &LinearTuning::stages},
    {"splits", &LinearTuning::splits},     {"turns", &LinearTuning::turns},
    {"announce", &LinearTuning::announce}, {"token_stages", &LinearTuning::tokenStages},
    {"max_tiles", &LinearTuning::maxTiles}};

std::string sinter::gpu::kernelText(const LinearTuning &tuning) {
  std::string text = kindName(tuning.kind);
  for (const Parameter &each : kParameters)
    if (tuning.*each.value)
      text += std::string(" ") + each.name + "=" + std::to_string(tuning.*each.value);
  return text;
}

bool sinter::gpu::parseKernelText(StringRef text, LinearTuning &tuning, std::string &why) {
  SmallVector<StringRef> words;
  text.split(words, ' ');
  LinearTuning made;
  bool known = false;
  for (auto kind : {LinearTuning::Gemv, LinearTuning::SkinnyMma, LinearTuning::TiledMma,
                    LinearTuning::WgmmaSkinny, LinearTuning::WgmmaGemm})
    if (words.front() == kindName(kind))
      made.kind = kind, known = true;
  if (!known)
    return why = ("no template is called '" + words.front() + "'").str(), false;
  for (StringRef word : ArrayRef(words).drop_front()) {
    const StringRef key = word.split('=').first, digits = word.split('=').second;
    const auto *found = find_if(kParameters, [&](const Parameter &p) { return key == p.name; });
    if (found == std::end(kParameters))
      return why = ("no parameter is called '" + key + "'").str(), false;
    int64_t value = 0;
    constexpr int64_t kMost = 1 << 20;
    if (digits.getAsInteger(10, value) || value < 1 || value > kMost)
      return why = (key + " is not a positive number").str(), false;
    made.*found->value = value;
  }
  tuning = made;
  return true;
}

std::string sinter::gpu::describe(const LinearTuning &t) {
  std::string text;
  raw_string_ostream os(text);
  os << kindName(t.kind);
  switch (t.kind) {
  case LinearTuning::Gemv:
    os << " R" << t.rows << ' ' << t.warpsN << 'x' << t.warpsK << " U" << t.unroll;
    break;
  case LinearTuning::SkinnyMma:
    os << ' ' << t.warpsN << 'x' << t.warpsK << " U" << t.unroll;
    break;
  default:
    os << ' ' << t.rows << 'x' << t.tokens << " S" << t.stages;
    if (t.splits > 1)
      os << " cluster " << t.splits;
    if (t.turns > 1)
      os << " in turn";
  }
  return text;
}

//===----------------------------------------------------------------------===//
// Candidates
//===----------------------------------------------------------------------===//

static LinearTuning made(LinearTuning::Kind kind) {
  LinearTuning t;
  t.kind = kind;
  return t;
}

static LinearTuning warps(LinearTuning::Kind kind, int64_t rows, int64_t n, int64_t k,
                          int64_t unroll) {
  LinearTuning t = made(kind);
  t.rows = rows, t.warpsN = n, t.warpsK = k, t.unroll = unroll;
  return t;
}

/// Parameters that were best somewhere: neighbours differ by 1.3 to 1.5 times.
static std::vector<LinearTuning> allTunings(const LinearSpec &spec) {
  std::vector<LinearTuning> all;
  if (spec.maxTokens <= 4) {
    all.push_back(made(LinearTuning::Gemv));
    constexpr int64_t kShapes[][4] = {{4, 1, 4, 2}, {4, 4, 1, 4},  {8, 2, 2, 2}, {4, 1, 2, 4},
                                      {2, 1, 8, 2}, {2, 1, 16, 2}, {8, 1, 4, 2}, {4, 2, 4, 2}};
    for (const auto &[r, n, k, u] : kShapes)
      all.push_back(warps(LinearTuning::Gemv, r, n, k, u));
  }
  if (spec.maxTokens > 1 && spec.maxTokens <= 16) {
    all.push_back(made(LinearTuning::SkinnyMma));
    constexpr int64_t kShapes[][3] = {{1, 8, 4}, {2, 8, 4}, {1, 16, 8}, {2, 16, 4},
                                      {4, 4, 8}, {2, 4, 8}, {4, 4, 4},  {1, 4, 2}};
    for (const auto &[n, k, u] : kShapes)
      all.push_back(warps(LinearTuning::SkinnyMma, 0, n, k, u));
  }
  if (spec.maxTokens > 2 && spec.maxTokens <= 512) {
    all.push_back(made(LinearTuning::WgmmaSkinny));
    for (int64_t rows : {64, 128, 192})
      for (int64_t splits : {1, 2, 4, 8}) {
        LinearTuning t = made(LinearTuning::WgmmaSkinny);
        t.rows = rows, t.splits = splits;
        all.push_back(t);
        if (rows == 64 && spec.maxTokens > 64) // more tokens than one CTA should take in
          t.tokens = 64, all.push_back(t);
      }
  }
  if (spec.maxTokens >= 64) {
    all.push_back(made(LinearTuning::WgmmaGemm));
    for (int64_t rows : {64, 128, 192, 256}) {
      LinearTuning t = made(LinearTuning::WgmmaGemm);
      t.rows = rows, t.turns = 1;
      all.push_back(t);
      if (rows <= 128)
        t.turns = 2, all.push_back(t);
    }
  }
  if (spec.maxTokens >= 16)
    all.push_back(made(LinearTuning::TiledMma));
  return all;
}

std::vector<LinearTuning> sinter::gpu::candidatesFor(const GpuChip &chip, const LinearSpec &spec,
                                                     size_t most) {
  const int64_t sharedLimit = (chip.capability() == 90 ? 227 : 99) << 10;
  const auto own = costOf(chip, spec, {});
  if (!own)
    return {};
  const LinearTuning rules = made(own->chosen.kind);
  std::vector<std::pair<double, LinearTuning>> others;
  std::vector<std::string> seen = {describe(own->chosen)};
  for (const LinearTuning &each : allTunings(spec)) {
    const auto cost = costOf(chip, spec, each);
    if (!cost || cost->sharedBytes > sharedLimit || is_contained(seen, describe(cost->chosen)))
      continue;
    seen.push_back(describe(cost->chosen));
    others.emplace_back(cost->micros, each);
  }
  llvm::sort(others, [](const auto &a, const auto &b) {
    return std::make_pair(a.first, kernelText(a.second)) <
           std::make_pair(b.first, kernelText(b.second));
  });
  std::vector<LinearTuning> result = {rules};
  for (const auto &[micros, each] : others)
    if (result.size() < most)
      result.push_back(each);
  return result;
}
