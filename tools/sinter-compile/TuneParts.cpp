//===- TuneParts.cpp - what a tune pack measures of a model ---------------===//
//
// Both sides of a fusion are cut out of real schedules of the model: one where the fusion was made
// and one where its pass was left out, with everything else alike. Layer 1 stands for all.
//
//===----------------------------------------------------------------------===//
#include "TuneParts.h"

#include "PassSwitch.h"

#include <sstream>

using namespace sinter;

namespace {

struct Side {
  int part;
  std::vector<std::string> names;
};

/// `shape`: the op whose matrix names the fusion in the table; empty: the heads do. `from`: the
/// fewest tokens at which it is measured; `kernel`: in the name of the fused kernel, where it is
/// not made for every model.
struct Fusion {
  const char *pass, *name, *shape;
  Side fused, apart, shared;
  int64_t from = 1;
  const char *kernel = "";
};

/// The first is also where alternatives of linears are taken from.
const std::vector<std::vector<std::string>> kDisabled = {
    {kLinearWrite},
    {"fuse-rms-norm-linear", "fuse-add-rms-norm", kLinearWrite},
    {"fuse-rms-norm-linear", "fuse-add-rms-norm", "fuse-linear-add"},
    {"fuse-rms-norm-linear", "fuse-add-rms-norm", "fuse-qk-norm-rope-write", "merge-qkv"},
    {"fuse-rms-norm-linear", "fuse-add-rms-norm", "merge-gate-up"},
    {"fuse-rms-norm-linear", "fuse-add-rms-norm", "fuse-linear-argmax"},
    {"fuse-qk-norm-rope-write"},
    {}};

const std::string kQkv = "layers.1.attn.qkv", kO = "layers.1.attn.o",
                  kGateUp = "layers.1.mlp.gate_up", kSwiglu = "layers.1.mlp.swiglu",
                  kDown = "layers.1.mlp.down", kDownBefore = "layers.0.mlp.down";

/// A norm's fusion also changes what the linear before it leaves: that linear stands before both
/// sides, and is taken off.
const std::vector<Fusion> &fusions() {
  static const std::vector<Fusion> all = {
      {"merge-qkv",
       "merge_qkv",
       "layers.1.attn.qkv",
       {1, {kQkv}},
       {3, {"layers.1.attn.q", "layers.1.attn.k", "layers.1.attn.v"}},
       {}},
      {"merge-gate-up",
       "merge_gate_up",
       "layers.1.mlp.gate_up",
       {1, {kGateUp, kSwiglu}},
       {4, {"layers.1.mlp.gate", "layers.1.mlp.up", kSwiglu}},
       {}},
      {"fuse-rms-norm-linear",
       "norm_qkv",
       "layers.1.attn.qkv",
       {0, {kDownBefore, kQkv}},
       {1, {kDownBefore, "layers.1.attn.norm", kQkv}},
       {1, {kDownBefore}}},
      {"fuse-rms-norm-linear",
       "norm_gate_up_swiglu",
       "layers.1.mlp.gate_up",
       {0, {kO, kGateUp}},
       {1, {kO, "layers.1.mlp.norm", kGateUp, kSwiglu}},
       {1, {kO}}},
      {"fuse-linear-add",
       "o_proj_residual",
       "layers.1.attn.o",
       {1, {kO}},
       {2, {kO, "layers.1.attn.residual"}},
       {}},
      {"fuse-linear-add",
       "down_residual",
       "layers.1.mlp.down",
       {1, {kDown}},
       {2, {kDown, "layers.1.mlp.residual"}},
       {}},
      {"fuse-qk-norm-rope-write",
       "qk_norm_rope_write_attention",
       "",
       {0, {"layers.1.attn.q_rope", "layers.1.attn.kv_write", "layers.1.attn.attention"}},
       {6,
        {"layers.1.attn.q_norm", "layers.1.attn.k_norm", "layers.1.attn.q_rope",
         "layers.1.attn.k_rope", "layers.1.attn.q", "layers.1.attn.k", "layers.1.attn.v",
         "layers.1.attn.kv_write", "layers.1.attn.attention"}},
       {}},
      {kLinearWrite,
       "qkv_write",
       "layers.1.attn.qkv",
       {7, {kQkv}},
       {0, {kQkv, "layers.1.attn.kv_write"}},
       {},
       2048,
       "_write"},
      {"fuse-rms-norm-linear",
       "norm_lm_head",
       "lm_head",
       {0, {"lm_head"}},
       {1, {"norm", "lm_head"}},
       {}},
      {"fuse-linear-argmax",
       "lm_head_argmax",
       "lm_head",
       {1, {"lm_head"}},
       {5, {"lm_head", "argmax"}},
       {}}};
  return all;
}

constexpr int64_t kTokens[] = {1, 8, 32, 128, 2048};

std::string keyOf(const Side &side, int64_t tokens) {
  std::string key = std::to_string(side.part) + " m" + std::to_string(tokens);
  for (const std::string &name : side.names)
    key += " " + name;
  return key;
}

} // namespace

std::vector<TunePart> sinter::tuneParts() {
  std::vector<TunePart> parts;
  for (const auto &disabled : kDisabled)
    parts.push_back({disabled, {}});
  std::vector<std::string> seen;
  for (const Fusion &fusion : fusions())
    for (const Side *side : {&fusion.fused, &fusion.apart, &fusion.shared})
      for (int64_t tokens : kTokens) {
        const std::string key = keyOf(*side, tokens);
        if (side->names.empty() || tokens < fusion.from || llvm::is_contained(seen, key))
          continue;
        seen.push_back(key);
        parts[size_t(side->part)].wanted.push_back({key, side->names, tokens});
      }
  return parts;
}

void sinter::addTuneFusions(TunePack &pack) {
  for (const Fusion &fusion : fusions())
    for (int64_t tokens : kTokens) {
      if (tokens < fusion.from)
        continue;
      const auto shape =
          *fusion.shape ? pack.shapeOf(fusion.shape, tokens) : std::optional(pack.headShape());
      if (!shape)
        continue;
      TunePack::Fusion made{fusion.pass, fusion.name, *shape, tokens};
      made.kernel = fusion.kernel;
      made.fused = keyOf(fusion.fused, tokens);
      made.apart = keyOf(fusion.apart, tokens);
      if (!fusion.shared.names.empty())
        made.shared = keyOf(fusion.shared, tokens);
      if (*fusion.shape) {
        int64_t n = 0, k = 0;
        char x = 0;
        std::istringstream(*shape) >> n >> x >> k;
        made.gemms = {{n, k}};
      }
      pack.addFusion(made);
    }
}
