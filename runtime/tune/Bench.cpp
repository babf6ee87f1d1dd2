//===- Bench.cpp ----------------------------------------------------------===//
#include "runtime/tune/Bench.h"

#include "runtime/tune/Cublas.h"
#include "sinter/Support/Half.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

namespace sinter::tune {

using namespace cuda;

namespace {

constexpr uint64_t kBlock = uint64_t(32) << 20; ///< of random numbers, repeated
constexpr uint64_t kCold = uint64_t(320) << 20; ///< of weights between two uses of the same
constexpr uint32_t kLeastRepeats = 16, kMostRepeats = 96;

uint64_t alignUp(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

/// bf16 between 0 or -1 and 1, none of them 0; as pairs they are f32 in the same range.
void randomNumbers(uint16_t *to, uint64_t count, bool isSigned) {
  constexpr uint64_t kMultiplier = 6364136223846793005ull, kIncrement = 1442695040888963407ull;
  constexpr uint16_t kQuarter = 0x3e80; // two octaves below 1: what activations look like
  uint64_t state = isSigned ? 1 : 2;
  for (uint64_t i = 0; i < count; ++i) {
    state = state * kMultiplier + kIncrement;
    const auto bits = uint16_t(state >> 40);
    to[i] = uint16_t(kQuarter + (bits & 0xff)) | (isSigned ? uint16_t(bits & 0x8000) : uint16_t(0));
  }
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// The arrays of a SinterBatch, one behind the other.
struct BatchLayout {
  uint64_t tokens, seqs, rows, perSeq;
  uint64_t at(int array) const {
    const uint64_t counts[] = {tokens, tokens, tokens, seqs + 1, seqs, seqs * perSeq, rows};
    uint64_t offset = alignUp(sizeof(SinterBatch), 256);
    for (int i = 0; i < array; ++i)
      offset += alignUp(4 * counts[i], 256);
    return offset;
  }
  uint64_t bytes() const { return at(7); }
};

} // namespace

Bench::~Bench() {
  if (stream_)
    driver().streamSynchronize(stream_.get()); // nothing may run when its memory goes
}

Status Bench::synchronize(const char *what) {
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamSynchronize(stream_.get()), what);
  return Status::ok();
}

Result<std::unique_ptr<Bench>> Bench::create(const Pack &pack, const Gpu &gpu,
                                             const BenchOptions &options, const Say &say) {
  std::unique_ptr<Bench> bench(new Bench);
  bench->pack_ = &pack;
  bench->options_ = options;
  SINTER_ASSIGN_OR_RETURN(bench->stream_, makeStream());
  SINTER_ASSIGN_OR_RETURN(bench->begin_, makeEvent(0));
  SINTER_ASSIGN_OR_RETURN(bench->end_, makeEvent(0));
  SINTER_ASSIGN_OR_RETURN(bench->kernels_,
                          KernelTable::load(pack.manifest, pack.ptx, pack.cubin, gpu, say));
  SINTER_RETURN_IF_ERROR(bench->allocate());
  bench->cublas_ = Cublas::open(bench->stream_.get());
  return bench;
}

/// Room for the most that any sequence needs.
Status Bench::allocate() {
  poolBytes_ = options_.poolBytes;
  const auto needs = [&](const Sequence &s) {
    uint64_t weights = 0;
    for (uint64_t bytes : s.weights)
      weights = std::max(weights, alignUp(bytes, 256));
    poolBytes_ = std::max(poolBytes_, 2 * weights);
    arenaBytes_ = std::max(arenaBytes_, alignUp(s.arenaBytes, 256));
    mostTokens_ = std::max<uint64_t>(mostTokens_, s.tokens);
    mostRows_ = std::max<uint64_t>(mostRows_, std::min(s.rows, s.tokens));
    const uint64_t seqs = s.maxQ ? s.tokens : 1;
    const uint64_t positions = s.maxQ ? options_.context : s.tokens;
    if (s.readsKv)
      pages_ = std::max(pages_, seqs * ((positions + pack_->page - 1) / pack_->page));
  };
  for (const Sequence &s : pack_->sequences)
    needs(s);
  for (const Linear &linear : pack_->linears)
    for (const Variant &variant : linear.variants)
      needs(variant.sequence);
  SINTER_ASSIGN_OR_RETURN(positive_, makePinned(kBlock));
  SINTER_ASSIGN_OR_RETURN(signed_, makePinned(kBlock));
  randomNumbers(static_cast<uint16_t *>(positive_.get()), kBlock / 2, false);
  randomNumbers(static_cast<uint16_t *>(signed_.get()), kBlock / 2, true);
  SINTER_ASSIGN_OR_RETURN(pool_, makeDeviceBlock(poolBytes_));
  SINTER_ASSIGN_OR_RETURN(arena_, makeDeviceBlock(arenaBytes_));
  SINTER_ASSIGN_OR_RETURN(logits_, makeDeviceBlock(mostRows_ * (pack_->vocab + 2) * 4 + 512));
  SINTER_ASSIGN_OR_RETURN(kv_, makeDeviceBlock(std::max<uint64_t>(pages_ * pack_->pageBytes, 256)));
  const BatchLayout most{mostTokens_, mostTokens_, mostRows_, pages_};
  SINTER_ASSIGN_OR_RETURN(batches_, makeDeviceBlock(most.bytes()));
  batch_ = batches_.get();
  SINTER_RETURN_IF_ERROR(fillRandom(pool_.get(), poolBytes_, true));
  return fillRandom(kv_.get(), pages_ * pack_->pageBytes, true);
}

Status Bench::fillRandom(DevicePointer to, uint64_t bytes, bool isSigned) {
  for (uint64_t at = 0; at < bytes; at += kBlock)
    SINTER_CUDA_RETURN_IF_ERROR(driver().copyToDevice(to + at,
                                                      (isSigned ? signed_ : positive_).get(),
                                                      std::min(kBlock, bytes - at), stream_.get()),
                                "cannot fill GPU memory");
  return synchronize("cannot fill GPU memory");
}

/// Decoding: each token a sequence at the same position. Else one sequence from its beginning on.
Status Bench::makeBatch(const Sequence &s) {
  const uint32_t seqs = s.maxQ ? s.tokens : 1, each = s.tokens / seqs;
  const uint32_t context = s.maxQ ? options_.context : s.tokens;
  const auto page = uint32_t(pack_->page), perSeq = (context + page - 1) / page;
  const BatchLayout layout{s.tokens, seqs, std::min(s.rows, s.tokens), perSeq};
  std::vector<uint8_t> bytes(layout.bytes());
  const auto array = [&](int i) { return reinterpret_cast<int32_t *>(&bytes[layout.at(i)]); };
  const auto address = [&](int i) {
    return reinterpret_cast<const int32_t *>(batch_ + layout.at(i));
  };
  for (uint32_t t = 0; t < s.tokens; ++t) {
    const uint32_t seq = t / each, position = context - each + t % each;
    array(1)[t] = int32_t(position);
    array(2)[t] = int32_t((seq * perSeq + position / page) * page + position % page);
  }
  for (uint32_t i = 0; i <= seqs; ++i)
    array(3)[i] = int32_t(i * each);
  for (uint32_t i = 0; i < seqs; ++i)
    array(4)[i] = int32_t(context);
  for (uint32_t i = 0; i < seqs * perSeq && s.readsKv; ++i)
    array(5)[i] = int32_t(i);
  for (uint64_t i = 0; i < layout.rows; ++i)
    array(6)[i] = int32_t(i);
  SinterBatch batch = {};
  batch.size = sizeof batch;
  batch.num_tokens = s.tokens, batch.num_seqs = seqs, batch.num_rows = uint32_t(layout.rows);
  batch.max_q = each, batch.max_ctx = context, batch.block_table_stride = perSeq;
  batch.tokens = address(0), batch.positions = address(1), batch.slots = address(2);
  batch.cu_q = address(3), batch.ctx = address(4), batch.block_table = address(5);
  batch.rows = address(6);
  const uint64_t rows = layout.rows;
  batch.logits = reinterpret_cast<float *>(logits_.get());
  batch.argmax_value = batch.logits + alignUp(rows * pack_->vocab, 64);
  batch.argmax_index = reinterpret_cast<int32_t *>(batch.argmax_value + rows);
  std::memcpy(bytes.data(), &batch, sizeof batch);
  SINTER_CUDA_RETURN_IF_ERROR(
      driver().copyToDevice(batch_, bytes.data(), bytes.size(), stream_.get()),
      "cannot describe a step");
  return synchronize("cannot describe a step");
}

Status Bench::prepare(const Sequence &s, bool fill) {
  SINTER_RETURN_IF_ERROR(makeBatch(s));
  if (fill)
    SINTER_RETURN_IF_ERROR(fillRandom(arena_.get(), s.arenaBytes, false));
  if (s.persistentBytes)
    SINTER_CUDA_RETURN_IF_ERROR(driver().fillWords(arena_.get() + s.arenaBytes - s.persistentBytes,
                                                   0, s.persistentBytes / 4, stream_.get()),
                                "cannot clear counters");
  for (const Launch &launch : s.setup)
    SINTER_RETURN_IF_ERROR(start(launch, s, 0, false));
  return synchronize("a plan");
}

Status Bench::start(const Launch &launch, const Sequence &s, uint32_t repeat, bool programmatic) {
  std::array<void *, SINTER_MAX_ARGS> args = {};
  const uint64_t rows = std::min(s.rows, s.tokens);
  for (size_t i = 0; i < launch.args.size(); ++i) {
    const SinterArg &arg = launch.args[i];
    DevicePointer at = 0;
    switch (arg.kind) {
    case SINTER_ARG_ARENA:
      at = arena_.get() + arg.offset;
      break;
    case SINTER_ARG_WEIGHT:
      at = pool_.get() + places_[arg.index] + arg.offset;
      break;
    case SINTER_ARG_KV: // of another layer each time
      at = kv_.get() + (arg.offset + repeat % pack_->layers * pack_->layerBytes) % pack_->pageBytes;
      break;
    case SINTER_ARG_LOGITS:
      at = logits_.get();
      break;
    default:
      at = logits_.get() + 4 * (alignUp(rows * pack_->vocab, 64) +
                                (arg.kind == SINTER_ARG_ARGMAX_INDEX ? rows : 0));
    }
    args[i] = reinterpret_cast<void *>(at);
  }
  SinterLaunch made = {};
  made.args = args.data();
  made.num_args = uint32_t(launch.args.size());
  return kernels_->launch(launch.kernel, made, launch.grid, batch_, stream_.get(), programmatic)
      .withContext("kernel " + pack_->manifest.kernels[launch.kernel].name);
}

namespace {

std::set<uint32_t> usedWeights(const Sequence &s) {
  std::set<uint32_t> used;
  for (const auto *list : {&s.setup, &s.launches})
    for (const Launch &launch : *list)
      for (const SinterArg &arg : launch.args)
        if (arg.kind == SINTER_ARG_WEIGHT)
          used.insert(arg.index);
  return used;
}

} // namespace

uint32_t Bench::repeatsOf(const Sequence &s) const {
  uint64_t bytes = 1;
  for (uint32_t w : usedWeights(s))
    bytes += s.weights[w];
  return uint32_t(std::clamp<uint64_t>(kCold / bytes + 1, kLeastRepeats, kMostRepeats));
}

Result<Bench::Graph> Bench::record(const std::function<Status(uint32_t)> &each, uint32_t repeats) {
  const char *what = "cannot record a sequence";
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamBeginCapture(stream_.get(), kCaptureThreadLocal),
                              what);
  Status status;
  for (uint32_t repeat = 0; repeat < repeats && status.isOk(); ++repeat)
    status = each(repeat);
  cuda::Graph raw = nullptr;
  const Code code = driver().streamEndCapture(stream_.get(), &raw);
  const OwnedGraph graph(raw);
  SINTER_RETURN_IF_ERROR(status);
  SINTER_CUDA_RETURN_IF_ERROR(code, what);
  GraphExec exec = nullptr;
  SINTER_CUDA_RETURN_IF_ERROR(driver().graphInstantiate(&exec, graph.get(), 0), what);
  return Graph{OwnedGraphExec(exec), repeats};
}

/// Microseconds of one repeat.
Result<double> Bench::replay(const Graph &graph) {
  const char *what = "a sequence";
  SINTER_CUDA_RETURN_IF_ERROR(driver().eventRecord(begin_.get(), stream_.get(), 0), what);
  SINTER_CUDA_RETURN_IF_ERROR(driver().graphLaunch(graph.exec.get(), stream_.get()), what);
  SINTER_CUDA_RETURN_IF_ERROR(driver().eventRecord(end_.get(), stream_.get(), 0), what);
  SINTER_RETURN_IF_ERROR(synchronize(what));
  float milliseconds = 0;
  SINTER_CUDA_RETURN_IF_ERROR(driver().eventElapsed(&milliseconds, begin_.get(), end_.get()), what);
  return double(milliseconds) * 1e3 / graph.repeats;
}

Result<std::vector<double>> Bench::time(const std::vector<const Sequence *> &sequences) {
  std::vector<Graph> graphs;
  for (const Sequence *s : sequences) {
    places_.assign(s->weights.size(), 0);
    const std::set<uint32_t> used = usedWeights(*s);
    // Tables that every layer reads stay where they are; matrices are never the same twice.
    const bool rotates = !s->readsKv;
    const auto place = [&] {
      for (uint32_t w : used) {
        if (cursor_ + s->weights[w] > poolBytes_)
          cursor_ = 0;
        places_[w] = cursor_;
        cursor_ += alignUp(s->weights[w], 256);
      }
    };
    SINTER_RETURN_IF_ERROR(makeBatch(*s));
    place();
    SINTER_ASSIGN_OR_RETURN(
        Graph graph, record(
                         [&](uint32_t repeat) -> Status {
                           if (rotates)
                             place();
                           for (const Launch &launch : s->launches)
                             SINTER_RETURN_IF_ERROR(start(
                                 launch, *s, repeat, repeat > 0 || &launch != &s->launches[0]));
                           return Status::ok();
                         },
                         repeatsOf(*s)));
    graphs.push_back(std::move(graph));
  }
  std::vector<std::vector<double>> samples(sequences.size());
  for (uint32_t round = 0; round < options_.rounds; ++round)
    for (size_t i = 0; i < sequences.size(); ++i) {
      // Another sequence had the arena; what it left are finite numbers as well.
      SINTER_RETURN_IF_ERROR(prepare(*sequences[i], round == 0));
      for (int warm = 0; warm < 2; ++warm) {
        SINTER_ASSIGN_OR_RETURN(const double micros, replay(graphs[i]));
        if (warm && (round > 0 || options_.rounds == 1)) // the first round wakes the clocks
          samples[i].push_back(micros);
      }
    }
  std::vector<double> result;
  for (const std::vector<double> &each : samples)
    result.push_back(median(each));
  return result;
}

Result<std::optional<double>> Bench::timeGemm(uint32_t m, uint32_t n, uint32_t k) {
  const uint64_t bytes = uint64_t(n) * k * 2, x = uint64_t(m) * k * 2, y = uint64_t(m) * n * 2;
  if (!cublas_ || bytes > poolBytes_ || x + y > arenaBytes_ || x % 256)
    return std::optional<double>();
  uint64_t at = 0;
  const auto repeats =
      uint32_t(std::clamp<uint64_t>(kCold / bytes + 1, kLeastRepeats, kMostRepeats));
  SINTER_RETURN_IF_ERROR(fillRandom(arena_.get(), x, false));
  // Once outside: it loads its kernels at their first use.
  SINTER_RETURN_IF_ERROR(cublas_->gemm(arena_.get(), pool_.get(), arena_.get() + x, m, n, k));
  SINTER_RETURN_IF_ERROR(synchronize("cuBLAS"));
  SINTER_ASSIGN_OR_RETURN(const Graph graph, record(
                                                 [&](uint32_t) -> Status {
                                                   at = at + bytes > poolBytes_ ? 0 : at;
                                                   const DevicePointer w = pool_.get() + at;
                                                   at += alignUp(bytes, 256);
                                                   return cublas_->gemm(arena_.get(), w,
                                                                        arena_.get() + x, m, n, k);
                                                 },
                                                 repeats));
  std::vector<double> samples;
  for (uint32_t round = 0; round < options_.rounds; ++round) {
    SINTER_ASSIGN_OR_RETURN(const double micros, replay(graph));
    samples.push_back(micros);
  }
  return std::optional<double>(median(samples));
}

Result<std::vector<float>> Bench::results(const Sequence &s, uint64_t offset, uint64_t bytes,
                                          DType type) {
  SINTER_RETURN_IF_ERROR(prepare(s, true));
  places_.assign(s.weights.size(), 0);
  uint64_t at = 0;
  for (uint32_t w : usedWeights(s)) {
    places_[w] = at + s.weights[w] > poolBytes_ ? 0 : at;
    at += alignUp(s.weights[w], 256);
  }
  for (const Launch &launch : s.launches)
    SINTER_RETURN_IF_ERROR(start(launch, s, 0, false));
  std::vector<uint8_t> raw(bytes);
  SINTER_CUDA_RETURN_IF_ERROR(
      driver().copyToHost(raw.data(), arena_.get() + offset, bytes, stream_.get()), "results");
  SINTER_RETURN_IF_ERROR(synchronize(s.name.c_str()));
  std::vector<float> values(bytes / dtypeBytes(type));
  for (size_t i = 0; i < values.size(); ++i) {
    if (type == DType::F32) {
      std::memcpy(&values[i], &raw[4 * i], 4);
      continue;
    }
    uint16_t half;
    std::memcpy(&half, &raw[2 * i], 2);
    values[i] = type == DType::BF16 ? bf16ToF32(half) : f16ToF32(half);
  }
  return values;
}

} // namespace sinter::tune
