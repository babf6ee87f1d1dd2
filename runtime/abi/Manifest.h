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

/// Values of Manifest::target.
constexpr const char *kCpuTarget = "cpu";
constexpr const char *kCudaTarget = "cuda";

enum class WeightKind { Linear, Vector, KScale, Rope };
enum class WeightLayout { Plain, Tiled16, RowMajor };
/// What a step leaves for its rows: logits, the index of the largest one, or a token drawn on the
/// device as the rows' SinterSampling says.
enum class HeadKind : uint32_t { Logits = 0, Argmax = 1, Sample = 2 };
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
  uint64_t room = 1;            ///< k_scale: how large the stored K may get
  std::vector<float> invFreq;   ///< rope
  float attentionScaling = 1.f; ///< rope
};

struct SourceFile {
  std::string name;
  std::string headerHash; ///< SafetensorsHeader::hash
};

/// The most pages that `chunk` tokens, one after the other, and what their windows see lie in:
/// window - 1 + chunk positions, the first of them anywhere in a page.
constexpr uint64_t pagesOfWindow(uint64_t window, uint64_t chunk, uint64_t pageSize) {
  return (window + chunk + pageSize - 3) / pageSize + 1;
}

struct KvPlan {
  uint64_t layers = 0;
  uint64_t heads = 0;
  uint64_t headDim = 0;
  uint64_t pageSize = 0;
  DType dtype = DType::BF16;
  KvLayout layout = KvLayout::KPacked;
  uint64_t layerBytes = 0;
  uint64_t pageBytes = 0;
  /// The farthest that any layer sees back, in tokens with the one that looks; 0: to the beginning.
  uint64_t window = 0;

  /// K and V of one position in all layers.
  uint64_t tokenBytes() const { return 2 * layers * heads * headDim * dtypeBytes(dtype); }
  /// Tokens that a sequence may have in so many pages: any number where its window fits.
  uint64_t tokensIn(uint64_t pages) const {
    return window && pagesOfWindow(window, 1, pageSize) <= pages ? UINT64_MAX : pages * pageSize;
  }
};

/// Where a GPU module's code lies in `.sinter.ptx` and `.sinter.cubin`.
struct ModulePlan {
  uint64_t ptxOffset = 0;
  uint64_t ptxBytes = 0; ///< the NUL at the end included
  uint64_t cubinOffset = 0;
  uint64_t cubinBytes = 0; ///< 0: there is none
};

/// A kernel parameter that is a CUtensorMap over a row-major matrix instead of its address. Boxes
/// of more than 64 columns arrive in groups of eight rows: [boxRows / 8, boxColumns / 64, 8, 64].
struct TensorMapPlan {
  uint32_t arg = 0; ///< which of the launch's arguments points to the matrix
  DType dtype = DType::BF16;
  uint64_t rows = 0;
  uint64_t columns = 0;
  uint32_t boxRows = 0;
  uint32_t boxColumns = 0;
};

struct KernelPlan {
  std::string name; ///< on a GPU the symbol in the module
  std::string op;
  std::vector<uint32_t> isas; ///< CPU

  // GPU
  uint32_t module = 0;
  uint32_t threads = 0;     ///< of a CTA
  uint32_t sharedBytes = 0; ///< asked for at launch
  uint32_t staticSharedBytes = 0;
  uint32_t cluster = 1;
  uint32_t registers = 0; ///< 0: not known, as no cubin was made
  uint32_t spillBytes = 0;
  std::vector<TensorMapPlan> tensorMaps;
};

/// One launch of an entry's schedule.
struct OpPlan {
  std::string name;
  std::string op;
  uint32_t kernel = 0;
  uint64_t weightBytes = 0;
  uint64_t flopsPerToken = 0;
  uint64_t actBytesPerToken = 0;
  bool readsKv = false;      ///< reads the cached K and V of one layer
  uint64_t window = 0;       ///< of those the last ones up to a token's own; 0: all
  uint32_t grid = 0;         ///< GPU: CTAs
  bool programmatic = false; ///< GPU: may start before the launch before it has finished
};

/// An activation: `columns` elements per token, or per row that gets logits.
struct BufferPlan {
  std::string name;
  uint64_t offset = 0;
  uint64_t bytes = 0; ///< with the most tokens that the entry takes
  DType dtype = DType::F32;
  uint64_t columns = 0;
  bool ofRows = false;
};

struct EntryPlan {
  std::string name;
  HeadKind head = HeadKind::Logits;
  uint32_t minTokens = 0;
  uint32_t maxTokens = 0; ///< inclusive
  uint32_t maxRows = 0;
  uint32_t maxQ = 0; ///< most tokens of one sequence; 0: any number
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
  uint64_t persistentBytes = 0; ///< at the arena's end: zero at first, then the kernels' own
  /// Token id -1 - r of a step is the index that row r of the argmax step before it gave.
  bool feedback = false;
  uint64_t scratchBytes = 0;
  std::vector<ModulePlan> modules;
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
