//===- Machine.h - buffers and a step around kernels under test -*- C++ -*-===//
#pragma once

#include "Jit.h"

#include "sinter/Support/DType.h"

#include <cstring>
#include <vector>

namespace sinter::test {

/// Bytes between two guards. Fresh buffers are poisoned: NaN in every floating type.
class Buffer {
public:
  explicit Buffer(size_t bytes = 0);
  uint8_t *data() { return storage.data() + first; }
  const uint8_t *data() const { return storage.data() + first; }
  size_t size() const { return bytes; }
  bool guardsIntact() const;

private:
  std::vector<uint8_t> storage;
  size_t first, bytes;
};

/// Element i of a buffer in memory, as a double.
double get(const uint8_t *p, DType type, size_t i);
void put(uint8_t *p, DType type, size_t i, double value);
/// `value` rounded to the type.
double rounded(double value, DType type);

/// Normal numbers, the same for the same seed, rounded to `type`.
std::vector<double> randomValues(size_t n, unsigned seed, DType type, double scale = 1);

/// The resident form `tiled16` of a matrix [rows of all sources][k].
Buffer packTiled(const std::vector<double> &w, const std::vector<int64_t> &sourceRows, int64_t k,
                 DType type);
Buffer packPlain(const std::vector<double> &values, DType type = DType::F32);

/// How a launch's tasks are handed out.
enum class Split { Whole, OneByOne, Backwards, Threads };

/// A loaded program: everything kernels touch, guarded.
struct Machine {
  explicit Machine(const Jit &jit);
  const Jit &jit;
  std::vector<Buffer> weights;
  Buffer arena, scratch, kv;
  size_t pageBytes = 0;
  std::vector<int32_t> tokens, positions, slots, cuQ, contexts, blockTable, rows;
  Buffer logits, argmaxValue, argmaxIndex;
  uint32_t numTokens = 1;

  /// Runs an entry; batch counts come from the vectors above.
  void run(CpuIsa isa, Split split = Split::Whole, unsigned entry = 0);
  /// One sequence of n tokens at positions 0.., pages 0.. in order.
  void oneSequence(uint32_t n, int64_t pageSize = 16);
  void fill(int64_t offset, const std::vector<double> &values, DType type);
  std::vector<double> read(int64_t offset, size_t n, DType type) const;
  bool guardsIntact() const;

private:
  void *resolve(const SinterArg &arg, const SinterBatch &batch);
};

double relativeL2(const std::vector<double> &got, const std::vector<double> &want);
/// The instruction sets this machine can run.
std::vector<CpuIsa> machineIsas();

} // namespace sinter::test
