//===- ProfileTable.cpp ---------------------------------------------------===//
#include "ProfileTable.h"

#include "Quantity.h"
#include "TextFormat.h"

#include "runtime/model/Occupancy.h"

#include <algorithm>
#include <map>
#include <utility>

namespace sinter {
namespace {

/// One line of the profile: launches of one kind.
struct ProfileRow {
  uint64_t calls = 0;
  uint64_t nanoseconds = 0;
  StepCost cost;
  const OpPlan *launch = nullptr; ///< the first; none in a sum
};

std::string lastPart(const std::string &name) { return name.substr(name.rfind('.') + 1); }

std::string formatRow(const std::string &name, const ProfileRow &row, const DeviceSpeed &device) {
  const double seconds = double(row.nanoseconds) * 1e-9;
  const double floor =
      std::max(device.readBandwidth > 0 ? double(row.cost.bytes) / device.readBandwidth : 0,
               device.fmaPeak > 0 ? double(row.cost.flops) / device.fmaPeak : 0);
  const double calls = double(std::max<uint64_t>(row.calls, 1));
  const bool known = seconds > 0 && device.readBandwidth > 0;
  return format("%-34s %7llu %10.2f %9s %8.1f %8.1f %7s %%", name.c_str(),
                static_cast<unsigned long long>(row.calls), seconds * 1e6 / calls,
                formatBytes(double(row.cost.bytes) / calls).c_str(),
                seconds > 0 ? double(row.cost.bytes) / seconds * 1e-9 : 0,
                seconds > 0 ? double(row.cost.flops) / seconds * 1e-9 : 0,
                known ? format("%.0f", 100 * floor / seconds).c_str() : "?");
}

constexpr const char *kGpuHeader = "   CTAs  regs   shared  CTAs/SM  occupancy   SMs";

/// What a launch makes of a GPU: CTAs, registers and shared memory of one, how many fit a
/// multiprocessor, the share of its warps that they are, and of the multiprocessors that have work.
std::string gpuColumns(const OpPlan &op, const Manifest &manifest) {
  const KernelPlan &kernel = manifest.kernels[op.kernel];
  const std::string isa = manifest.isas.empty() ? "" : manifest.isas.front();
  const Occupancy occupancy = occupancyOf(kernel, isa);
  const uint32_t shared = kernel.sharedBytes + kernel.staticSharedBytes;
  if (occupancy.ctasPerSm == 0)
    return format(" %6u     ? %8u        ?          ?     ?", op.grid, shared);
  return format(" %6u %5u %8u %8u %8.0f %% %3.0f %%", op.grid, kernel.registers, shared,
                occupancy.ctasPerSm, 100 * occupancy.warps,
                100 * busyMultiprocessors(op.grid, occupancy, isa));
}

std::string entryTable(const EntryPlan &entry, const std::vector<LaunchTiming> &timings,
                       const std::vector<StepCost> &costs, const DeviceSpeed &device,
                       const Manifest &manifest) {
  const bool gpu = manifest.target == kCudaTarget;
  std::map<std::string, ProfileRow> rows;
  ProfileRow total;
  for (size_t i = 0; i < timings.size() && i < entry.schedule.size() && i < costs.size(); ++i) {
    const OpPlan &op = entry.schedule[i];
    for (ProfileRow *row : {&rows[op.op + " " + lastPart(op.name)], &total}) {
      row->calls += timings[i].calls;
      row->nanoseconds += timings[i].nanoseconds;
      row->cost.bytes += costs[i].bytes;
      row->cost.flops += costs[i].flops;
      if (row != &total && !row->launch)
        row->launch = &op;
    }
  }
  std::vector<std::pair<std::string, ProfileRow>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) {
    return a.second.nanoseconds > b.second.nanoseconds;
  });
  const uint64_t steps = timings.empty() ? 0 : timings[0].calls;
  std::string text = format("%s, %llu step%s\n", entry.name.c_str(),
                            static_cast<unsigned long long>(steps), steps == 1 ? "" : "s");
  text += format("%-34s %7s %10s %9s %8s %8s %9s%s\n", "op", "calls", "us", "bytes", "GB/s",
                 "GFLOP/s", "of peak", gpu ? kGpuHeader : "");
  for (const auto &[name, row] : sorted)
    text += formatRow(name, row, device) + (gpu ? gpuColumns(*row.launch, manifest) : "") + "\n";
  total.calls = steps;
  return text + formatRow("the whole step", total, device) + "\n";
}

} // namespace

std::string profileTable(const Profile &profile, const Manifest &manifest,
                         const DeviceSpeed &device) {
  std::string text;
  const auto &entries = profile.timings.entries();
  for (size_t i = 0; i < entries.size() && i < profile.costs.size(); ++i)
    if (!entries[i].empty())
      text += (text.empty() ? "" : "\n") +
              entryTable(manifest.entries[i], entries[i], profile.costs[i], device, manifest);
  return text;
}

} // namespace sinter
