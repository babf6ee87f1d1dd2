//===- Manifest.h - `.sinter.meta` as structs -------------------*- C++ -*-===//
//
// What docs/artifact.md describes, parsed and checked (runtime/model/ManifestParser.h): every
// index, offset and size is in range.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/DType.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sinter {

enum class WeightKind { Linear, Vector, KScale, Rope };
enum class WeightLayout { Plain, Tiled16 };
enum class HeadKind : uint32_t { Logits = 0, Argmax = 1 };
enum class KvLayout { KPacked, TokenMajor };

/// Rows [rowBegin, rowEnd) of a checkpoint tensor.
struct WeightSource {
  std::string tensor;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  uint64_t rowBegin = 0;
  uint64_t rowEnd = 0;

  uint64_t rows() const { return rowEnd - rowBegin; }
};

struct WeightPlan {
  std::string name;
  WeightKind kind = WeightKind::Linear;
  DType dtype = DType::F32;
  WeightLayout layout = WeightLayout::Plain;
  std::vector<uint64_t> shape;
  uint64_t bytes = 0;
  std::vector<WeightSource> sources;
  uint64_t headDim = 0;         ///< k_scale
  std::vector<float> invFreq;   ///< rope
  float attentionScaling = 1.f; ///< rope
};

struct SourceFile {
  std::string name;
  std::string headerHash; ///< SafetensorsHeader::hash
};

struct KvPlan {
  uint64_t layers = 0;
  uint64_t heads = 0;
  uint64_t headDim = 0;
  uint64_t pageSize = 0;
  DType dtype = DType::BF16;
  KvLayout layout = KvLayout::KPacked;
  uint64_t layerBytes = 0;
  uint64_t pageBytes = 0;

  /// K and V of one position in all layers.
  uint64_t tokenBytes() const { return 2 * layers * heads * headDim * dtypeBytes(dtype); }
};

struct KernelPlan {
  std::string name;
  std::string op;
  std::vector<uint32_t> isas;
};

/// One launch of an entry's schedule.
struct OpPlan {
  std::string name;
  std::string op;
  uint32_t kernel = 0;
  uint64_t weightBytes = 0;
  uint64_t flopsPerToken = 0;
  uint64_t actBytesPerToken = 0;
  bool readsKv = false; ///< reads the cached K and V of one layer
};

struct BufferPlan {
  std::string name;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

struct EntryPlan {
  std::string name;
  HeadKind head = HeadKind::Logits;
  uint32_t minTokens = 0;
  uint32_t maxTokens = 0; ///< inclusive
  uint32_t maxRows = 0;
  std::vector<OpPlan> schedule;
  std::vector<BufferPlan> buffers;
};

/// Defaults of the checkpoint's generation_config.json.
struct GenerationDefaults {
  bool doSample = false;
  double temperature = 1.0;
  int64_t topK = 0; ///< 0: off
  double topP = 1.0;
  double minP = 0.0;
  double repetitionPenalty = 1.0;
  uint64_t maxNewTokens = 0; ///< 0: not given
  uint64_t maxLength = 0;    ///< prompt included; 0: not given
};

struct ModelInfo {
  std::string name;
  std::string architecture;
  uint64_t layers = 0;
  uint64_t hidden = 0;
  uint64_t intermediate = 0;
  uint64_t heads = 0;
  uint64_t kvHeads = 0;
  uint64_t headDim = 0;
  uint64_t vocab = 0;
  uint64_t maxPosition = 0;
  std::vector<int32_t> eos;
  GenerationDefaults generation;
};

struct Manifest {
  uint32_t abi = 0;
  std::string compilerVersion;
  std::string compilerBuild;
  std::string llvmVersion;
  std::string target;
  std::vector<std::string> isas;
  DType dtype = DType::F32; ///< of activations
  bool batchInvariant = false;
  std::string options; ///< the whole "options" object as compact JSON, for people
  ModelInfo model;
  std::string sourceDirectory;
  std::vector<SourceFile> sourceFiles;
  std::vector<WeightPlan> weights;
  KvPlan kv;
  uint64_t arenaBytes = 0;
  uint64_t scratchBytes = 0;
  std::vector<KernelPlan> kernels;
  std::vector<EntryPlan> entries;

  uint64_t weightBytes() const {
    uint64_t sum = 0;
    for (const WeightPlan &w : weights)
      sum += w.bytes;
    return sum;
  }
};

} // namespace sinter
