//===- FakeKernels.cpp - the kernels of the fake CUDA model ---------------===//
//
// The same arithmetic in the same order as fake_model.c, with row-major weights. Every kernel
// handles the whole step, however many CTAs it is started with.
//
//===----------------------------------------------------------------------===//
#include "test/runtime/fake/cuda/FakeCuda.h"

#include "sinter/Abi/sinter_abi.h"
#include "test/runtime/fake/DrawRow.h"
#include "test/runtime/fake/FakeModel.h"

#include <algorithm>
#include <cmath>

namespace sinter::fake {
namespace {

constexpr int H = kHidden, V = kVocab;
constexpr uint64_t kPageFloats = 2 * kPageSize * H;

const SinterBatch &batchOf(DeviceView &memory, const Parameters &p) {
  return *memory.array<SinterBatch>(p.back(), 1);
}

/// A token's hidden vector and, behind it, its attention output.
float *hidden(DeviceView &memory, cuda::DevicePointer arena, uint64_t token) {
  return memory.array<float>(arena + token * 2 * H * sizeof(float), 2 * H);
}

float *cached(DeviceView &memory, cuda::DevicePointer kv, int32_t slot, int stream) {
  const uint64_t element = uint64_t(slot / kPageSize) * kPageFloats +
                           uint64_t(stream) * kPageSize * H + uint64_t(slot % kPageSize) * H;
  return memory.array<float>(kv + element * sizeof(float), H);
}

/// The tokens of the last step that gave any, behind all hidden vectors.
int32_t *feedback(DeviceView &memory, cuda::DevicePointer arena) {
  return memory.array<int32_t>(arena + kMaxStepTokens * 2 * H * sizeof(float), kMaxStepTokens);
}

void embed(DeviceView &memory, const Parameters &p) { // arena, embed
  const SinterBatch &batch = batchOf(memory, p);
  const int32_t *tokens = memory.array(batch.tokens, batch.num_tokens);
  const float *weights = memory.array<float>(p[1], V * H);
  for (uint32_t t = 0; t < batch.num_tokens; ++t) {
    const int token = tokens[t] < 0 ? feedback(memory, p[0])[-1 - tokens[t]] : tokens[t];
    for (int c = 0; c < H; ++c)
      hidden(memory, p[0], t)[c] = weights[token * H + c];
  }
}

void write(DeviceView &memory, const Parameters &p) { // arena, kv, k_scale, rope
  const SinterBatch &batch = batchOf(memory, p);
  const int32_t *slots = memory.array(batch.slots, batch.num_tokens);
  const int32_t *positions = memory.array(batch.positions, batch.num_tokens);
  const float scale = *memory.array<float>(p[2], 1);
  for (uint32_t t = 0; t < batch.num_tokens; ++t) {
    if (slots[t] < 0)
      continue;
    const float *rope = memory.array<float>(p[3] + uint64_t(positions[t]) * H * sizeof(float), H);
    const float *x = hidden(memory, p[0], t);
    for (int c = 0; c < H; ++c) {
      cached(memory, p[1], slots[t], 0)[c] = x[c] / scale;
      cached(memory, p[1], slots[t], 1)[c] = x[c] * rope[c];
    }
  }
}

void attend(DeviceView &memory, const Parameters &p) { // arena, kv, k_scale, norm
  const SinterBatch &batch = batchOf(memory, p);
  const uint64_t stride = batch.block_table_stride;
  const int32_t *positions = memory.array(batch.positions, batch.num_tokens);
  const int32_t *starts = memory.array(batch.cu_q, uint64_t(batch.num_seqs) + 1);
  const int32_t *table = memory.array(batch.block_table, batch.num_seqs * stride);
  const float scale = *memory.array<float>(p[2], 1);
  const float *norm = memory.array<float>(p[3], H);
  const auto window = int32_t(memory.number("window", 0));
  for (uint32_t t = 0; t < batch.num_tokens; ++t) {
    uint32_t s = 0;
    while (uint32_t(starts[s + 1]) <= t)
      ++s;
    float acc[H] = {};
    for (int32_t at = window ? std::max(0, positions[t] - window + 1) : 0; at <= positions[t];
         ++at) {
      const int32_t page = table[s * stride + uint64_t(at / kPageSize)];
      const int32_t slot = page * kPageSize + at % kPageSize;
      const float k = cached(memory, p[1], slot, 0)[0] * scale;
      for (int c = 0; c < H; ++c)
        acc[c] = acc[c] / 2 + cached(memory, p[1], slot, 1)[c] * k;
    }
    for (int c = 0; c < H; ++c)
      hidden(memory, p[0], t)[H + c] = acc[c] * norm[c];
  }
}

float logit(const float *x, const float *weights, int v) {
  float sum = 0;
  for (int c = 0; c < H; ++c)
    sum += x[c] * weights[v * H + c];
  return sum;
}

void logits(DeviceView &memory, const Parameters &p) { // arena, embed as a tensor, logits
  const SinterBatch &batch = batchOf(memory, p);
  const int32_t *rows = memory.array(batch.rows, batch.num_rows);
  const float *weights = memory.array<float>(p[1], V * H);
  float *out = memory.array<float>(p[2], uint64_t(batch.num_rows) * V);
  for (uint32_t row = 0; row < batch.num_rows; ++row)
    for (int v = 0; v < V; ++v)
      out[row * V + uint32_t(v)] = logit(hidden(memory, p[0], uint64_t(rows[row])) + H, weights, v);
}

void argmax(DeviceView &memory, const Parameters &p) { // arena, embed as a tensor, value, index
  const SinterBatch &batch = batchOf(memory, p);
  const int32_t *rows = memory.array(batch.rows, batch.num_rows);
  const float *weights = memory.array<float>(p[1], V * H);
  float *value = memory.array<float>(p[2], batch.num_rows);
  int32_t *index = memory.array<int32_t>(p[3], batch.num_rows);
  for (uint32_t row = 0; row < batch.num_rows; ++row) {
    const float *x = hidden(memory, p[0], uint64_t(rows[row])) + H;
    value[row] = logit(x, weights, 0);
    index[row] = 0;
    for (int v = 1; v < V; ++v)
      if (const float candidate = logit(x, weights, v);
          candidate > value[row] || candidate != candidate) {
        value[row] = candidate;
        index[row] = v;
      }
    feedback(memory, p[0])[row] = index[row];
  }
}

void draw(DeviceView &memory, const Parameters &p) { // arena, logits, value, index
  const SinterBatch &batch = batchOf(memory, p);
  const SinterSampling *sampling = memory.array(batch.sampling, batch.num_rows);
  const float *logits = memory.array<float>(p[1], uint64_t(batch.num_rows) * V);
  float *value = memory.array<float>(p[2], batch.num_rows);
  int32_t *index = memory.array<int32_t>(p[3], batch.num_rows);
  for (uint32_t row = 0; row < batch.num_rows; ++row) {
    const SinterSampling &how = sampling[row];
    const auto *edits = how.num_edits ? memory.array(how.edits, how.num_edits) : nullptr;
    const auto *allowed = how.allowed ? memory.array(how.allowed, (V + 31) / 32) : nullptr;
    const DrawnToken drawn = drawRow({logits + uint64_t(row) * V, size_t(V)}, how, edits, allowed);
    value[row] = drawn.value;
    index[row] = feedback(memory, p[0])[row] = drawn.index;
  }
}

void readMemory(DeviceView &, const Parameters &) {}

} // namespace

const std::map<std::string, FakeKernel> &fakeKernels() {
  static const std::map<std::string, FakeKernel> kernels = {
      {"embed", {"ppp", embed}},           {"write", {"ppppp", write}},
      {"attend", {"ppppp", attend}},       {"logits", {"pmpp", logits}},
      {"argmax", {"pmppp", argmax}},       {"draw", {"ppppp", draw}},
      {"sinter_read", {"pup", readMemory}}};
  return kernels;
}

} // namespace sinter::fake
