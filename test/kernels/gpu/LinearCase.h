//===- LinearCase.h - operands and reference of one kernel ------*- C++ -*-===//
#pragma once

#include "KernelLine.h"

#include "sinter/Abi/sinter_abi.h"
#include "test/kernels/cuda/Gpu.h"
#include "test/kernels/cuda/Values.h"

#include <string>
#include <vector>

namespace sinter::test {

/// A parameter that is a CUtensorMap by value.
struct MapText {
  unsigned arg = 0;
  uint64_t rows = 0, columns = 0;
  uint32_t boxRows = 0, boxColumns = 0;
  bool bf16 = true;
};

/// A line of the manifest that gpu-kernel-gen wrote.
struct Entry {
  std::string file;
  int grid = 0, threads = 0, sharedBytes = 0, cluster = 1;
  std::vector<MapText> maps;
  int64_t partials = 0, weightBytes = 0;
  KernelLine line;
};
std::vector<Entry> readManifest(const std::string &folder);

Type typeOf(sinter::DType t);

/// Numbers as the device sees them, and as f32.
struct Numbers {
  Type type = Type::F32;
  std::vector<float> values;
  Buffer device;
  Numbers() = default;
  Numbers(Type type, size_t count, uint64_t seed, double scale, double offset = 0);
  explicit Numbers(Type type, std::vector<float> v);
};

/// Device copy of a SinterBatch whose arrays hold what the row kernels read.
struct DeviceBatch {
  Buffer tokens, rows, batch;
  std::vector<int32_t> hostTokens, hostRows;
  DeviceBatch(int maxTokens, int vocabulary);
  void setTokens(int count);
};

/// Starts `entry` with these pointers (the batch included).
void launch(const Kernels &kernels, const Entry &entry, std::vector<void *> pointers, bool overlap,
            cudaStream_t stream = nullptr);

/// An output with poison in and behind it.
struct Output {
  Type type;
  size_t count;
  Buffer device;
  Output(Type type, size_t count);
  void poison() { device.fill(0xff); }
  /// The first `written` numbers; what lies behind them must still be poison.
  std::vector<float> read(size_t written, std::string &problem) const;
};

struct LinearCase {
  explicit LinearCase(const Entry &entry);
  Entry entry;
  int64_t n, k, outputs, maxTokens;
  bool norm, bias, residual, swiglu, argmax, sumsOut, xgIn, xgOut;
  int64_t sumsIn;
  Type xType, wType, yType;
  Numbers x, w, gamma, biases, residuals, gammaNext, sums;
  Numbers multiplied; ///< x as the kernel gets it with xgin
  Output y, index, sumsLeft, xgLeft;
  std::vector<double> reference; ///< [maxTokens, outputs], before rounding

  std::vector<void *> pointers(DeviceBatch &batch, void *weights = nullptr);
  void poison();
  double bound() const;
  /// Checks `count` rows; empty when all is well.
  std::string check(int64_t count, double &error) const;

private:
  void computeReference();
  std::string checkArgmax(int64_t count) const;
  std::string checkLeft(int64_t count, const std::vector<float> &v) const;
};

} // namespace sinter::test
