//===- Bench.h - times sequences of launches on a GPU -----------*- C++ -*-===//
//
// A sequence is recorded many times over into one graph, each launch after the one before as in a
// step, with other weights each time, so that they come from memory and not from the L2. What is
// compared is replayed in turns: the clock follows the load.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/cuda/KernelTable.h"
#include "runtime/tune/TunePack.h"

#include <functional>
#include <memory>

namespace sinter::tune {

struct BenchOptions {
  uint64_t poolBytes = uint64_t(1) << 30; ///< of weights; more where one needs more
  uint32_t context = 512;                 ///< positions that decoding sequences have
  uint32_t rounds = 9;
};

class Cublas;

class Bench {
public:
  /// `pack` must outlive it.
  static Result<std::unique_ptr<Bench>> create(const Pack &pack, const cuda::Gpu &gpu,
                                               const BenchOptions &options, const cuda::Say &say);
  ~Bench();

  /// Microseconds of each, median of the rounds.
  Result<std::vector<double>> time(const std::vector<const Sequence *> &sequences);
  /// Of y [M, N] = x [M, K] W [N, K]^T in cuBLAS; none without the library.
  Result<std::optional<double>> timeGemm(uint32_t m, uint32_t n, uint32_t k);
  /// The numbers that a sequence leaves at `offset` of its arena.
  Result<std::vector<float>> results(const Sequence &sequence, uint64_t offset, uint64_t bytes,
                                     DType type);
  bool hasCublas() const { return cublas_ != nullptr; }

private:
  Bench() = default;
  struct Graph {
    cuda::OwnedGraphExec exec;
    uint32_t repeats = 1;
  };
  Status allocate();
  Status fillRandom(cuda::DevicePointer to, uint64_t bytes, bool isSigned);
  Status makeBatch(const Sequence &sequence);
  Status prepare(const Sequence &sequence, bool fill);
  Status start(const Launch &launch, const Sequence &sequence, uint32_t repeat, bool programmatic);
  uint32_t repeatsOf(const Sequence &sequence) const;
  Result<Graph> record(const std::function<Status(uint32_t)> &each, uint32_t repeats);
  Result<double> replay(const Graph &graph);
  Status synchronize(const char *what);

  const Pack *pack_ = nullptr;
  BenchOptions options_;
  std::optional<cuda::KernelTable> kernels_;
  cuda::OwnedStream stream_;
  cuda::OwnedEvent begin_, end_;
  cuda::PinnedBlock positive_, signed_; ///< random bf16
  cuda::DeviceBlock pool_, arena_, logits_, kv_, batches_;
  uint64_t poolBytes_ = 0, arenaBytes_ = 0, mostTokens_ = 1, mostRows_ = 1, pages_ = 1;
  cuda::DevicePointer batch_ = 0; ///< of the sequence at hand
  std::vector<uint64_t> places_;  ///< of its weights in the pool
  uint64_t cursor_ = 0;           ///< where the pool goes on
  std::unique_ptr<Cublas> cublas_;
};

} // namespace sinter::tune
