//===- Cpuid.cpp ----------------------------------------------------------===//
#include "runtime/device/cpu/Cpuid.h"

#include <charconv>
#include <cpuid.h>
#include <cstring>
#include <fstream>
#include <sched.h>
#include <sstream>
#include <thread>

namespace sinter {
namespace {

struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers query(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
  return r;
}

bool hasAll(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

/// The register states the operating system saves; AVX without it faults or corrupts.
uint64_t savedStates() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

} // namespace

uint32_t cpuIsa() {
  const Registers basic = query(1);
  const Registers extended = query(7);
  const Registers amd = query(0x80000001);

  constexpr uint32_t kLahf = 1u << 0;
  if (!hasAll(basic.c,
              bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_CMPXCHG16B) ||
      !hasAll(amd.c, kLahf))
    return 1;

  constexpr uint64_t kSavesYmm = 0x6;
  if (!hasAll(basic.c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C | bit_MOVBE) ||
      !hasAll(extended.b, bit_AVX2 | bit_BMI | bit_BMI2) || !hasAll(amd.c, bit_LZCNT) ||
      (savedStates() & kSavesYmm) != kSavesYmm)
    return 2;

  constexpr uint64_t kSavesZmm = 0xe6;
  if (!hasAll(extended.b,
              bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL) ||
      (savedStates() & kSavesZmm) != kSavesZmm)
    return kIsaV3;
  constexpr uint32_t kAvx512Bf16 = 1u << 5;
  return hasAll(query(7, 1).a, kAvx512Bf16) ? kIsaV4Bf16 : kIsaV4;
}

Result<uint32_t> usableCpuIsa() {
  const uint32_t isa = cpuIsa();
  if (isa >= kIsaV3)
    return isa;
  return unsupported("this processor (" + cpuName() + ") is " + cpuIsaName(isa) +
                     "; Sinter needs x86-64-v3 (AVX2, FMA, BMI2, F16C) at least");
}

std::string cpuName() {
  if (query(0x80000000).a < 0x80000004)
    return "unknown processor";
  char name[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = query(0x80000002 + i);
    std::memcpy(name + 16 * i, &r, 16);
  }
  std::string text(name);
  const size_t first = text.find_first_not_of(' ');
  const size_t last = text.find_last_not_of(' ');
  return first == std::string::npos ? "unknown processor" : text.substr(first, last - first + 1);
}

uint32_t availableCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return uint32_t(CPU_COUNT(&set));
  const uint32_t count = std::thread::hardware_concurrency();
  return count ? count : 1; // more than CPU_SETSIZE processors: the mask does not fit
}

/// Takes the processors of a list like "0-3,8" out of a set.
static void removeListed(const std::string &list, cpu_set_t &set) {
  std::istringstream ranges(list);
  for (std::string range; std::getline(ranges, range, ',');) {
    unsigned first = 0;
    const char *end = range.data() + range.size();
    const auto [next, error] = std::from_chars(range.data(), end, first);
    unsigned last = first;
    if (error != std::errc() ||
        (next != end && std::from_chars(next + 1, end, last).ec != std::errc()))
      continue;
    for (unsigned cpu = first; cpu <= last && cpu < CPU_SETSIZE; ++cpu)
      CPU_CLR(cpu, &set);
  }
}

uint64_t sharedCacheBytes(const std::string &root) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    return 0;
  unsigned first = 0;
  while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &set))
    ++first;
  for (int index = 0;; ++index) {
    const std::string cache =
        root + "/cpu" + std::to_string(first) + "/cache/index" + std::to_string(index) + "/";
    int level = 0;
    if (!(std::ifstream(cache + "level") >> level))
      return 0;
    if (level != 3)
      continue;
    uint64_t kibibytes = 0;
    std::string list;
    std::ifstream(cache + "size") >> kibibytes; // "32768K"
    std::ifstream(cache + "shared_cpu_list") >> list;
    removeListed(list, set);
    return CPU_COUNT(&set) == 0 ? kibibytes * 1024 : 0;
  }
}

} // namespace sinter
