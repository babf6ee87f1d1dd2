//===- GpuSpeed.cpp -------------------------------------------------------===//
#include "runtime/device/cuda/GpuSpeed.h"

#include "runtime/device/cuda/KernelTable.h"

#include <algorithm>

namespace sinter::cuda {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint32_t kCtasPerSm = 8;
constexpr uint32_t kLoads = 8; ///< 16-byte loads of a thread in flight; the PTX has as many

/// sinter_read(data, rounds, sink): the grid reads kLoads times 16 bytes per thread in each round,
/// neighbouring threads neighbouring bytes. The words are combined and stored when they make a
/// value that they do not make, which keeps the loads alive.
constexpr const char *kReadKernel = R"(.version 7.0
.target sm_80
.address_size 64
.visible .entry sinter_read(.param .u64 data, .param .u32 rounds, .param .u64 sink)
.maxntid 256, 1, 1
{
  .reg .pred %p;
  .reg .b32 %i, %n, %t, %sum, %round;
  .reg .b32 %a<32>;
  .reg .b64 %at, %stride, %out, %q<8>;
  ld.param.u64 %at, [data];
  ld.param.u32 %round, [rounds];
  ld.param.u64 %out, [sink];
  cvta.to.global.u64 %at, %at;
  cvta.to.global.u64 %out, %out;
  mov.u32 %i, %ctaid.x;
  mov.u32 %n, %ntid.x;
  mov.u32 %t, %tid.x;
  mad.lo.u32 %i, %i, %n, %t;
  mul.wide.u32 %q0, %i, 16;
  add.u64 %at, %at, %q0;
  mov.u32 %t, %nctaid.x;
  mul.lo.u32 %n, %n, %t;
  mul.wide.u32 %stride, %n, 16;
  mov.u32 %sum, 0;
ROUND:
  add.u64 %q1, %at, %stride;
  add.u64 %q2, %q1, %stride;
  add.u64 %q3, %q2, %stride;
  add.u64 %q4, %q3, %stride;
  add.u64 %q5, %q4, %stride;
  add.u64 %q6, %q5, %stride;
  add.u64 %q7, %q6, %stride;
  ld.global.nc.v4.u32 {%a0, %a1, %a2, %a3}, [%at];
  ld.global.nc.v4.u32 {%a4, %a5, %a6, %a7}, [%q1];
  ld.global.nc.v4.u32 {%a8, %a9, %a10, %a11}, [%q2];
  ld.global.nc.v4.u32 {%a12, %a13, %a14, %a15}, [%q3];
  ld.global.nc.v4.u32 {%a16, %a17, %a18, %a19}, [%q4];
  ld.global.nc.v4.u32 {%a20, %a21, %a22, %a23}, [%q5];
  ld.global.nc.v4.u32 {%a24, %a25, %a26, %a27}, [%q6];
  ld.global.nc.v4.u32 {%a28, %a29, %a30, %a31}, [%q7];
  add.u64 %at, %q7, %stride;
COMBINE
  sub.u32 %round, %round, 1;
  setp.ne.u32 %p, %round, 0;
  @%p bra ROUND;
  setp.eq.u32 %p, %sum, 0x9e3779b9;
  @%p st.global.u32 [%out], %sum;
  ret;
}
)";

/// The kernel's text with its run of additions written out.
std::string readKernel() {
  std::string text = kReadKernel, sums;
  for (uint32_t i = 0; i < 4 * kLoads; ++i)
    sums += "  add.u32 %sum, %sum, %a" + std::to_string(i) + ";\n";
  const std::string mark = "COMBINE\n";
  return text.replace(text.find(mark), mark.size(), sums);
}

struct ReadJob {
  Function function;
  DevicePointer data;
  uint32_t rounds;
  uint32_t ctas;

  Status start(Stream stream) {
    void *parameters[] = {&data, &rounds, &data};
    LaunchConfig config = {};
    config.gridX = ctas;
    config.blockX = kThreads;
    config.gridY = config.gridZ = config.blockY = config.blockZ = 1;
    config.stream = stream;
    SINTER_CUDA_RETURN_IF_ERROR(driver().launchKernel(&config, function, parameters, nullptr),
                                "cannot measure the GPU's read bandwidth");
    return Status::ok();
  }
};

} // namespace

Result<double> measureGpuReadBandwidth(const Gpu &gpu, Stream stream) {
  constexpr uint64_t kMost = uint64_t(2) << 30, kLeast = uint64_t(512) << 20;
  constexpr int kPasses = 20;
  const std::string what = "cannot measure the GPU's read bandwidth";
  size_t free = 0, total = 0;
  SINTER_CUDA_RETURN_IF_ERROR(driver().memGetInfo(&free, &total), what);
  if (free < 2 * kLeast)
    return 0.0;
  const std::string text = readKernel();
  SINTER_ASSIGN_OR_RETURN(const OwnedModule module, loadPtx(text.c_str()));
  ReadJob job = {};
  SINTER_CUDA_RETURN_IF_ERROR(
      driver().moduleGetFunction(&job.function, module.get(), "sinter_read"), what);
  job.ctas = gpu.multiprocessors() * kCtasPerSm;
  const uint64_t roundBytes = uint64_t(job.ctas) * kThreads * kLoads * 16;
  const uint64_t wanted = std::min<uint64_t>(free / 2, kMost);
  job.rounds = uint32_t(std::max<uint64_t>(wanted / roundBytes, 1));
  const uint64_t bytes = job.rounds * roundBytes;
  SINTER_ASSIGN_OR_RETURN(const DeviceBlock memory, makeDeviceBlock(bytes));
  job.data = memory.get();
  SINTER_CUDA_RETURN_IF_ERROR(driver().fillWords(job.data, 1, bytes / 4, stream), what);
  std::vector<OwnedEvent> events;
  for (int pass = 0; pass <= kPasses; ++pass) {
    SINTER_ASSIGN_OR_RETURN(OwnedEvent event, makeEvent(0));
    events.push_back(std::move(event));
  }
  for (int pass = 0; pass <= kPasses; ++pass) {
    if (pass > 0)
      SINTER_RETURN_IF_ERROR(job.start(stream));
    SINTER_CUDA_RETURN_IF_ERROR(driver().eventRecord(events[size_t(pass)].get(), stream, 0), what);
  }
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamSynchronize(stream), what);
  double best = 0;
  for (int pass = 1; pass <= kPasses; ++pass) {
    float milliseconds = 0;
    SINTER_CUDA_RETURN_IF_ERROR(driver().eventElapsed(&milliseconds, events[size_t(pass) - 1].get(),
                                                      events[size_t(pass)].get()),
                                what);
    if (milliseconds > 0)
      best = std::max(best, double(bytes) / (double(milliseconds) * 1e-3));
  }
  return best;
}

} // namespace sinter::cuda
