//===- Occupancy.cpp ------------------------------------------------------===//
#include "runtime/model/Occupancy.h"

#include <algorithm>

namespace sinter {

namespace {

struct Multiprocessor {
  std::string_view isa;
  uint32_t count; ///< on the chip
  uint32_t warps, ctas, sharedBytes;
};

constexpr uint32_t kWarp = 32, kRegisters = 65536, kKibi = 1024;
constexpr uint32_t kRegisterUnit = 256;         ///< a warp is given registers by as many
constexpr uint32_t kReservedShared = kKibi;     ///< of every CTA, for the driver
constexpr Multiprocessor kMultiprocessors[] = { //
    {"sm_80", 108, 64, 32, 164 * kKibi},
    {"sm_86", 84, 48, 16, 100 * kKibi},
    {"sm_89", 128, 48, 24, 100 * kKibi},
    {"sm_90", 132, 64, 32, 228 * kKibi},
    {"sm_90a", 132, 64, 32, 228 * kKibi}};

const Multiprocessor *find(std::string_view isa) {
  const auto *found =
      std::find_if(std::begin(kMultiprocessors), std::end(kMultiprocessors),
                   [&](const Multiprocessor &candidate) { return candidate.isa == isa; });
  return found == std::end(kMultiprocessors) ? nullptr : found;
}

uint32_t roundUp(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

} // namespace

Occupancy occupancyOf(const KernelPlan &kernel, std::string_view isa) {
  const Multiprocessor *sm = find(isa);
  if (!sm || kernel.registers == 0 || kernel.threads == 0)
    return {};
  const uint32_t warps = roundUp(kernel.threads, kWarp) / kWarp;
  const uint32_t registersOfWarp = roundUp(kernel.registers * kWarp, kRegisterUnit);
  const uint32_t shared = kernel.sharedBytes + kernel.staticSharedBytes + kReservedShared;
  const uint32_t ctas = std::min({sm->ctas, sm->warps / warps, kRegisters / registersOfWarp / warps,
                                  sm->sharedBytes / shared});
  return {ctas, double(ctas * warps) / sm->warps};
}

double busyMultiprocessors(uint32_t ctas, const Occupancy &occupancy, std::string_view isa) {
  const Multiprocessor *sm = find(isa);
  if (!sm || occupancy.ctasPerSm == 0 || ctas == 0)
    return 0;
  const uint32_t atOnce = occupancy.ctasPerSm * sm->count;
  const uint32_t full = ctas / atOnce, rest = ctas % atOnce;
  const double busy = double(full) * sm->count + std::min(rest, sm->count);
  return busy / (double(full + (rest > 0)) * sm->count);
}

} // namespace sinter
