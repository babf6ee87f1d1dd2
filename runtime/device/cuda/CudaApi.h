//===- CudaApi.h - the part of the CUDA driver API that is used -*- C++ -*-===//
//
// Own declarations, so that building needs no CUDA toolkit; names, values and layouts are those of
// the driver's stable binary interface. CudaDriver.h finds the functions at run time.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstddef>
#include <cstdint>

namespace sinter::cuda {

using Code = int; ///< CUresult
using DevicePointer = unsigned long long;
using DeviceNumber = int;
using Context = struct ContextHandle *;
using Stream = struct StreamHandle *;
using Event = struct EventHandle *;
using Module = struct ModuleHandle *;
using Function = struct FunctionHandle *;
using Graph = struct GraphHandle *;
using GraphExec = struct GraphExecHandle *;

enum : Code {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kStubLibrary = 34,
  kDeviceUnavailable = 46,
  kNoDevice = 100,
  kInvalidImage = 200,
  kInvalidContext = 201,
  kNoBinaryForGpu = 209,
  kEccUncorrectable = 214,
  kInvalidPtx = 218,
  kNvlinkUncorrectable = 220,
  kJitCompilerNotFound = 221,
  kUnsupportedPtxVersion = 222,
  kContained = 226,
  kNotFound = 500,
  kNotReady = 600,
  kIllegalAddress = 700,
  kLaunchTimeout = 702,
  kAssert = 710,
  kHardwareStackError = 714,
  kIllegalInstruction = 715,
  kMisalignedAddress = 716,
  kInvalidAddressSpace = 717,
  kInvalidPc = 718,
  kLaunchFailed = 719
};

enum DeviceAttribute : int {
  kMultiprocessorCount = 16,
  kCapabilityMajor = 75,
  kCapabilityMinor = 76,
  kMaxSharedPerBlockOptin = 97
};

enum FunctionAttribute : int {
  kMaxThreadsPerBlock = 0,
  kStaticSharedBytes = 1,
  kMaxDynamicSharedBytes = 8,
  kNonPortableClusterAllowed = 14
};

enum JitOption : int { kJitErrorLog = 5, kJitErrorLogBytes = 6 };

constexpr unsigned kStreamNonBlocking = 1;
constexpr unsigned kEventBlockingSync = 1;
constexpr unsigned kEventDisableTiming = 2;
constexpr unsigned kEventRecordExternal = 1; ///< in a capture: becomes a node of the graph
constexpr unsigned kHostAllocPortable = 1;
constexpr unsigned kHostAllocDeviceMap = 2;
constexpr int kCaptureThreadLocal = 1;

/// CUlaunchAttribute; the driver's union of values is `value`, whose first words are used.
struct LaunchAttribute {
  int id;
  int padding;
  unsigned value[16]; ///< the cluster's x, y, z; or whether serialization is programmatic
};
constexpr int kClusterDimension = 4;
constexpr int kProgrammaticSerialization = 6;
static_assert(sizeof(LaunchAttribute) == 72);

/// CUlaunchConfig
struct LaunchConfig {
  unsigned gridX, gridY, gridZ;
  unsigned blockX, blockY, blockZ;
  unsigned sharedBytes;
  Stream stream;
  LaunchAttribute *attributes;
  unsigned numAttributes;
};

/// CUtensorMap
struct alignas(128) TensorMap {
  uint64_t opaque[16];
};

constexpr int kTensorMapFloat16 = 6;
constexpr int kTensorMapBfloat16 = 9;
constexpr int kTensorMapInterleaveNone = 0;
constexpr int kTensorMapSwizzle128B = 3;
constexpr int kTensorMapL2Promotion256B = 3;
constexpr int kTensorMapFillZero = 0;

// Every function: member of CudaDriver, symbol in the library, parameters.
#define SINTER_CUDA_FUNCTIONS(X)                                                                   \
  X(getErrorName, "cuGetErrorName", (Code, const char **))                                         \
  X(getErrorString, "cuGetErrorString", (Code, const char **))                                     \
  X(init, "cuInit", (unsigned flags))                                                              \
  X(driverGetVersion, "cuDriverGetVersion", (int *))                                               \
  X(deviceGetCount, "cuDeviceGetCount", (int *))                                                   \
  X(deviceGet, "cuDeviceGet", (DeviceNumber *, int ordinal))                                       \
  X(deviceGetName, "cuDeviceGetName", (char *, int size, DeviceNumber))                            \
  X(deviceGetAttribute, "cuDeviceGetAttribute", (int *, int attribute, DeviceNumber))              \
  X(primaryContextRetain, "cuDevicePrimaryCtxRetain", (Context *, DeviceNumber))                   \
  X(primaryContextRelease, "cuDevicePrimaryCtxRelease_v2", (DeviceNumber))                         \
  X(contextSetCurrent, "cuCtxSetCurrent", (Context))                                               \
  X(memGetInfo, "cuMemGetInfo_v2", (size_t *free, size_t *total))                                  \
  X(memAlloc, "cuMemAlloc_v2", (DevicePointer *, size_t bytes))                                    \
  X(memFree, "cuMemFree_v2", (DevicePointer))                                                      \
  X(memHostAlloc, "cuMemHostAlloc", (void **, size_t bytes, unsigned flags))                       \
  X(memFreeHost, "cuMemFreeHost", (void *))                                                        \
  X(copyToDevice, "cuMemcpyHtoDAsync_v2", (DevicePointer, const void *, size_t bytes, Stream))     \
  X(copyToHost, "cuMemcpyDtoHAsync_v2", (void *, DevicePointer, size_t bytes, Stream))             \
  X(fillWords, "cuMemsetD32Async", (DevicePointer, unsigned word, size_t words, Stream))           \
  X(streamCreate, "cuStreamCreate", (Stream *, unsigned flags))                                    \
  X(streamDestroy, "cuStreamDestroy_v2", (Stream))                                                 \
  X(streamSynchronize, "cuStreamSynchronize", (Stream))                                            \
  X(streamBeginCapture, "cuStreamBeginCapture_v2", (Stream, int mode))                             \
  X(streamEndCapture, "cuStreamEndCapture", (Stream, Graph *))                                     \
  X(streamWaitEvent, "cuStreamWaitEvent", (Stream, Event, unsigned flags))                         \
  X(eventCreate, "cuEventCreate", (Event *, unsigned flags))                                       \
  X(eventDestroy, "cuEventDestroy_v2", (Event))                                                    \
  X(eventRecord, "cuEventRecordWithFlags", (Event, Stream, unsigned flags))                        \
  X(eventQuery, "cuEventQuery", (Event))                                                           \
  X(eventSynchronize, "cuEventSynchronize", (Event))                                               \
  X(eventElapsed, "cuEventElapsedTime", (float *milliseconds, Event begin, Event end))             \
  X(moduleLoad, "cuModuleLoadDataEx",                                                              \
    (Module *, const void *image, unsigned numOptions, JitOption *, void **values))                \
  X(moduleUnload, "cuModuleUnload", (Module))                                                      \
  X(moduleGetFunction, "cuModuleGetFunction", (Function *, Module, const char *name))              \
  X(functionGetAttribute, "cuFuncGetAttribute", (int *, int attribute, Function))                  \
  X(functionSetAttribute, "cuFuncSetAttribute", (Function, int attribute, int value))              \
  X(launchKernel, "cuLaunchKernelEx",                                                              \
    (const LaunchConfig *, Function, void **parameters, void **extra))                             \
  X(graphInstantiate, "cuGraphInstantiateWithFlags", (GraphExec *, Graph, uint64_t flags))         \
  X(graphLaunch, "cuGraphLaunch", (GraphExec, Stream))                                             \
  X(graphDestroy, "cuGraphDestroy", (Graph))                                                       \
  X(graphExecDestroy, "cuGraphExecDestroy", (GraphExec))                                           \
  X(tensorMapEncodeTiled, "cuTensorMapEncodeTiled",                                                \
    (TensorMap *, int dtype, uint32_t rank, void *address, const uint64_t *extents,                \
     const uint64_t *strides, const uint32_t *box, const uint32_t *elementStrides, int interleave, \
     int swizzle, int l2Promotion, int fill))

} // namespace sinter::cuda
