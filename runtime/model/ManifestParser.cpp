//===- ManifestParser.cpp -------------------------------------------------===//
//
// Written with a Reader that keeps the first error (JsonReader.h).
//
//===----------------------------------------------------------------------===//
#include "runtime/model/ManifestParser.h"

#include "runtime/model/JsonReader.h"
#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/Json.h"

#include <algorithm>

namespace sinter {
namespace {

using nlohmann::json;

/// Far above any real size and far below where products of a few of them would overflow.
constexpr int64_t kMaxCount = int64_t(1) << 31;
constexpr int64_t kMaxBytes = int64_t(1) << 48;
constexpr uint64_t kMaxElements = uint64_t(1) << 32; // of one weight; times kMaxCount still fits
constexpr IntRange kCount = {1, kMaxCount};
constexpr IntRange kBytes = {0, kMaxBytes};
constexpr uint64_t kMaxLayers = 4096;
constexpr uint64_t kMaxHeadDim = 4096;
constexpr int64_t kMaxRoom = 1 << 16;
constexpr uint64_t kMaxScratch = uint64_t(1) << 32;
constexpr int64_t kTileRows = 16;

WeightSource parseSource(Reader r) {
  WeightSource source;
  source.tensor = r.string("tensor");
  source.dtype = r.activationType("dtype");
  for (uint64_t extent : r.integers("shape", kCount))
    source.shape.push_back(int64_t(extent));
  r.require(source.shape.size() == 1 || source.shape.size() == 2, "shape",
            "expected 1 or 2 extents");
  if (!r.ok())
    return source;
  source.rowEnd = uint64_t(source.shape[0]);
  if (r.has("rows")) {
    const std::vector<uint64_t> rows = r.integers("rows", {0, kMaxCount});
    const bool valid = rows.size() == 2 && rows[0] < rows[1] && rows[1] <= source.rowEnd;
    r.require(valid, "rows", "expected [begin, end) inside the tensor");
    if (valid) {
      source.rowBegin = rows[0];
      source.rowEnd = rows[1];
    }
  }
  return source;
}

void checkLinear(Reader &r, const WeightPlan &weight) {
  r.require(weight.layout != WeightLayout::Plain, "layout", "a linear is tiled16 or row_major");
  r.require(weight.shape.size() == 2, "shape", "expected [rows, columns]");
  r.require(!weight.sources.empty(), "sources", "expected at least one tensor");
  if (!r.ok())
    return;
  uint64_t rows = 0;
  for (const WeightSource &source : weight.sources) {
    r.require(source.dtype == weight.dtype, "sources",
              "a tensor's dtype differs from the weight's");
    r.require(source.shape.size() == 2 && uint64_t(source.shape[1]) == weight.shape[1], "sources",
              "a tensor's columns differ from the weight's");
    rows += source.rows();
  }
  r.require(rows == weight.shape[0], "shape", "rows are not the sum of the sources' rows");
  if (!r.ok())
    return;
  if (weight.layout == WeightLayout::Tiled16)
    r.require(tiledBytes(weight) == weight.bytes, "bytes",
              "does not match the tiled16 form of the shape");
  else
    r.require(rows * weight.shape[1] * dtypeBytes(weight.dtype) == weight.bytes, "bytes",
              "does not match the shape");
}

void checkVector(Reader &r, const WeightPlan &weight) {
  r.require(weight.layout == WeightLayout::Plain, "layout", "a vector is plain");
  r.require(weight.dtype == DType::F32, "dtype", "a vector is f32");
  r.require(!weight.sources.empty(), "sources", "expected at least one tensor");
  uint64_t elements = 0;
  for (const WeightSource &source : weight.sources) {
    r.require(source.shape.size() == 1, "sources", "expected one-dimensional tensors");
    elements += source.rows();
  }
  r.require(weight.shape.size() == 1 && weight.shape[0] == elements, "shape",
            "is not the sum of the sources' elements");
  r.require(weight.bytes == elements * sizeof(float), "bytes", "does not match the shape");
}

void checkKScale(Reader &r, const WeightPlan &weight) {
  r.require(weight.layout == WeightLayout::Plain && weight.dtype == DType::F32 && weight.bytes == 4,
            "kind", "a k_scale is one plain f32");
  r.require(weight.sources.size() == 1 && weight.sources[0].shape.size() == 1, "sources",
            "expected one vector");
  r.require(weight.headDim > 0, "head_dim", "missing");
  r.require((weight.room & (weight.room - 1)) == 0, "room", "expected a power of two");
}

void checkRope(Reader &r, const WeightPlan &weight) {
  r.require(weight.layout == WeightLayout::Plain && weight.dtype == DType::F32, "kind",
            "a rope table is plain f32");
  r.require(weight.shape.size() == 2, "shape", "expected [positions, head_dim]");
  r.require(weight.sources.empty(), "sources", "a rope table has no tensors");
  if (!r.ok())
    return;
  r.require(weight.invFreq.size() * 2 == weight.shape[1], "inv_freq",
            "expected head_dim/2 numbers");
  r.require(weight.bytes == weight.shape[0] * weight.shape[1] * sizeof(float), "bytes",
            "does not match the shape");
}

WeightPlan parseWeight(Reader r) {
  WeightPlan weight;
  weight.name = r.string("name");
  weight.kind = WeightKind(r.choice("kind", {"linear", "vector", "k_scale", "rope"}));
  weight.dtype = r.activationType("dtype");
  weight.layout = WeightLayout(r.choice("layout", {"plain", "tiled16", "row_major"}));
  weight.shape = r.integers("shape", kCount);
  weight.bytes = r.integer("bytes", kBytes);
  uint64_t elements = 1;
  for (uint64_t extent : weight.shape)
    elements = std::min<uint64_t>(elements, kMaxElements) * std::min<uint64_t>(extent, kMaxCount);
  r.require(elements <= kMaxElements, "shape", "is too large");
  weight.headDim = r.integer("head_dim", {1, kMaxHeadDim}, 0);
  weight.room = r.integer("room", {1, kMaxRoom}, 1);
  weight.attentionScaling = float(r.number("attention_scaling", 1.0));
  if (r.has("inv_freq"))
    r.array("inv_freq", [&](const json &element, const std::string &where) {
      if (!element.is_number())
        r.fail("inv_freq", "expected numbers");
      else
        weight.invFreq.push_back(element.get<float>());
    });
  r.array("sources", [&](const json &element, const std::string &where) {
    weight.sources.push_back(parseSource(Reader(element, where, r.status())));
  });
  if (!r.ok())
    return weight;
  switch (weight.kind) {
  case WeightKind::Linear:
    checkLinear(r, weight);
    break;
  case WeightKind::Vector:
    checkVector(r, weight);
    break;
  case WeightKind::KScale:
    checkKScale(r, weight);
    break;
  case WeightKind::Rope:
    checkRope(r, weight);
    break;
  }
  return weight;
}

KvPlan parseKv(Reader r) {
  KvPlan kv;
  kv.layers = r.integer("layers", {1, kMaxLayers});
  kv.heads = r.integer("heads", {1, kMaxHeadDim});
  kv.headDim = r.integer("head_dim", {1, kMaxHeadDim});
  kv.pageSize = r.integer("page_size", {1, 4096});
  kv.dtype = r.dtype("dtype");
  r.require(kv.dtype != DType::I32, "dtype", "expected a float type");
  kv.layout = KvLayout(r.choice("layout", {"k_packed", "token_major"}));
  kv.layerBytes = r.integer("layer_bytes", kBytes);
  kv.pageBytes = r.integer("page_bytes", kBytes);
  kv.window = r.integer("window", kCount, 0);
  const uint64_t layer = 2 * kv.heads * kv.pageSize * kv.headDim * dtypeBytes(kv.dtype);
  r.require(kv.layerBytes >= layer, "layer_bytes", "too small for the layer's K and V");
  r.require(kv.pageBytes >= kv.layers * kv.layerBytes, "page_bytes", "too small for all layers");
  return kv;
}

TensorMapPlan parseTensorMap(Reader r) {
  TensorMapPlan map;
  map.arg = uint32_t(r.integer("arg", {0, SINTER_MAX_ARGS - 1}));
  map.dtype = r.activationType("dtype");
  map.rows = r.integer("rows", kCount);
  map.columns = r.integer("columns", kCount);
  map.boxRows = uint32_t(r.integer("box_rows", {1, 256}));
  map.boxColumns = uint32_t(r.integer("box_columns", {1, 256}));
  r.require(dtypeBytes(map.dtype) == 2, "dtype", "expected bf16 or f16");
  r.require(map.boxColumns > 0 && map.boxColumns % 64 == 0, "box_columns",
            "the swizzle needs 128 bytes");
  if (map.boxColumns > 64) {
    r.require(map.columns % 64 == 0, "columns", "expected a multiple of 64 in groups of rows");
    r.require(map.rows % 8 == 0, "rows", "expected a multiple of 8 in groups of rows");
    r.require(map.boxRows % 8 == 0, "box_rows", "expected a multiple of 8 in groups of rows");
  }
  r.require(map.columns % 8 == 0, "columns", "rows must start at multiples of 16 bytes");
  return map;
}

ModulePlan parseModule(Reader r) {
  auto range = [&](const char *key, uint64_t &offset, uint64_t &bytes) {
    const std::vector<uint64_t> pair = r.integers(key, kBytes);
    r.require(pair.size() == 2, key, "expected [offset, bytes]");
    if (r.ok()) {
      offset = pair[0];
      bytes = pair[1];
    }
  };
  ModulePlan module;
  range("ptx", module.ptxOffset, module.ptxBytes);
  range("cubin", module.cubinOffset, module.cubinBytes);
  return module;
}

KernelPlan parseKernel(Reader r, const Manifest &manifest) {
  KernelPlan kernel;
  kernel.name = r.string("name");
  kernel.op = r.string("op");
  if (manifest.target != kCudaTarget) {
    for (uint64_t isa : r.integers("isas", {0, 100}))
      kernel.isas.push_back(uint32_t(isa));
    return kernel;
  }
  constexpr int64_t kMaxShared = 1 << 20;
  kernel.module = uint32_t(r.integer("module", kNonNegative));
  kernel.threads = uint32_t(r.integer("threads", {1, 1024}));
  kernel.sharedBytes = uint32_t(r.integer("shared_bytes", {0, kMaxShared}, 0));
  kernel.staticSharedBytes = uint32_t(r.integer("static_shared_bytes", {0, kMaxShared}, 0));
  kernel.cluster = uint32_t(r.integer("cluster", {1, 16}, 1));
  kernel.registers = uint32_t(r.integer("registers", {0, 255}, 0));
  kernel.spillBytes = uint32_t(r.integer("spill_bytes", {0, kMaxShared}, 0));
  r.require(kernel.module < manifest.modules.size(), "module", "is not the index of a module");
  if (r.has("tensor_maps"))
    r.array("tensor_maps", [&](const json &element, const std::string &where) {
      kernel.tensorMaps.push_back(parseTensorMap(Reader(element, where, r.status())));
    });
  return kernel;
}

OpPlan parseOp(Reader r, const Manifest &manifest) {
  OpPlan op;
  op.name = r.string("name");
  op.op = r.string("op");
  op.kernel = uint32_t(r.integer("kernel", kNonNegative));
  op.weightBytes = r.integer("weight_bytes", kBytes);
  op.flopsPerToken = r.integer("flops_per_token", kBytes);
  op.actBytesPerToken = r.integer("act_bytes_per_token", kBytes);
  op.readsKv = r.boolean("kv");
  op.window = r.integer("window", kCount, 0);
  r.require(op.kernel < manifest.kernels.size(), "kernel", "is not the index of a kernel");
  if (manifest.target == kCudaTarget) {
    op.grid = uint32_t(r.integer("grid", {1, kMaxCount - 1}));
    op.programmatic = r.choice("edge", {"full", "programmatic"}) == 1;
  }
  return op;
}

EntryPlan parseEntry(Reader r, const Manifest &manifest) {
  EntryPlan entry;
  entry.name = r.string("name");
  entry.head = HeadKind(r.choice("head", {"logits", "argmax", "sample"}));
  const std::vector<uint64_t> tokens = r.integers("tokens", kCount);
  const bool valid = tokens.size() == 2 && tokens[0] <= tokens[1];
  r.require(valid, "tokens", "expected [first, last]");
  if (valid) {
    entry.minTokens = uint32_t(tokens[0]);
    entry.maxTokens = uint32_t(tokens[1]);
  }
  entry.maxRows = uint32_t(r.integer("max_rows", {0, kMaxCount}));
  entry.maxQ = uint32_t(r.integer("max_q", {0, kMaxCount}, 0));
  r.array("schedule", [&](const json &element, const std::string &where) {
    entry.schedule.push_back(parseOp(Reader(element, where, r.status()), manifest));
  });
  r.array("buffers", [&](const json &element, const std::string &where) {
    Reader buffer(element, where, r.status());
    BufferPlan plan;
    plan.name = buffer.string("name");
    plan.offset = buffer.integer("offset", kBytes);
    plan.bytes = buffer.integer("bytes", kBytes);
    plan.dtype = buffer.dtype("dtype");
    plan.columns = buffer.integer("columns", kCount);
    plan.ofRows = buffer.choice("of", {"tokens", "rows"}) == 1;
    buffer.require(plan.offset + plan.bytes <= manifest.arenaBytes, "offset",
                   "the buffer ends beyond the arena");
    const uint64_t most = std::max<uint64_t>(plan.ofRows ? entry.maxRows : entry.maxTokens, 1);
    buffer.require(plan.columns <= plan.bytes / dtypeBytes(plan.dtype) / most, "columns",
                   "more than the buffer has bytes");
    entry.buffers.push_back(std::move(plan));
  });
  return entry;
}

ModelInfo parseModel(Reader r) {
  ModelInfo model;
  model.name = r.string("name");
  model.architecture = r.string("architecture");
  model.layers = r.integer("layers", {1, kMaxLayers});
  model.hidden = r.integer("hidden", kCount);
  model.intermediate = r.integer("intermediate", kCount);
  model.heads = r.integer("heads", kCount);
  model.kvHeads = r.integer("kv_heads", kCount);
  model.headDim = r.integer("head_dim", kCount);
  model.vocab = r.integer("vocab", {1, kMaxCount - 1});
  model.maxPosition = r.integer("max_position", {1, kMaxCount - 1});
  for (uint64_t id : r.integers("eos", {0, kMaxCount - 1}))
    model.eos.push_back(int32_t(id));
  if (r.has("generation")) {
    Reader g(r.child("generation"), r.where() + ": generation", r.status());
    GenerationDefaults &defaults = model.generation;
    defaults.doSample = g.boolean("do_sample", false);
    defaults.temperature = g.number("temperature", 1.0);
    defaults.topK = int64_t(g.integer("top_k", {0, kMaxCount}, 0));
    defaults.topP = g.number("top_p", 1.0);
    defaults.minP = g.number("min_p", 0.0);
    defaults.repetitionPenalty = g.number("repetition_penalty", 1.0);
    defaults.maxNewTokens = g.integer("max_new_tokens", kCount, 0);
    defaults.maxLength = g.integer("max_length", kCount, 0);
    g.require(defaults.repetitionPenalty > 0, "repetition_penalty", "is not above 0");
    g.require(defaults.temperature >= 0, "temperature", "is negative");
    g.require(defaults.topP > 0 && defaults.topP <= 1, "top_p", "is not in (0, 1]");
    g.require(defaults.minP >= 0 && defaults.minP <= 1, "min_p", "is not in [0, 1]");
  }
  return model;
}

void parseHeader(Reader &r, Manifest &m) {
  Reader compiler(r.child("compiler"), r.where() + ": compiler", r.status());
  m.compilerVersion = compiler.string("version");
  m.compilerBuild = compiler.string("build");
  m.llvmVersion = compiler.string("llvm");
  m.target = r.string("target");
  m.isas = r.strings("isas");
  const json &options = r.child("options");
  Reader optionReader(options, r.where() + ": options", r.status());
  m.dtype = optionReader.activationType("dtype");
  m.batchInvariant = optionReader.boolean("batch_invariant", false);
  m.options = options.dump(-1, ' ', false, json::error_handler_t::replace);
  Reader source(r.child("source"), r.where() + ": source", r.status());
  m.sourceDirectory = source.string("directory");
  source.array("files", [&](const json &element, const std::string &where) {
    Reader file(element, where, r.status());
    m.sourceFiles.push_back({file.string("name"), file.string("header_sha256")});
    const std::string &name = m.sourceFiles.back().name;
    file.require(!name.empty() && name.find('/') == std::string::npos, "name",
                 "expected a file name without a folder");
  });
}

} // namespace

uint64_t tiledBytes(const WeightPlan &weight) {
  uint64_t tiles = 0;
  for (const WeightSource &source : weight.sources)
    tiles += (source.rows() + kTileRows - 1) / kTileRows;
  const uint64_t columns = weight.shape[1];
  const uint64_t padded = weight.dtype == DType::BF16 ? (columns + 1) / 2 * 2 : columns;
  return tiles * kTileRows * padded * dtypeBytes(weight.dtype);
}

void parseKernels(Reader &r, Manifest &manifest) {
  if (manifest.target == kCudaTarget)
    r.array("modules", [&](const json &element, const std::string &where) {
      manifest.modules.push_back(parseModule(Reader(element, where, r.status())));
    });
  r.array("kernels", [&](const json &element, const std::string &where) {
    manifest.kernels.push_back(parseKernel(Reader(element, where, r.status()), manifest));
  });
}

Result<Manifest> parseManifest(std::string_view text) {
  const std::string what = SINTER_SECTION_META;
  SINTER_ASSIGN_OR_RETURN(const json root, parseJson(text, what, JsonKeys::Unique));
  Status status;
  Reader r(root, what, status);
  Manifest m;
  r.require(r.string("format") == "sinter", "format", "expected \"sinter\"");
  m.abi = uint32_t(r.integer("abi", {0, kMaxCount}));
  if (r.ok() && m.abi != SINTER_ABI_VERSION)
    return unsupported("compiled for ABI version " + std::to_string(m.abi) +
                       ", this program has version " + std::to_string(SINTER_ABI_VERSION) +
                       ": compile the model again");
  parseHeader(r, m);
  m.model = parseModel(Reader(r.child("model"), what + ": model", status));
  r.array("weights", [&](const json &element, const std::string &where) {
    m.weights.push_back(parseWeight(Reader(element, where, status)));
  });
  m.kv = parseKv(Reader(r.child("kv"), what + ": kv", status));
  m.arenaBytes = r.integer("arena_bytes", kBytes);
  m.persistentBytes = r.integer("persistent_bytes", kBytes, 0);
  r.require(m.persistentBytes <= m.arenaBytes, "persistent_bytes", "is more than the arena");
  m.feedback = r.boolean("feedback", false);
  m.scratchBytes = r.integer("scratch_bytes", {0, int64_t(kMaxScratch)});
  parseKernels(r, m);
  r.array("entries", [&](const json &element, const std::string &where) {
    m.entries.push_back(parseEntry(Reader(element, where, status), m));
  });
  r.require(!m.entries.empty(), "entries", "expected at least one");
  SINTER_RETURN_IF_ERROR(status);
  return m;
}

} // namespace sinter
