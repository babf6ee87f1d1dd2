//===- MachineSpeed.cpp ---------------------------------------------------===//
#include "runtime/device/cpu/MachineSpeed.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <immintrin.h>
#include <sys/mman.h>
#include <unistd.h>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Reads [data, data + bytes), bytes a multiple of 256; the result keeps the loads alive.
__attribute__((target("avx2"))) uint64_t readAll(const uint8_t *data, uint64_t bytes) {
  __m256i sum[8] = {};
  for (uint64_t i = 0; i < bytes; i += 256)
    for (int k = 0; k < 8; ++k)
      sum[k] = _mm256_xor_si256(
          sum[k], _mm256_load_si256(reinterpret_cast<const __m256i *>(data + i + 32 * k)));
  for (int k = 1; k < 8; ++k)
    sum[0] = _mm256_xor_si256(sum[0], sum[k]);
  return uint64_t(_mm256_extract_epi64(sum[0], 0)) ^ uint64_t(_mm256_extract_epi64(sum[0], 3));
}

constexpr int kChains = 12; ///< independent accumulators: more than latency times ports

__attribute__((target("avx2,fma"))) float fmaChainV3(uint64_t rounds) {
  __m256 sum[kChains];
  for (int k = 0; k < kChains; ++k)
    sum[k] = _mm256_set1_ps(float(k));
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  for (uint64_t i = 0; i < rounds; ++i)
    for (int k = 0; k < kChains; ++k)
      sum[k] = _mm256_fmadd_ps(sum[k], a, b);
  for (int k = 1; k < kChains; ++k)
    sum[0] = _mm256_add_ps(sum[0], sum[k]);
  return _mm256_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f"))) float fmaChainV4(uint64_t rounds) {
  __m512 sum[kChains];
  for (int k = 0; k < kChains; ++k)
    sum[k] = _mm512_set1_ps(float(k));
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  for (uint64_t i = 0; i < rounds; ++i)
    for (int k = 0; k < kChains; ++k)
      sum[k] = _mm512_fmadd_ps(sum[k], a, b);
  for (int k = 1; k < kChains; ++k)
    sum[0] = _mm512_add_ps(sum[0], sum[k]);
  return _mm512_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f,avx512bf16"))) float dotChain(uint64_t rounds) {
  __m512 sum[kChains];
  for (int k = 0; k < kChains; ++k)
    sum[k] = _mm512_set1_ps(float(k));
  const auto a = __m512bh(_mm512_set1_epi32(0x3f803f80)),
             b = __m512bh(_mm512_set1_epi32(0x3a803a80));
  for (uint64_t i = 0; i < rounds; ++i)
    for (int k = 0; k < kChains; ++k)
      sum[k] = _mm512_dpbf16_ps(sum[k], a, b);
  for (int k = 1; k < kChains; ++k)
    sum[0] = _mm512_add_ps(sum[0], sum[k]);
  return _mm512_cvtss_f32(sum[0]);
}

/// The largest idea of the last cache that the system has: on virtual machines the kernel may name
/// one guest's share while the guest reads from all of it.
uint64_t lastCacheBytes() {
  uint64_t kibibytes = 0;
  std::ifstream("/sys/devices/system/cpu/cpu0/cache/index3/size") >> kibibytes;
  return std::max(kibibytes * 1024, uint64_t(std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), 0L)));
}

constexpr uint64_t kBlock = uint64_t(1) << 20;
constexpr uint64_t kPart = uint64_t(64) << 20; ///< a few milliseconds of reading

struct BufferBytes {
  uint64_t wanted;
  uint64_t least; ///< so that no pass finds in the cache what the last one read
};

BufferBytes bufferBytes() {
  constexpr uint64_t kLeast = uint64_t(256) << 20, kMost = uint64_t(1) << 30;
  const uint64_t cache = lastCacheBytes();
  const uint64_t wanted = std::clamp(4 * cache / kBlock * kBlock, kLeast, kMost);
  return {wanted, std::min(wanted, std::max(2 * cache, 2 * kPart))};
}

} // namespace

void ReadProbe::Unmap::operator()(uint8_t *data) const { munmap(data, bytes); }

Result<ReadProbe> ReadProbe::create(ThreadPool &pool, double patience) {
  const auto start = Clock::now();
  const auto [bytes, least] = bufferBytes();
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return resourceExhausted(std::string("no memory to measure read bandwidth with: ") +
                             std::strerror(errno));
  madvise(memory, bytes, MADV_HUGEPAGE);
  ReadProbe probe(pool, static_cast<uint8_t *>(memory), bytes);
  for (uint64_t first = 0; first < bytes; first += kPart) {
    if (secondsSince(start) > patience) {
      // A virtual machine may have to ask its host for every page.
      if (first < least)
        return resourceExhausted("this machine is too busy to measure its read bandwidth");
      probe.bytes_ = first;
      break;
    }
    uint8_t *data = probe.data_.get() + first;
    const uint64_t part = std::min(kPart, bytes - first);
    pool.parallelFor(uint32_t(part / kBlock), 1, [&](uint32_t begin, uint32_t end) {
      std::memset(data + begin * kBlock, 1, (end - begin) * kBlock); // real pages, not the zero one
    });
  }
  return probe;
}

double ReadProbe::read(uint64_t first, uint64_t bytes) {
  std::atomic<uint64_t> sink{0};
  const uint8_t *data = data_.get() + first;
  const auto start = Clock::now();
  pool_->parallelFor(uint32_t(bytes / kBlock), 1, [&](uint32_t begin, uint32_t end) {
    sink += readAll(data + begin * kBlock, (end - begin) * kBlock);
  });
  return double(bytes) / secondsSince(start);
}

double ReadProbe::pass() {
  const double speed = read(next_, kPart);
  next_ = next_ + 2 * kPart <= bytes_ ? next_ + kPart : 0;
  return speed;
}

double ReadProbe::wholePass(double patience) {
  const auto start = Clock::now();
  uint64_t done = 0;
  while (done < bytes_ && (done == 0 || secondsSince(start) < patience)) {
    const uint64_t part = std::min(kPart, bytes_ - done);
    read(done, part);
    done += part;
  }
  return double(done) / secondsSince(start);
}

double measureReadBandwidth(ThreadPool &pool) {
  constexpr double kFilling = 0.6, kReading = 0.3;
  Result<ReadProbe> probe = ReadProbe::create(pool, kFilling);
  if (!probe)
    return 0;
  double best = 0, left = kReading;
  const auto start = Clock::now();
  while (left > 0) {
    best = std::max(best, probe->wholePass(left));
    left = kReading - secondsSince(start);
  }
  return best;
}

double fmaPass(ThreadPool &pool, uint32_t isa) {
  constexpr uint64_t kRounds = 500'000;
  const uint32_t threads = pool.threads();
  const auto chain = isa >= kIsaV4Bf16 ? dotChain : isa >= kIsaV4 ? fmaChainV4 : fmaChainV3;
  const double products = isa >= kIsaV4Bf16 ? 32 : isa >= kIsaV4 ? 16 : 8;
  std::atomic<float> sink{0}; // keeps the sums alive
  const auto start = Clock::now();
  pool.parallelFor(threads, 1, [&](uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; ++i)
      sink = chain(kRounds);
  });
  return 2 * products * kChains * double(kRounds) * threads / secondsSince(start);
}

double measureFmaPeak(ThreadPool &pool, uint32_t isa) {
  constexpr int kPasses = 16;
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass)
    best = std::max(best, fmaPass(pool, isa));
  return best;
}

} // namespace sinter
