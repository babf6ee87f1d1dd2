//===- CpuDevice.cpp ------------------------------------------------------===//
#include "runtime/device/cpu/CpuDevice.h"

#include "runtime/device/cpu/Cpuid.h"
#include "runtime/device/cpu/MachineSpeed.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

namespace sinter {
namespace {

constexpr uint64_t kHugePage = uint64_t(2) << 20;

void unmap(void *data, uint64_t bytes) { munmap(data, bytes); }

CpuDevice &deviceOf(const SinterRt *rt) { return *static_cast<CpuDevice *>(rt->self); }

/// Services of whoever `self` is, none given yet.
SinterRt servicesOf(void *self) {
  SinterRt rt = {};
  rt.size = sizeof rt;
  rt.version = SINTER_ABI_VERSION;
  rt.self = self;
  return rt;
}

/// What a step function's result means; `failure` is what it gave to rt->fail.
Status outcome(int32_t code, const std::string &failure) {
  if (code == 0)
    return Status::ok();
  return internalError("the compiled model cannot run this step: " +
                       (failure.empty() ? "code " + std::to_string(code) : failure));
}

} // namespace

Result<std::unique_ptr<CpuDevice>> CpuDevice::create(const CpuOptions &options) {
  SINTER_ASSIGN_OR_RETURN(const uint32_t best, usableCpuIsa());
  if (options.isa > best)
    return unsupported(cpuIsaName(options.isa) + " asked for, but this processor (" + cpuName() +
                       ") is " + cpuIsaName(best));
  std::unique_ptr<CpuDevice> device(new CpuDevice);
  device->isa_ = options.isa ? options.isa : best;
  device->dataParallel_ = options.dataParallel;
  device->sharedCacheBytes_ =
      options.sharedCacheBytes ? options.sharedCacheBytes : sinter::sharedCacheBytes();
  const uint32_t threads = options.threads ? options.threads : availableCpus();
  SINTER_ASSIGN_OR_RETURN(device->pool_, ThreadPool::create(threads));
  return device;
}

std::string CpuDevice::name() const {
  const uint32_t threads = pool_->threads();
  return cpuName() + ", " + cpuIsaName(isa_) + ", " + std::to_string(threads) +
         (threads == 1 ? " thread" : " threads");
}

uint64_t CpuDevice::freeMemory() const {
  // MemAvailable counts what the page cache would give back; the C library has no call for it.
  std::ifstream info("/proc/meminfo");
  std::string key;
  uint64_t kibibytes = 0;
  while (info >> key >> kibibytes) {
    if (key == "MemAvailable:")
      return kibibytes * 1024;
    info.ignore(64, '\n');
  }
  return uint64_t(sysconf(_SC_AVPHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
}

Result<DeviceMemory> CpuDevice::allocate(uint64_t bytes, MemoryUse) {
  // Huge pages save faults and TLB misses; memory not yet touched costs nothing either way. That
  // holds for the page pool too: the first token of a cache page writes to nearly all of its 4 KiB
  // blocks, one per layer and head.
  const bool huge = bytes >= kHugePage;
  const uint64_t unit = huge ? kHugePage : 4096;
  const uint64_t size = std::max<uint64_t>((bytes + unit - 1) / unit * unit, unit);
  if (size < bytes)
    return resourceExhausted(std::to_string(bytes) + " bytes are more than an address space");
  // With one more huge page, an aligned block of `size` bytes is always inside.
  const uint64_t mapped = huge ? size + kHugePage : size;
  void *base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    return resourceExhausted("cannot allocate " + std::to_string(bytes) +
                             " bytes: " + std::strerror(errno));
  if (!huge)
    return DeviceMemory(base, size, unmap);
  const auto address = reinterpret_cast<uintptr_t>(base);
  const uintptr_t aligned = (address + kHugePage - 1) / kHugePage * kHugePage;
  if (aligned != address)
    munmap(base, aligned - address);
  if (const uint64_t tail = address + mapped - (aligned + size))
    munmap(reinterpret_cast<void *>(aligned + size), tail);
  void *data = reinterpret_cast<void *>(aligned);
  madvise(data, size, MADV_HUGEPAGE); // advice only: without it the memory works as well
  return DeviceMemory(data, size, unmap);
}

Status CpuDevice::fill(void *data, uint32_t word, uint64_t bytes) {
  std::fill_n(static_cast<uint32_t *>(data), bytes / 4, word);
  return Status::ok();
}

Status CpuDevice::upload(void *to, const void *from, uint64_t bytes) {
  std::memcpy(to, from, bytes);
  return Status::ok();
}

Status CpuDevice::download(void *to, const void *from, uint64_t bytes) {
  std::memcpy(to, from, bytes);
  return Status::ok();
}

Status CpuDevice::produce(std::span<const UploadPiece> pieces,
                          const std::function<Status(uint32_t, void *)> &produce) {
  std::atomic<bool> failed{false};
  std::mutex mutex;
  Status error;
  hostParallel(uint32_t(pieces.size()), [&](uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end && !failed; ++i)
      if (Status status = produce(i, pieces[i].destination); !status) {
        const std::lock_guard lock(mutex);
        if (!failed.exchange(true))
          error = std::move(status);
      }
  });
  return error;
}

Result<double> CpuDevice::measureReadBandwidth() { return sinter::measureReadBandwidth(*pool_); }

Result<double> CpuDevice::measureFmaPeak() { return sinter::measureFmaPeak(*pool_, isa_); }

void CpuDevice::hostParallel(uint32_t tasks, const std::function<void(uint32_t, uint32_t)> &body) {
  constexpr uint32_t kSplit = 16;
  pool_->parallelFor(tasks, kSplit, body);
}

/// Runs one launch of a step, `run` being all of it.
template <typename Run> void CpuDevice::launch(const SinterLaunch *launch, Run run) {
  ++launches_;
  if (!profile_)
    return run();
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  run();
  profile_->add(entry_, launch->op,
                uint64_t(std::chrono::nanoseconds(Clock::now() - start).count()));
}

Status CpuDevice::step(SinterStepFn function, SinterModel &model, uint32_t entry,
                       const SinterBatch &batch) {
  SinterRt rt = servicesOf(this);
  rt.parallel_for = [](const SinterRt *rt, SinterKernel kernel, const SinterLaunch *launch,
                       uint32_t tasks) {
    CpuDevice &device = deviceOf(rt);
    device.launch(launch, [&] { device.pool_->parallelFor(kernel, launch, tasks); });
  };
  rt.fail = [](const SinterRt *rt, const char *message) -> int32_t {
    deviceOf(rt).failure_ = message ? message : "no reason given";
    return 1;
  };
  entry_ = entry;
  failure_.clear();
  return outcome(function(&rt, &model, entry, &batch), failure_);
}

/// One of several batches, as the thread that computes it sees the device.
struct CpuDevice::Member {
  CpuDevice *device;
  SinterModel *model;
  const SinterBatch *batch;
  bool speaks; ///< for all in profiles
  void *scratch = nullptr;
  std::string failure = {};
  Status status = {};

  void step(SinterStepFn function, uint32_t entry, void *threadScratch) {
    scratch = threadScratch;
    SinterRt rt = servicesOf(this);
    rt.parallel_for = [](const SinterRt *rt, SinterKernel kernel, const SinterLaunch *launch,
                         uint32_t tasks) {
      const Member &member = *static_cast<const Member *>(rt->self);
      auto run = [&] {
        if (tasks > 0)
          kernel(launch, 0, tasks, member.scratch);
      };
      if (member.speaks)
        member.device->launch(launch, run);
      else
        run();
    };
    rt.fail = [](const SinterRt *rt, const char *message) -> int32_t {
      static_cast<Member *>(rt->self)->failure = message ? message : "no reason given";
      return 1;
    };
    status = outcome(function(&rt, model, entry, batch), failure);
  }
};

Status CpuDevice::stepTogether(SinterStepFn function, std::span<SinterModel> models, uint32_t entry,
                               std::span<const SinterBatch> batches) {
  std::vector<Member> members;
  const auto most = std::max_element(
      batches.begin(), batches.end(),
      [](const SinterBatch &a, const SinterBatch &b) { return a.num_rows < b.num_rows; });
  for (size_t i = 0; i < batches.size(); ++i)
    members.push_back({this, &models[i], &batches[i], &batches[i] == &*most});
  struct Launch : SinterLaunch {
    SinterStepFn function;
    uint32_t entry;
    Member *members;
  } launch = {};
  launch.function = function;
  launch.entry = entry;
  launch.members = members.data();
  entry_ = entry;
  pool_->parallelFor(
      [](const SinterLaunch *launch, uint32_t begin, uint32_t end, void *scratch) {
        const auto &all = *static_cast<const Launch *>(launch);
        for (uint32_t i = begin; i < end; ++i)
          all.members[i].step(all.function, all.entry, scratch);
      },
      &launch, uint32_t(members.size()));
  for (Member &member : members)
    SINTER_RETURN_IF_ERROR(std::move(member.status));
  return Status::ok();
}

} // namespace sinter
