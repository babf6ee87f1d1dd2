//===- WgmmaSkinny.cpp - few tokens on Hopper's tensor cores --------------===//
//
// y[m, n] for 8 to 128 tokens per tile: wgmma m64nMk16 with rows of W as m, tokens as n.
//
//   x     [T, K] and W [N, K] as tensor maps, K % 8 == 0   y [T, N]
//   tile  64 or 128 rows of W (with SwiGLU half gate, half up) x `tokens` tokens; K is split over
//         the CTAs of a cluster, each of which finishes its share of the tokens
//   shared memory: the ring; the tile's sums, f32 [token][row], where the ring was
//   bytes: W once per token tile, x once per row tile; FLOPs 2 * T * N * K
//   numerics: f32 accumulators over a CTA's part of K in order, then the cluster's CTAs in order
//
//===----------------------------------------------------------------------===//
#include "WgmmaSkinny.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

WgmmaSkinnyTemplate::WgmmaSkinnyTemplate(LinearSpec s, const LinearTuning &tuning)
    : WgmmaRing(std::move(s), WeightRows) {
  auto pick = [](int64_t asked, int64_t own) { return asked ? asked : own; };
  rows = pick(tuning.rows, 64);
  groups = rows / 64;
  tokens = pick(tuning.tokens, roundUp(ceilDiv(spec.maxTokens, ceilDiv(spec.maxTokens, 128)), 8));
  tile = {tokens, rows, 1, 0};
  tile.padding = 4; // of a fragment's stores no two meet in a bank
  tile.warps = 4 * groups;
  const int64_t allSteps = ceilDiv(spec.k, kColumns);
  // Enough CTAs to ask for all of W at once.
  int64_t own = 1;
  while (own < 8 && 2 * own * rowTiles(tile) * tokenTiles() <= kProcessors && own < allSteps)
    own *= 2;
  cluster = pick(tuning.cluster, own);
  tile.cluster = cluster;
  const int64_t scratch = 4 * tokens * tile.stride();
  // A CTA that takes several tiles copies ahead while it finishes one.
  const int64_t most = cluster > 1 ? 0 : tuning.maxTiles ? tuning.maxTiles : 2 * kProcessors;
  const bool one = cluster > 1 || most >= rowTiles(tile) * tokenTiles();
  const int64_t wanted = (one ? 200 : 100) * 1024 / stageBytes();
  arrange(pick(tuning.stages, std::min<int64_t>(wanted, 12)), most, scratch, one);
  if (spec.norm)
    tile.rstdOffset = rstdOffset();
  tile.sumOffset = scratchOffset;
}

/// Row scales of the tile's tokens, a thread each.
void WgmmaSkinnyTemplate::begin(GpuBuilder &b, const Place &place) {
  if (!spec.norm)
    return;
  b.when(b.less(b.thread(), tokens), [&] {
    Value token = b.min(b.add(place.firstToken, b.thread()), b.i32(spec.maxTokens - 1));
    b.storeF32(b.at(b.shared(rstdOffset()), b.thread(), 4),
               rstdOf(b, rowScale(b, token, b.i32(0), spec.sumsIn)));
  });
}

void WgmmaSkinnyTemplate::results(GpuBuilder &b, const Place &place) {
  epilogue(b, tile, place.rowTile, place.firstToken, tokensInStep);
}

/// Fragments to shared memory: register 4 j + 2 i + c is row g + 8 i of the warp's 16, token
/// 8 j + 2 t + c.
void WgmmaSkinnyTemplate::end(GpuBuilder &b, const Place &place, Values &d) {
  if (single())
    syncConsumers(b); // the sums take the place of the ring
  Value lane = b.lane(), g = b.div(lane, 4), t = b.rem(lane, 4);
  const int64_t next = 4 * tile.stride();
  Value base = b.at(b.at(b.shared(tile.sumOffset), t, 2 * next), b.add(b.mul(warp, 16), g), 4);
  for (int64_t j = 0; j < tokens / 8; ++j)
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t c = 0; c < 2; ++c)
        b.storeF32(b.at(base, (8 * j + c) * next + 32 * i), d[4 * j + 2 * i + c]);
  if (cluster > 1)
    return;
  syncConsumers(b);
  results(b, place);
  if (!single())
    syncConsumers(b);
}

void WgmmaSkinnyTemplate::finish(GpuBuilder &b, Value stream) {
  if (cluster == 1)
    return;
  b.clusterBarrier();
  b.when(b.both(b.less(stream, tilesInStep), b.less(warp, groups * 4)),
         [&] { results(b, placeOf(b, stream)); });
  b.clusterBarrier(); // nobody's sums go away while others read them
}
