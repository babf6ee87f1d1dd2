//===- ToyModel.cpp -------------------------------------------------------===//
#include "test/runtime/engine/ToyModel.h"

#include "test/runtime/fake/DrawRow.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>

namespace sinter::test {
namespace {

constexpr uint32_t kSampleEntry = 4; ///< the first one with the sample head

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
  return x ^ (x >> 29);
}

/// Small tokens are common, so that generated text repeats itself a little.
float logitOf(uint64_t hash, uint32_t token) {
  return float(mix(hash + token) >> 44) * 0x1p-18f - float(token) * 0.01f;
}

uint64_t cellOf(int32_t token, int32_t position) {
  return uint64_t(uint32_t(token)) << 32 | uint32_t(position);
}

int32_t argmaxOf(uint64_t hash, uint32_t vocab) {
  uint32_t best = 0;
  for (uint32_t v = 1; v < vocab; ++v)
    if (logitOf(hash, v) > logitOf(hash, best))
      best = v;
  return int32_t(best);
}

uint64_t hashOf(const std::vector<int32_t> &tokens, uint32_t window = 0) {
  uint64_t hash = 1;
  const size_t hidden = window ? tokens.size() - std::min<size_t>(window, tokens.size()) : 0;
  for (size_t p = hidden; p < tokens.size(); ++p)
    hash = mix(hash ^ cellOf(tokens[p], int32_t(p)));
  return hash;
}

} // namespace

Result<DeviceMemory> ToyDevice::allocate(uint64_t bytes, MemoryUse) {
  return DeviceMemory(std::calloc(std::max<uint64_t>(bytes, 64), 1), bytes,
                      [](void *data, uint64_t) { std::free(data); });
}

Status ToyDevice::fill(void *data, uint32_t word, uint64_t bytes) {
  std::fill_n(static_cast<uint32_t *>(data), bytes / 4, word);
  return Status::ok();
}

Status ToyDevice::upload(void *to, const void *from, uint64_t bytes) {
  std::memcpy(to, from, bytes);
  ++uploads;
  return Status::ok();
}

Status ToyDevice::download(void *to, const void *from, uint64_t bytes) {
  std::memcpy(to, from, bytes);
  ++downloads;
  return Status::ok();
}

void ToyDevice::hostParallel(uint32_t tasks, const std::function<void(uint32_t, uint32_t)> &body) {
  ++parallel;
  std::thread other([&] { body(tasks / 2, tasks); });
  body(0, tasks / 2);
  other.join();
}

Status ToyDevice::step(SinterStepFn, SinterModel &model, uint32_t entry, const SinterBatch &batch) {
  ++steps;
  if (failIn >= 0 && failIn-- == 0)
    return unavailable("the toy broke");
  auto *cells = static_cast<uint64_t *>(model.kv);
  for (uint32_t t = 0; t < batch.num_tokens; ++t)
    if (batch.slots[t] >= 0)
      cells[batch.slots[t]] = cellOf(batch.tokens[t], batch.positions[t]);
  uint32_t s = 0;
  for (uint32_t r = 0; r < batch.num_rows; ++r) {
    const int32_t row = batch.rows[r];
    while (batch.cu_q[s + 1] <= row)
      ++s;
    uint64_t hash = cellOf(batch.tokens[row], batch.positions[row]);
    bool finite = true;
    if (reads) {
      hash = 1;
      const auto window = int32_t(shape_.window);
      for (int32_t p = window ? std::max(0, batch.positions[row] - window + 1) : 0;
           p <= batch.positions[row]; ++p) {
        const int32_t page =
            batch.block_table[s * batch.block_table_stride + uint32_t(p) / shape_.pageSize];
        const uint64_t cell =
            page < 0 ? ~uint64_t(0)
                     : cells[uint32_t(page) * shape_.pageSize + uint32_t(p) % shape_.pageSize];
        wrongReads += uint32_t(cell) != uint32_t(p);
        finite &= int32_t(cell >> 32) != nanToken;
        hash = mix(hash ^ cell);
      }
    }
    const float nan = std::numeric_limits<float>::quiet_NaN();
    if (entry >= kSampleEntry) {
      std::vector<float> logits;
      for (uint32_t v = 0; v < shape_.vocab; ++v)
        logits.push_back(finite ? logitOf(hash, v) : nan);
      const SinterSampling &how = batch.sampling[r];
      const fake::DrawnToken drawn = fake::drawRow(logits, how, how.edits, how.allowed);
      batch.argmax_index[r] = drawn.index;
      batch.argmax_value[r] = drawn.value;
    } else if (entry % 2 == 0) {
      logitsSteps += r == 0;
      for (uint32_t v = 0; v < shape_.vocab; ++v)
        batch.logits[r * shape_.vocab + v] = finite ? logitOf(hash, v) : nan;
    } else {
      batch.argmax_index[r] = argmaxOf(hash, reads ? shape_.vocab : 2);
      batch.argmax_value[r] = finite ? 1 : nan;
    }
  }
  return Status::ok();
}

std::vector<float> toyLogits(const std::vector<int32_t> &tokens, uint32_t vocab) {
  std::vector<float> logits;
  for (uint32_t v = 0; v < vocab; ++v)
    logits.push_back(logitOf(hashOf(tokens), v));
  return logits;
}

int32_t toyNext(const std::vector<int32_t> &tokens, uint32_t vocab, uint32_t window) {
  return argmaxOf(hashOf(tokens, window), vocab);
}

std::vector<int32_t> toyGreedy(std::vector<int32_t> tokens, uint32_t count, bool ignoreEos,
                               uint32_t window) {
  std::vector<int32_t> out;
  while (out.size() < count) {
    const int32_t token = toyNext(tokens, 40, window);
    if (!ignoreEos && (token == 12 || token == 38))
      break;
    out.push_back(token);
    tokens.push_back(token);
  }
  return out;
}

ToyModel::ToyModel(const ToyShape &shape) : shape(shape), device(shape) {
  manifest.target = "toy";
  manifest.batchInvariant = true;
  manifest.model.vocab = shape.vocab;
  manifest.model.maxPosition = shape.positions;
  manifest.model.eos = {12, 38};
  manifest.kv = {.layers = 1, .heads = 1, .headDim = 1, .pageSize = shape.pageSize};
  manifest.kv.window = shape.window;
  manifest.kv.layerBytes = manifest.kv.pageBytes = uint64_t(shape.pageSize) * 8;
  manifest.arenaBytes = 64;
  auto entry = [&](HeadKind head, uint32_t maxQ, uint32_t rows) {
    EntryPlan plan;
    plan.head = head;
    plan.minTokens = 1;
    plan.maxTokens = shape.maxTokens;
    plan.maxRows = rows;
    plan.maxQ = maxQ;
    plan.schedule.push_back({.name = "all", .op = "all", .flopsPerToken = 1000});
    manifest.entries.push_back(std::move(plan));
  };
  for (const uint32_t maxQ : {8u, 0u}) {
    entry(HeadKind::Logits, maxQ, maxQ ? shape.maxTokens : shape.mixedRows);
    entry(HeadKind::Argmax, maxQ, maxQ ? shape.maxTokens : shape.mixedRows);
  }
  if (shape.draws)
    for (const uint32_t maxQ : {8u, 0u})
      entry(HeadKind::Sample, maxQ, maxQ ? shape.maxTokens : shape.mixedRows);
  ExecutorOptions options;
  options.numPages = shape.pages;
  options.poison = true;
  executor = *Executor::create({&manifest, nullptr, {}, shape.positions}, device, options);
}

std::unique_ptr<Engine> ToyModel::engine(EngineOptions options) {
  options.poisonFreedPages = true;
  options.checkBooks = true;
  return *Engine::create(*executor, options);
}

bool Heard::onToken(const TokenEvent &event) {
  Sample &sample = samples[event.sample];
  sample.tokens.push_back(event.token);
  sample.logprobs.push_back(event.logprob);
  sample.likely.emplace_back(event.likely.begin(), event.likely.end());
  return sample.tokens.size() < stopAfter;
}

void Heard::onFinish(uint32_t sample, FinishReason reason, const Status &status) {
  ++finishes;
  samples[sample].reason = reason;
  samples[sample].status = status;
}

void Heard::onDone(const Usage &total) {
  usage = total;
  done = true;
}

Request greedyRequest(std::vector<int32_t> prompt, uint32_t maxTokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.maxTokens = maxTokens;
  request.sampling.temperature = 0;
  request.ignoreEos = true;
  return request;
}

Request copyOf(const Request &request) {
  return {.prompt = request.prompt,
          .maxTokens = request.maxTokens,
          .samples = request.samples,
          .sampling = request.sampling,
          .ignoreEos = request.ignoreEos,
          .stopIds = request.stopIds,
          .logprobs = request.logprobs,
          .priority = request.priority,
          .promptLookup = request.promptLookup,
          .cacheSalt = request.cacheSalt,
          .constraint = nullptr};
}

std::vector<int32_t> makePrompt(size_t length, uint32_t start) {
  std::vector<int32_t> prompt;
  for (size_t i = 0; i < length; ++i)
    prompt.push_back(int32_t((start * 7 + i * 17 + i * i) % 37));
  return prompt;
}

} // namespace sinter::test
