//===- FakeCuda.cpp -------------------------------------------------------===//
#include "test/runtime/fake/cuda/FakeCuda.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <sstream>
#include <sys/mman.h>

namespace sinter::cuda {

using Work = std::function<Code()>;

struct GraphHandle {
  std::vector<Work> work;
};
struct GraphExecHandle {
  std::vector<Work> work;
};
struct StreamHandle {
  std::vector<Work> queue;
  bool capturing = false;
  Code captureError = kSuccess;
  std::vector<Work> captured;
};
struct EventHandle {
  bool pending = false;
  bool asked = false; ///< the first question after a record finds the work unfinished
  double microseconds = 0;
  Stream stream = nullptr;
};
struct ModuleHandle {
  std::map<std::string, std::unique_ptr<FunctionHandle>> functions;
};
struct FunctionHandle {
  std::string name;
  const fake::FakeKernel *kernel = nullptr;
};
struct ContextHandle {};

} // namespace sinter::cuda

namespace {

using namespace sinter::cuda;
using namespace sinter::fake;

constexpr Code kStreamCaptureUnsupported = 900;
constexpr Code kLaunchOutOfResources = 701;
constexpr Code kInvalidDevice = 101;
constexpr uint64_t kLargest = uint64_t(256) << 20; ///< blocks above have no bytes behind them

struct Block {
  uint64_t bytes = 0;
  uint8_t *data = nullptr; ///< of pinned memory the address itself
};

struct Driver : DeviceView {
  std::recursive_mutex mutex;
  std::map<std::string, std::string> config;
  std::map<DevicePointer, Block> blocks;
  CudaCounters counters = {};
  uint64_t allocated = 0, allocations = 0;
  uint64_t faultless = 0; ///< runs of the kernel that will fault
  double clock = 0;
  Code dead = kSuccess;
  int captures = 0; ///< streams that are capturing
  ContextHandle context;

  void configure(const char *text) {
    config.clear();
    counters = {0, 0, 0, 0, 0, 0, 0, counters.blocks};
    allocations = faultless = 0;
    dead = kSuccess;
    std::stringstream parts(text ? text : "");
    for (std::string part; std::getline(parts, part, ',');)
      config[part.substr(0, part.find('='))] = part.substr(part.find('=') + 1);
  }
  std::string text(const char *key) const {
    const auto found = config.find(key);
    return found == config.end() ? "" : found->second;
  }
  uint64_t number(const char *key, uint64_t fallback) const override {
    const std::string value = text(key);
    return value.empty() ? fallback : std::stoull(value);
  }
  uint64_t total() const { return number("memory", uint64_t(2) << 30); }
  uint64_t free() const {
    const uint64_t used = allocated + (allocations > 0 ? number("take", 0) : 0);
    return used < total() ? total() - used : 0;
  }

  uint8_t *bytes(DevicePointer address, uint64_t count) override {
    auto found = blocks.upper_bound(address);
    if (found == blocks.begin())
      throw Fault();
    --found;
    const uint64_t offset = address - found->first;
    if (offset > found->second.bytes || count > found->second.bytes - offset)
      throw Fault();
    return found->second.data + offset;
  }
  bool hasBytes(DevicePointer address) {
    const auto found = blocks.upper_bound(address);
    return found != blocks.begin() && std::prev(found)->second.data;
  }
};

Driver &state() {
  static Driver driver;
  return driver;
}

using Lock = std::lock_guard<std::recursive_mutex>;
#define LOCK const Lock lock(state().mutex)

/// Runs what waits on a stream. An error kills the context, as on a GPU.
/// Does what was pushed, or no more of it than until `event` has passed.
Code drain(Stream stream, const EventHandle *event = nullptr) {
  Driver &d = state();
  while (!stream->queue.empty() && d.dead == kSuccess && (!event || event->pending)) {
    const Work work = std::move(stream->queue.front());
    stream->queue.erase(stream->queue.begin());
    try {
      d.dead = work();
    } catch (const Fault &) {
      d.dead = kIllegalAddress;
    }
  }
  return d.dead;
}

/// The context that the calling thread works with, as every thread has to say itself.
thread_local Context current = nullptr;

Code push(Stream stream, Work work) {
  if (!current)
    return kInvalidContext;
  if (state().dead != kSuccess)
    return state().dead;
  (stream->capturing ? stream->captured : stream->queue).push_back(std::move(work));
  return kSuccess;
}

/// What a capture does not allow ends it.
Code refuseInCapture(Stream stream) {
  stream->captureError = kStreamCaptureUnsupported;
  return kStreamCaptureUnsupported;
}

Code runKernel(const FunctionHandle &function, const Parameters &parameters) {
  Driver &d = state();
  if (d.text("fault") == function.name && d.faultless++ >= d.number("fault-after", 0))
    throw Fault();
  ++d.counters.kernels;
  d.clock += 10;
  function.kernel->run(d, parameters);
  return kSuccess;
}

Parameters readParameters(const FakeKernel &kernel, void **raw) {
  Parameters parameters;
  for (size_t i = 0; i < kernel.layout.size(); ++i)
    if (kernel.layout[i] == 'u')
      parameters.push_back(*static_cast<const uint32_t *>(raw[i]));
    else // the fake tensor map begins with its address
      parameters.push_back(*static_cast<const DevicePointer *>(raw[i]));
  return parameters;
}

} // namespace

extern "C" {

void sinter_fake_configure(const char *text) {
  LOCK;
  state().configure(text);
}

CudaCounters sinter_fake_counters() {
  LOCK;
  return state().counters;
}

Code cuGetErrorName(Code code, const char **name) {
  *name = code == kOutOfMemory                ? "CUDA_ERROR_OUT_OF_MEMORY"
          : code == kIllegalAddress           ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : code == kLaunchOutOfResources     ? "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
          : code == kNotFound                 ? "CUDA_ERROR_NOT_FOUND"
          : code == kStreamCaptureUnsupported ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
                                              : nullptr;
  return kSuccess;
}

Code cuGetErrorString(Code code, const char **text) {
  *text = code == kOutOfMemory            ? "out of memory"
          : code == kIllegalAddress       ? "an illegal memory access was encountered"
          : code == kLaunchOutOfResources ? "too many resources requested for launch"
          : code == kNotFound             ? "named symbol not found"
                                          : nullptr;
  return kSuccess;
}

Code cuInit(unsigned) {
  LOCK;
  const char *text = std::getenv("SINTER_FAKE_CUDA");
  state().configure(text);
  return state().number("devices", 1) == 0 ? kNoDevice : kSuccess;
}

Code cuDriverGetVersion(int *version) {
  const char *text = std::getenv("SINTER_FAKE_CUDA"); // asked for before cuInit
  state().configure(text);
  *version = int(state().number("version", 12040));
  return kSuccess;
}

Code cuDeviceGetCount(int *count) {
  *count = int(state().number("devices", 1));
  return kSuccess;
}

Code cuDeviceGet(DeviceNumber *device, int ordinal) {
  *device = ordinal;
  return ordinal < int(state().number("devices", 1)) ? kSuccess : kInvalidDevice;
}

Code cuDeviceGetName(char *name, int size, DeviceNumber) {
  std::strncpy(name, "Fake GPU", size_t(size));
  return kSuccess;
}

Code cuDeviceGetAttribute(int *value, int attribute, DeviceNumber) {
  const int capability = int(state().number("capability", 90));
  *value = attribute == kCapabilityMajor          ? capability / 10
           : attribute == kCapabilityMinor        ? capability % 10
           : attribute == kMaxSharedPerBlockOptin ? 232448
           : attribute == kMultiprocessorCount    ? 4
                                                  : 0;
  return kSuccess;
}

Code cuDevicePrimaryCtxRetain(Context *context, DeviceNumber) {
  *context = &state().context;
  return kSuccess;
}
Code cuDevicePrimaryCtxRelease_v2(DeviceNumber) {
  LOCK;
  return state().dead;
}
Code cuCtxSetCurrent(Context context) {
  LOCK;
  current = context;
  return state().dead;
}

Code cuMemGetInfo_v2(size_t *free, size_t *total) {
  LOCK;
  *free = state().free();
  *total = state().total();
  return state().dead;
}

Code cuMemAlloc_v2(DevicePointer *address, size_t bytes) {
  if (!current)
    return kInvalidContext;
  LOCK;
  Driver &d = state();
  if (d.dead || d.captures > 0)
    return d.dead ? d.dead : kStreamCaptureUnsupported;
  if (++d.allocations == d.number("fail-alloc", 0) || bytes > d.free())
    return kOutOfMemory;
  void *reserved = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED)
    return kOutOfMemory;
  Block block;
  block.bytes = bytes;
  if (bytes <= kLargest) {
    block.data = static_cast<uint8_t *>(std::malloc(bytes));
    std::memset(block.data, 0xab, bytes); // memory comes with what was there before
  }
  *address = reinterpret_cast<DevicePointer>(reserved);
  d.blocks[*address] = block;
  d.allocated += bytes;
  ++d.counters.blocks;
  return kSuccess;
}

Code cuMemFree_v2(DevicePointer address) {
  LOCK;
  Driver &d = state();
  const auto found = d.blocks.find(address);
  if (found == d.blocks.end())
    return kInvalidValue;
  munmap(reinterpret_cast<void *>(address), found->second.bytes);
  std::free(found->second.data);
  d.allocated -= found->second.bytes;
  d.blocks.erase(found);
  --d.counters.blocks;
  return d.dead;
}

Code cuMemHostAlloc(void **data, size_t bytes, unsigned) {
  if (!current)
    return kInvalidContext;
  LOCK;
  if (state().dead || state().captures > 0)
    return state().dead ? state().dead : kStreamCaptureUnsupported;
  *data = std::malloc(bytes);
  state().blocks[reinterpret_cast<DevicePointer>(*data)] = {bytes, static_cast<uint8_t *>(*data)};
  ++state().counters.blocks;
  return kSuccess;
}

Code cuMemFreeHost(void *data) {
  LOCK;
  state().blocks.erase(reinterpret_cast<DevicePointer>(data));
  std::free(data);
  --state().counters.blocks;
  return state().dead;
}

Code cuMemcpyHtoDAsync_v2(DevicePointer to, const void *from, size_t bytes, Stream stream) {
  LOCK;
  if (stream->capturing)
    return refuseInCapture(stream);
  return push(stream, [=] {
    ++state().counters.copiesToDevice;
    std::copy_n(static_cast<const uint8_t *>(from), bytes,
                state().bytes(to, bytes)); // perhaps none
    return kSuccess;
  });
}

Code cuMemcpyDtoHAsync_v2(void *to, DevicePointer from, size_t bytes, Stream stream) {
  LOCK;
  if (stream->capturing)
    return refuseInCapture(stream);
  return push(stream, [=] {
    ++state().counters.copiesToHost;
    std::copy_n(state().bytes(from, bytes), bytes, static_cast<uint8_t *>(to)); // perhaps none
    return kSuccess;
  });
}

Code cuMemsetD32Async(DevicePointer to, unsigned word, size_t words, Stream stream) {
  LOCK;
  return push(stream, [=] {
    if (words == 0 || !state().hasBytes(to))
      return kSuccess;
    auto *data = state().bytes(to, words * sizeof word);
    for (size_t i = 0; i < words; ++i)
      std::memcpy(data + i * sizeof word, &word, sizeof word);
    return kSuccess;
  });
}

Code cuStreamCreate(Stream *stream, unsigned) {
  *stream = new StreamHandle;
  return state().dead;
}
Code cuStreamDestroy_v2(Stream stream) {
  delete stream;
  return kSuccess;
}

Code cuStreamSynchronize(Stream stream) {
  LOCK;
  return stream->capturing ? refuseInCapture(stream) : drain(stream);
}

Code cuStreamBeginCapture_v2(Stream stream, int) {
  LOCK;
  stream->capturing = true;
  stream->captureError = kSuccess;
  stream->captured.clear();
  ++state().captures;
  return state().dead;
}

Code cuStreamEndCapture(Stream stream, Graph *graph) {
  LOCK;
  stream->capturing = false;
  --state().captures;
  *graph = stream->captureError ? nullptr : new GraphHandle{stream->captured};
  return stream->captureError;
}

Code cuEventCreate(Event *event, unsigned) {
  *event = new EventHandle;
  return state().dead;
}
Code cuEventDestroy_v2(Event event) {
  delete event;
  return kSuccess;
}

Code cuEventRecordWithFlags(Event event, Stream stream, unsigned flags) {
  LOCK;
  if (stream->capturing && flags != kEventRecordExternal)
    return refuseInCapture(stream);
  if (!stream->capturing) {
    event->pending = true;
    event->asked = false;
    event->stream = stream;
  }
  return push(stream, [event] {
    event->pending = false;
    event->microseconds = state().clock;
    return kSuccess;
  });
}

Code cuEventQuery(Event event) {
  LOCK;
  if (!event->pending)
    return state().dead;
  if (!event->asked) {
    event->asked = true;
    return kNotReady;
  }
  return drain(event->stream, event);
}

Code cuEventSynchronize(Event event) {
  LOCK;
  return event->pending ? drain(event->stream, event) : state().dead;
}

Code cuStreamWaitEvent(Stream stream, Event event, unsigned) {
  LOCK;
  if (stream->capturing)
    return refuseInCapture(stream);
  return push(stream,
              [event] { return event->pending ? drain(event->stream, event) : state().dead; });
}

Code cuEventElapsedTime(float *milliseconds, Event begin, Event end) {
  LOCK;
  if (begin->pending || end->pending)
    return kNotReady;
  *milliseconds = float((end->microseconds - begin->microseconds) * 1e-3);
  return state().dead;
}

Code cuModuleLoadDataEx(Module *module, const void *image, unsigned count, JitOption *options,
                        void **values) {
  LOCK;
  const std::string text(static_cast<const char *>(image));
  const bool cubin = text.rfind("CUBIN", 0) == 0;
  if (cubin && state().number("foreign-cubin", 0))
    return kNoBinaryForGpu;
  if (!cubin && state().number("old-ptx", 0))
    return kUnsupportedPtxVersion;
  if (!cubin && state().number("bad-ptx", 0)) {
    for (unsigned i = 0; i < count; ++i)
      if (options[i] == kJitErrorLog)
        std::strcpy(static_cast<char *>(values[i]), "ptxas line 3: no such thing\nand more");
    return kInvalidPtx;
  }
  auto loaded = std::make_unique<ModuleHandle>();
  const std::string mark = ".entry ";
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) {
    at += mark.size();
    const std::string name = text.substr(at, text.find_first_of("(\n", at) - at);
    const auto kernel = fakeKernels().find(name);
    if (kernel == fakeKernels().end() && state().number("any-kernel", 0))
      continue; // found when it is asked for
    if (kernel == fakeKernels().end())
      return kInvalidImage;
    loaded->functions[name].reset(new FunctionHandle{name, &kernel->second});
  }
  *module = loaded.release();
  return state().dead;
}

Code cuModuleUnload(Module module) {
  delete module;
  return state().dead;
}

Code cuModuleGetFunction(Function *function, Module module, const char *name) {
  auto found = module->functions.find(name);
  if (found == module->functions.end() && state().number("any-kernel", 0)) {
    static const FakeKernel nothing = {"", [](DeviceView &, const Parameters &) {}};
    found = module->functions.emplace(name, new FunctionHandle{name, &nothing}).first;
  }
  if (found == module->functions.end())
    return kNotFound;
  *function = found->second.get();
  return kSuccess;
}

Code cuFuncGetAttribute(int *value, int attribute, Function) {
  *value = attribute == kMaxThreadsPerBlock ? 1024 : 0;
  return state().dead;
}
Code cuFuncSetAttribute(Function, int, int) { return state().dead; }

Code cuLaunchKernelEx(const LaunchConfig *config, Function function, void **parameters, void **) {
  LOCK;
  Driver &d = state();
  const bool valid = config->gridX > 0 && config->gridY == 1 && config->gridZ == 1 &&
                     config->blockX > 0 && config->blockX <= 1024 && config->blockY == 1 &&
                     config->blockZ == 1;
  if (!valid)
    return kInvalidValue;
  if (d.text("fail-launch") == function->name)
    return kLaunchOutOfResources;
  ++d.counters.launches;
  for (unsigned i = 0; i < config->numAttributes; ++i)
    d.counters.programmatic += config->attributes[i].id == kProgrammaticSerialization;
  return push(config->stream, [function, values = readParameters(*function->kernel, parameters)] {
    return runKernel(*function, values);
  });
}

Code cuGraphInstantiateWithFlags(GraphExec *executable, Graph graph, uint64_t) {
  LOCK;
  ++state().counters.graphs;
  *executable = new GraphExecHandle{graph->work};
  return state().dead;
}

Code cuGraphLaunch(GraphExec executable, Stream stream) {
  LOCK;
  ++state().counters.graphLaunches;
  Code code = kSuccess;
  for (const Work &work : executable->work)
    if (code == kSuccess)
      code = push(stream, work);
  return code;
}

Code cuGraphDestroy(Graph graph) {
  delete graph;
  return kSuccess;
}
Code cuGraphExecDestroy(GraphExec executable) {
  delete executable;
  return kSuccess;
}

Code cuTensorMapEncodeTiled(TensorMap *map, int dtype, uint32_t rank, void *address,
                            const uint64_t *extents, const uint64_t *strides, const uint32_t *box,
                            const uint32_t *, int, int swizzle, int, int) {
  const auto where = reinterpret_cast<uintptr_t>(address);
  bool valid = (dtype == kTensorMapBfloat16 || dtype == kTensorMapFloat16) && where % 16 == 0 &&
               box[0] * 2 == 128 && swizzle == kTensorMapSwizzle128B;
  if (rank == 2) // rows
    valid = valid && strides[0] == extents[0] * 2;
  else // groups of eight rows in panels of 64 columns
    valid = valid && rank == 4 && extents[0] == 64 && extents[1] == 8 && box[1] == 8 &&
            strides[0] == extents[2] * 128 && strides[1] == 128 && strides[2] == strides[0] * 8;
  for (uint32_t i = 0; i < rank; ++i)
    valid = valid && extents[i] > 0 && extents[i] <= uint64_t(1) << 32 && box[i] > 0 &&
            box[i] <= 256 && (i == 0 || (strides[i - 1] % 16 == 0 && strides[i - 1] < 1ull << 40));
  map->opaque[0] = where;
  return valid ? kSuccess : kInvalidValue;
}

} // extern "C"
