//===- CpuProgram.h - what the CPU lowering hands to the target -*- C++ -*-===//
//
// convertXfmrToCpu turns a planned xfmr module into (1) a module of kernels in upstream dialects,
// one function per kernel and instruction set, with the C signature of SinterKernel, and (2) this
// table of which kernel runs when on which buffers. Target/ emits the table as data beside the code
// and writes its readable half into the artefact's metadata.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Abi/sinter_abi.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <string>
#include <vector>

namespace sinter {

/// Instruction sets a kernel is generated for; the values index SinterOpRecord::kernel.
enum class CpuIsa { V3 = 0, V4 = 1 };

struct CpuKernel {
  std::string name;      ///< unique: op kind, element types, sizes, tile
  std::string op;        ///< mnemonic of the xfmr op it came from
  std::string symbol[2]; ///< function in the lowered module per CpuIsa; empty: not generated
};

struct CpuOp {
  std::string name; ///< the op's location name, e.g. "layers.7.mlp.down"
  std::string op;   ///< mnemonic
  unsigned kernel;  ///< index into CpuProgram::kernels
  SinterGrid grid;
  std::vector<SinterArg> args;
  int64_t weightBytes;      ///< resident weight bytes read once per launch
  int64_t flopsPerToken;    ///< floating point operations per token (per row for the head)
  int64_t actBytesPerToken; ///< activation bytes read and written per token (per row for the head)
  bool readsKv;             ///< also reads the cached context of each sequence
  uint32_t edge = SINTER_EDGE_FULL; ///< GPU: how it is ordered after the op before it
};

struct CpuBuffer {
  std::string name;
  int64_t offset;
  int64_t bytes;
};

struct CpuEntry {
  std::string name;
  std::string head; ///< "logits" or "argmax"
  int64_t minTokens, maxTokens, maxRows;
  int64_t maxQ = 0; ///< most tokens of one sequence; 0: any number
  std::vector<CpuOp> ops;
  std::vector<CpuBuffer> buffers;
};

struct CpuProgram {
  bool device = false; ///< kernels run on a GPU
  std::vector<CpuKernel> kernels;
  std::vector<CpuEntry> entries;
  int64_t arenaBytes = 0;
  int64_t scratchBytes = 0; ///< per thread
};

/// Lowers a module that went through xfmr-assign-weight-layout and xfmr-plan. Weights are numbered
/// in the order of the module's xfmr.weight ops. Errors are emitted on the op that has no lowering.
mlir::FailureOr<CpuProgram> convertXfmrToCpu(mlir::ModuleOp planned, llvm::ArrayRef<CpuIsa> isas,
                                             mlir::OwningOpRef<mlir::ModuleOp> &lowered);

} // namespace sinter
