//===- StepProgram.h - what a lowering hands to the target ------*- C++ -*-===//
//
// A lowering turns a planned xfmr module into (1) a module of kernels in upstream dialects and (2)
// this table of which kernel runs when on which buffers. Target/ emits the table as data beside the
// code and writes its readable half into the artefact's metadata.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/CpuIsa.h"
#include "sinter/Support/DType.h"

#include <string>
#include <vector>

namespace sinter {

/// Instruction sets a CPU kernel is generated for; the values index SinterOpRecord::kernel.
/// V4Bf16 is V4 with AVX512-BF16: linears and attention of bf16 by bf16 have kernels of their own
/// for it.
enum class CpuIsa { V3 = 0, V4 = 1, V4Bf16 = 2 };
constexpr size_t kCpuIsas = 3;

/// SinterModel::isa.
inline uint32_t isaNumber(CpuIsa isa) { return kIsaV3 + static_cast<uint32_t>(isa); }

/// A parameter that is a tensor map over a matrix [rows, columns] instead of its address.
struct DeviceTensorMap {
  unsigned arg;
  DType type;
  int64_t rows, columns, boxRows, boxColumns;
};

/// How a GPU kernel is launched and, where an assembler was found, what it needs.
struct DeviceKernel {
  int64_t threads = 0;
  int64_t sharedBytes = 0; ///< dynamic
  int64_t cluster = 1;     ///< CTAs that are started together
  std::vector<DeviceTensorMap> tensorMaps;
  int64_t registers = 0, staticSharedBytes = 0, spillBytes = 0;
};

struct StepKernel {
  std::string name; ///< unique: op kind, element types, sizes, tile; on a GPU also its symbol
  std::string op;   ///< mnemonic of the xfmr op it came from
  std::string symbol[kCpuIsas]; ///< CPU: function in the lowered module; empty: not generated
  DeviceKernel device;          ///< GPU
};

/// Why a linear has the kernel it has.
struct StepChoice {
  std::string shape;    ///< "1024x2048"; empty: nothing was to choose
  std::string kernel;   ///< template and parameters
  double predicted = 0; ///< microseconds, by the cost model
  double measured = 0;  ///< by the tuned table; 0: not in it
};

struct StepOp {
  std::string name; ///< the op's location name, e.g. "layers.7.mlp.down"
  std::string op;   ///< mnemonic
  unsigned kernel;  ///< index into StepProgram::kernels
  SinterGrid grid;
  std::vector<SinterArg> args;
  int64_t weightBytes;      ///< resident weight bytes read once per launch
  int64_t flopsPerToken;    ///< floating point operations per token (per row for the head)
  int64_t actBytesPerToken; ///< activation bytes read and written per token (per row for the head)
  bool readsKv;             ///< also reads the cached context of each sequence
  int64_t window = 0;       ///< as far as a token sees back, itself included; 0: all of it
  uint32_t edge = SINTER_EDGE_FULL; ///< GPU: how it is ordered after the op before it
  StepChoice choice = {};           ///< GPU, linears
};

struct StepBuffer {
  std::string name;
  int64_t offset;
  int64_t bytes;
  DType type;
  int64_t columns; ///< elements of a token, or of a row that gets logits
  bool rows;       ///< the latter
};

struct StepEntry {
  std::string name;
  std::string head; ///< "logits", "argmax" or "sample"
  int64_t minTokens, maxTokens, maxRows;
  int64_t maxQ = 0; ///< most tokens of one sequence; 0: any number
  std::vector<StepOp> ops;
  std::vector<StepBuffer> buffers;
};

struct StepProgram {
  std::string chip; ///< GPU: what its kernels are generated for, e.g. "sm_90a"; empty: CPU
  std::vector<StepKernel> kernels;
  std::vector<StepEntry> entries;
  int64_t arenaBytes = 0;
  int64_t scratchBytes = 0;    ///< CPU: per thread
  int64_t persistentBytes = 0; ///< at the arena's end: zero before the first step, kept by kernels
  bool feedback = false;       ///< a token id below 0 is a result of the step before

  bool batchInvariant = true; ///< nothing else in a step changes the bits of a token

  bool device() const { return !chip.empty(); }
};

} // namespace sinter
