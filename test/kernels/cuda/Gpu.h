//===- Gpu.h - memory, modules and launches for the kernel tests -*- C++ -*-===//
//
// A test program: the first CUDA error ends it with one line.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace sinter::test {

inline void check(cudaError_t error, const char *what) {
  if (error == cudaSuccess)
    return;
  std::fprintf(stderr, "error: %s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

/// Device memory, given back at the end of the scope.
class Buffer {
public:
  Buffer() = default;
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    check(cudaMalloc(&data_, bytes ? bytes : 1), "cudaMalloc");
  }
  template <class T> explicit Buffer(const std::vector<T> &host) : Buffer(host.size() * sizeof(T)) {
    upload(host.data(), bytes_);
  }
  Buffer(Buffer &&other) noexcept { *this = std::move(other); }
  Buffer &operator=(Buffer &&other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer() { cudaFree(data_); }

  void upload(const void *from, size_t bytes) {
    check(cudaMemcpy(data_, from, bytes, cudaMemcpyHostToDevice), "upload");
  }
  void fill(int byte) { check(cudaMemset(data_, byte, bytes_), "fill"); }
  template <class T> std::vector<T> download() const {
    std::vector<T> host(bytes_ / sizeof(T));
    check(cudaMemcpy(host.data(), data_, host.size() * sizeof(T), cudaMemcpyDeviceToHost),
          "download");
    return host;
  }
  template <class T = void> T *as() const { return static_cast<T *>(data_); }
  size_t bytes() const { return bytes_; }

private:
  void *data_ = nullptr;
  size_t bytes_ = 0;
};

/// The kernels of all .cubin files of a folder, by name.
class Kernels {
public:
  explicit Kernels(const std::string &folder) {
    for (const auto &file : std::filesystem::directory_iterator(folder))
      if (file.path().extension() == ".cubin")
        load(file.path().string());
  }
  const void *get(const std::string &name, int sharedBytes) const {
    for (cudaLibrary_t library : libraries_) {
      cudaKernel_t kernel;
      if (cudaLibraryGetKernel(&kernel, library, name.c_str()) != cudaSuccess) {
        cudaGetLastError(); // not in this one
        continue;
      }
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sharedBytes),
            name.c_str());
      return kernel;
    }
    std::fprintf(stderr, "error: no kernel %s in the modules\n", name.c_str());
    std::exit(1);
  }

private:
  void load(const std::string &path) {
    cudaLibrary_t library;
    check(cudaLibraryLoadFromFile(&library, path.c_str(), nullptr, nullptr, 0, nullptr, nullptr, 0),
          path.c_str());
    libraries_.push_back(library);
  }
  std::vector<cudaLibrary_t> libraries_;
};

struct Launch {
  const void *kernel;
  int grid, threads, sharedBytes;
  bool overlap = false; ///< programmatic dependent launch
};

template <class Args>
void launch(const Launch &l, const Args &args, cudaStream_t stream = nullptr) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(unsigned(l.grid));
  config.blockDim = dim3(unsigned(l.threads));
  config.dynamicSmemBytes = size_t(l.sharedBytes);
  config.stream = stream;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = l.overlap ? 1 : 0;
  void *pointers[] = {const_cast<Args *>(&args)};
  check(cudaLaunchKernelExC(&config, l.kernel, pointers), "launch");
}

/// A matrix of 16-bit numbers, in boxes with the 128-byte swizzle, of more than 64 columns in
/// groups of eight rows. The driver is not linked.
inline CUtensorMap tensorMap(void *data, bool bf16, uint64_t rows, uint64_t columns,
                             uint32_t boxRows, uint32_t boxColumns) {
  static const auto encode = [] {
    void *entry = nullptr;
    cudaDriverEntryPointQueryResult found;
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000,
                                           cudaEnableDefault, &found),
          "cuTensorMapEncodeTiled");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry);
  }();
  alignas(64) CUtensorMap map;
  const bool grouped = boxColumns > 64;
  const cuuint64_t sizes[] = {grouped ? 64 : columns, grouped ? 8 : rows, columns / 64, rows / 8};
  const cuuint64_t strides[] = {columns * 2, 128, columns * 16};
  const cuuint32_t box[] = {64, grouped ? 8 : boxRows, boxColumns / 64, boxRows / 8};
  const cuuint32_t each[] = {1, 1, 1, 1};
  const CUresult result =
      encode(&map, bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
             grouped ? 4 : 2, data, sizes, strides, box, each, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    std::fprintf(stderr, "error: cuTensorMapEncodeTiled: %d\n", int(result));
    std::exit(1);
  }
  return map;
}

inline void synchronize(const char *what) {
  check(cudaDeviceSynchronize(), what);
  check(cudaGetLastError(), what);
}

/// Median microseconds of one replay of a graph of what `record` launches.
inline double graphMicroseconds(const std::function<void(cudaStream_t)> &record, int replays) {
  cudaStream_t stream;
  check(cudaStreamCreate(&stream), "stream");
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  record(stream);
  check(cudaStreamEndCapture(stream, &graph), "capture");
  check(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  std::vector<double> times;
  for (int i = -3; i < replays; ++i) {
    check(cudaEventRecord(begin, stream), "event");
    check(cudaGraphLaunch(exec, stream), "replay");
    check(cudaEventRecord(end, stream), "event");
    check(cudaEventSynchronize(end), "replay");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin, end), "event");
    if (i >= 0)
      times.push_back(double(ms) * 1e3);
  }
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaStreamDestroy(stream);
  std::nth_element(times.begin(), times.begin() + long(times.size() / 2), times.end());
  return times[times.size() / 2];
}

} // namespace sinter::test
