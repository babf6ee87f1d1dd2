/*===- fake_model.c - the code of a tiny hand-written artefact --------------===
 *
 * A "model" small enough to be computed by hand in a test, and strict enough that every mistake in
 * batching or paging changes its logits:
 *
 *   h[t]      = embed[token]
 *   K[p]      = h / k_scale,  V[p] = h * rope[p]          written to the token's slot
 *   acc       = acc / 2 + V[p] * K[p][0] * k_scale        for p = 0 .. position, through the table
 *   logits[v] = dot(acc * norm, embed[v])
 *
 * Vocabulary 40, hidden 8, pages of 4 tokens, f32 token-major cache, one layer.
 *
 *===----------------------------------------------------------------------===*/
#include "sinter/Abi/sinter_abi.h"

enum { V = 40, H = 8, PAGE = 4, EMBED = 0, NORM = 1, K_SCALE = 2, ROPE = 3, LAST = 63 };

/* The runner's tests fill this section; spaces are legal JSON padding. */
__asm__(".section .sinter.meta,\"\",@progbits\n"
        ".fill 16384, 1, 32\n"
        ".section .sinter.schedule,\"\",@progbits\n"
        ".ascii \"embed\\nwrite\\nattend\\nhead\\n\"\n"
        ".section .sinter.digest,\"\",@progbits\n"
        ".fill 32, 1, 0\n"
        ".text\n");

static const float *weight(const SinterLaunch *l, int i) {
  return (const float *)l->model->weights[i];
}
static float embed(const SinterLaunch *l, int32_t token, int c) { /* tiled16, f32 */
  return weight(l, EMBED)[token / 16 * 16 * H + c * 16 + token % 16];
}
static float *hidden(const SinterLaunch *l, uint32_t t) {
  return (float *)l->model->arena + t * 2 * H;
}
static float *cached(const SinterLaunch *l, int32_t slot, int stream) {
  char *page = (char *)l->model->kv + (uint64_t)(slot / PAGE) * l->model->kv_page_bytes;
  return (float *)page + stream * PAGE * H + slot % PAGE * H;
}

static void embedKernel(const SinterLaunch *l, uint32_t begin, uint32_t end, void *scratch) {
  for (uint32_t t = begin; t < end; ++t)
    for (int c = 0; c < H; ++c)
      hidden(l, t)[c] = embed(l, l->batch->tokens[t], c);
}

static void writeKernel(const SinterLaunch *l, uint32_t begin, uint32_t end, void *scratch) {
  for (uint32_t t = begin; t < end; ++t) {
    const int32_t slot = l->batch->slots[t];
    if (slot < 0)
      continue;
    const float *rope = weight(l, ROPE) + l->batch->positions[t] * H;
    for (int c = 0; c < H; ++c) {
      cached(l, slot, 0)[c] = hidden(l, t)[c] / weight(l, K_SCALE)[0];
      cached(l, slot, 1)[c] = hidden(l, t)[c] * rope[c];
    }
  }
}

static void attendKernel(const SinterLaunch *l, uint32_t begin, uint32_t end, void *scratch) {
  const SinterBatch *b = l->batch;
  float *acc = (float *)scratch;
  for (uint32_t t = begin; t < end; ++t) {
    uint32_t s = 0;
    while ((uint32_t)b->cu_q[s + 1] <= t)
      ++s;
    for (int c = 0; c < H; ++c)
      acc[c] = 0;
    for (int32_t p = 0; p <= b->positions[t]; ++p) {
      const int32_t page = b->block_table[s * b->block_table_stride + p / PAGE];
      const int32_t slot = page * PAGE + p % PAGE;
      const float k = cached(l, slot, 0)[0] * weight(l, K_SCALE)[0];
      for (int c = 0; c < H; ++c)
        acc[c] = acc[c] / 2 + cached(l, slot, 1)[c] * k;
    }
    for (int c = 0; c < H; ++c)
      hidden(l, t)[H + c] = acc[c] * weight(l, NORM)[c];
  }
}

static float logit(const SinterLaunch *l, uint32_t row, int32_t v) {
  const float *x = hidden(l, (uint32_t)l->batch->rows[row]) + H;
  float sum = 0;
  for (int c = 0; c < H; ++c)
    sum += x[c] * embed(l, v, c);
  return sum;
}

static void logitsKernel(const SinterLaunch *l, uint32_t begin, uint32_t end, void *scratch) {
  for (uint32_t task = begin; task < end; ++task)
    l->batch->logits[task] = logit(l, task / V, (int32_t)(task % V));
}

static void argmaxKernel(const SinterLaunch *l, uint32_t begin, uint32_t end, void *scratch) {
  for (uint32_t row = begin; row < end; ++row) {
    float best = logit(l, row, 0);
    int32_t index = 0;
    for (int32_t v = 1; v < V; ++v) {
      const float x = logit(l, row, v);
      if (x > best || x != x) {
        best = x;
        index = v;
      }
    }
    l->batch->argmax_value[row] = best;
    l->batch->argmax_index[row] = index;
  }
}

static void launch(const SinterRt *rt, SinterModel *model, const SinterBatch *batch,
                   SinterKernel kernel, uint32_t op, uint32_t tasks, uint32_t split) {
  SinterLaunch l = {batch, model, 0, op, split};
  rt->parallel_for(rt, kernel, &l, tasks);
}

__attribute__((visibility("default"))) int32_t sinter_step(const SinterRt *rt, SinterModel *model,
                                                           uint32_t entry,
                                                           const SinterBatch *batch) {
  if (rt->version != SINTER_ABI_VERSION)
    return rt->fail(rt, "wrong version");
  if (batch->positions[0] == LAST)
    return rt->fail(rt, "the fake model refuses to start at its last position");
  launch(rt, model, batch, embedKernel, 0, batch->num_tokens, 4);
  launch(rt, model, batch, writeKernel, 1, batch->num_tokens, 1);
  launch(rt, model, batch, attendKernel, 2, batch->num_tokens, 2);
  if (entry % 2 == 0)
    launch(rt, model, batch, logitsKernel, 3, batch->num_rows * V, 4);
  else
    launch(rt, model, batch, argmaxKernel, 3, batch->num_rows, 1);
  return 0;
}
