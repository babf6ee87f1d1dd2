//===- Machine.cpp - buffers and a step around kernels under test ---------===//
#include "Machine.h"

#include "sinter/Support/Half.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <thread>

using namespace sinter;
using namespace sinter::test;

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

static constexpr size_t kGuard = 256;
static constexpr uint8_t kPoison = 0xff, kGuardByte = 0xa5;

Buffer::Buffer(size_t bytes) : storage(bytes + 2 * kGuard + 64, kGuardByte), bytes(bytes) {
  const auto start = reinterpret_cast<uintptr_t>(storage.data()) + kGuard;
  first = kGuard + (64 - start % 64) % 64;
  std::fill_n(storage.begin() + static_cast<ptrdiff_t>(first), bytes, kPoison);
}

bool Buffer::guardsIntact() const {
  auto intact = [&](size_t from, size_t to) {
    return std::all_of(storage.begin() + static_cast<ptrdiff_t>(from),
                       storage.begin() + static_cast<ptrdiff_t>(to),
                       [](uint8_t b) { return b == kGuardByte; });
  };
  return intact(0, first) && intact(first + bytes, storage.size());
}

double sinter::test::get(const uint8_t *p, DType type, size_t i) {
  if (type == DType::F32) {
    float f;
    std::memcpy(&f, p + 4 * i, 4);
    return f;
  }
  uint16_t h;
  std::memcpy(&h, p + 2 * i, 2);
  return type == DType::BF16 ? bf16ToF32(h) : f16ToF32(h);
}

void sinter::test::put(uint8_t *p, DType type, size_t i, double value) {
  const auto f = static_cast<float>(value);
  if (type == DType::F32) {
    std::memcpy(p + 4 * i, &f, 4);
    return;
  }
  const uint16_t h = type == DType::BF16 ? f32ToBf16(f) : f32ToF16(f);
  std::memcpy(p + 2 * i, &h, 2);
}

double sinter::test::rounded(double value, DType type) {
  uint8_t bytes[4];
  put(bytes, type, 0, value);
  return get(bytes, type, 0);
}

std::vector<double> sinter::test::randomValues(size_t n, unsigned seed, DType type, double scale) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<double> v(n);
  for (double &x : v)
    x = rounded(scale * normal(engine), type);
  return v;
}

Buffer sinter::test::packTiled(const std::vector<double> &w, const std::vector<int64_t> &sourceRows,
                               int64_t k, DType type) {
  const int64_t kPadded = type == DType::BF16 ? (k + 1) / 2 * 2 : k;
  int64_t tiles = 0;
  for (int64_t rows : sourceRows)
    tiles += (rows + 15) / 16;
  Buffer packed(static_cast<size_t>(tiles * 16 * kPadded) * dtypeBytes(type));
  std::memset(packed.data(), 0, packed.size());
  int64_t firstTile = 0, row = 0;
  for (int64_t rows : sourceRows) {
    for (int64_t r = 0; r < rows; ++r, ++row) {
      for (int64_t c = 0; c < k; ++c) {
        const int64_t tile = (firstTile + r / 16) * 16 * kPadded, lane = r % 16;
        const int64_t at = type == DType::BF16 ? (c / 2) * 32 + lane * 2 + c % 2 : c * 16 + lane;
        put(packed.data(), type, static_cast<size_t>(tile + at),
            w[static_cast<size_t>(row * k + c)]);
      }
    }
    firstTile += (rows + 15) / 16;
  }
  return packed;
}

Buffer sinter::test::packPlain(const std::vector<double> &values, DType type) {
  Buffer buffer(values.size() * dtypeBytes(type));
  for (size_t i = 0; i < values.size(); ++i)
    put(buffer.data(), type, i, values[i]);
  return buffer;
}

double sinter::test::relativeL2(const std::vector<double> &got, const std::vector<double> &want) {
  if (got.size() != want.size())
    return INFINITY;
  double error = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(error / std::max(norm, 1e-300)); // NaN stays NaN and fails any bound
}

std::vector<CpuIsa> sinter::test::machineIsas() {
  std::vector<CpuIsa> isas;
  for (CpuIsa isa : {CpuIsa::V3, CpuIsa::V4, CpuIsa::V4Bf16})
    if (hasIsa(isa))
      isas.push_back(isa);
  return isas;
}

//===----------------------------------------------------------------------===//
// Machine
//===----------------------------------------------------------------------===//

Machine::Machine(const Jit &jit)
    : jit(jit), arena(static_cast<size_t>(jit.program.arenaBytes)),
      scratch(static_cast<size_t>(jit.program.scratchBytes)) {}

void Machine::oneSequence(uint32_t n, int64_t pageSize) {
  numTokens = n;
  cuQ = {0, static_cast<int32_t>(n)};
  contexts = {static_cast<int32_t>(n)};
  positions.resize(n);
  slots.resize(n);
  tokens.assign(n, 0);
  for (uint32_t t = 0; t < n; ++t)
    positions[t] = slots[t] = static_cast<int32_t>(t);
  blockTable.clear();
  for (int64_t p = 0; p * pageSize < n; ++p)
    blockTable.push_back(static_cast<int32_t>(p));
}

void *Machine::resolve(const SinterArg &arg, const SinterBatch &batch) {
  switch (arg.kind) {
  case SINTER_ARG_ARENA:
    return arena.data() + arg.offset;
  case SINTER_ARG_WEIGHT:
    return weights.at(arg.index).data() + arg.offset;
  case SINTER_ARG_KV:
    return kv.data() + arg.offset;
  case SINTER_ARG_LOGITS:
    return batch.logits;
  case SINTER_ARG_ARGMAX_VALUE:
    return batch.argmax_value;
  case SINTER_ARG_ARGMAX_INDEX:
    return batch.argmax_index;
  default:
    return nullptr;
  }
}

static uint32_t gridValue(const SinterBatch &batch, uint32_t dim) {
  const uint32_t values[] = {1,           batch.num_tokens, batch.num_rows, batch.num_seqs,
                             batch.max_q, batch.max_ctx};
  return values[dim];
}

/// Runs tasks [0, n) in the given way, as a runner might.
static void handOut(SinterKernel kernel, const SinterLaunch &launch, uint32_t n, Buffer &scratch,
                    Split split) {
  if (split == Split::Whole)
    return kernel(&launch, 0, n, scratch.data());
  if (split == Split::Threads) {
    Buffer other(scratch.size());
    std::thread half([&] { kernel(&launch, n / 2, n, other.data()); });
    kernel(&launch, 0, n / 2, scratch.data());
    half.join();
    return;
  }
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t task = split == Split::Backwards ? n - 1 - i : i;
    kernel(&launch, task, task + 1, scratch.data());
  }
}

void Machine::run(CpuIsa isa, Split split, unsigned entryIndex) {
  SinterBatch batch{};
  batch.size = sizeof batch;
  batch.num_tokens = numTokens;
  batch.num_seqs = static_cast<uint32_t>(contexts.size());
  batch.num_rows = static_cast<uint32_t>(rows.size());
  for (size_t s = 0; s + 1 < cuQ.size(); ++s)
    batch.max_q = std::max(batch.max_q, static_cast<uint32_t>(cuQ[s + 1] - cuQ[s]));
  for (int32_t c : contexts)
    batch.max_ctx = std::max(batch.max_ctx, static_cast<uint32_t>(c));
  if (!contexts.empty())
    batch.block_table_stride = static_cast<uint32_t>(blockTable.size() / contexts.size());
  batch.tokens = tokens.data(), batch.positions = positions.data(), batch.slots = slots.data();
  batch.cu_q = cuQ.data(), batch.ctx = contexts.data(), batch.block_table = blockTable.data();
  batch.rows = rows.data();
  batch.logits = reinterpret_cast<float *>(logits.data());
  batch.argmax_value = reinterpret_cast<float *>(argmaxValue.data());
  batch.argmax_index = reinterpret_cast<int32_t *>(argmaxIndex.data());
  SinterModel model{};
  model.size = sizeof model;
  model.kv_page_bytes = pageBytes;

  const StepEntry &entry = jit.program.entries.at(entryIndex);
  for (uint32_t i = 0; i < entry.ops.size(); ++i) {
    const StepOp &op = entry.ops[i];
    std::vector<void *> args;
    for (const SinterArg &arg : op.args)
      args.push_back(resolve(arg, batch));
    uint32_t tasks = op.grid.count;
    for (int d = 0; d < 3; ++d)
      tasks *= (gridValue(batch, op.grid.dim[d]) + op.grid.div[d] - 1) / op.grid.div[d];
    SinterLaunch launch{
        &batch, &model, args.data(), i, op.grid.split, uint32_t(args.size()), SINTER_EDGE_FULL};
    if (tasks)
      handOut(jit.kernel(op.kernel, isa), launch, tasks, scratch, split);
  }
}

void Machine::fill(int64_t offset, const std::vector<double> &values, DType type) {
  if (static_cast<size_t>(offset) + values.size() * dtypeBytes(type) > arena.size())
    std::abort(); // the test's own mistake
  for (size_t i = 0; i < values.size(); ++i)
    put(arena.data() + offset, type, i, values[i]);
}

std::vector<double> Machine::read(int64_t offset, size_t n, DType type) const {
  std::vector<double> values(n);
  for (size_t i = 0; i < n; ++i)
    values[i] = get(arena.data() + offset, type, i);
  return values;
}

bool Machine::guardsIntact() const {
  for (const Buffer &w : weights)
    if (!w.guardsIntact())
      return false;
  return arena.guardsIntact() && scratch.guardsIntact() && kv.guardsIntact() &&
         logits.guardsIntact() && argmaxValue.guardsIntact() && argmaxIndex.guardsIntact();
}
