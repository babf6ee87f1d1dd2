//===- Meta.cpp - the metadata of an artefact, as JSON --------------------===//
//
// docs/artifact.md is the contract.
//
//===----------------------------------------------------------------------===//
#include "KernelMeta.h"
#include "ModelFacts.h"
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Target/Artifact.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"

#include <charconv>

using namespace mlir;
using namespace sinter;
using namespace sinter::xfmr;
using llvm::json::OStream;

namespace {

constexpr int64_t kTileRows = 16;

StringRef dtypeOf(Type type) {
  return isa<Float8E4M3FNType>(type) ? "fp8_e4m3"
         : isa<Float8E5M2Type>(type) ? "fp8_e5m2"
         : type.isBF16()             ? "bf16"
         : type.isF16()              ? "f16"
                                     : "f32";
}

/// The shortest spelling that reads back as the same number.
template <typename Float> void number(OStream &json, Float value) {
  char text[40];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  json.rawValue(StringRef(text, end - text));
}

class MetaWriter {
public:
  MetaWriter(ModuleOp module, const StepProgram &program, ArrayRef<CpuIsa> isas,
             const DeviceImage *image, const ArtifactInfo &info, const ModelFacts &facts,
             raw_ostream &stream)
      : module(module), program(program), isas(isas), image(image), info(info), facts(facts),
        json(stream, 1) {}

  void run() {
    json.object([&] {
      json.attribute("format", "sinter");
      json.attribute("abi", SINTER_ABI_VERSION);
      writeBuild();
      writeModel();
      writeSource();
      json.attributeArray("weights", [&] {
        for (WeightOp weight : module.getOps<WeightOp>())
          json.object([&] { writeWeight(weight); });
      });
      json.attributeObject("kv", [&] { writeKv(); });
      json.attribute("arena_bytes", program.arenaBytes);
      json.attribute("scratch_bytes", program.scratchBytes);
      if (program.persistentBytes)
        json.attribute("persistent_bytes", program.persistentBytes);
      if (program.feedback)
        json.attribute("feedback", true);
      if (image)
        writeModules(json, image->modules);
      json.attributeArray("kernels", [&] {
        for (size_t i = 0; i < program.kernels.size(); ++i)
          json.object([&] { writeKernel(program.kernels[i], i); });
      });
      json.attributeArray("entries", [&] {
        for (const StepEntry &entry : program.entries)
          json.object([&] { writeEntry(entry); });
      });
    });
  }

private:
  void writeBuild() {
    json.attributeObject("compiler", [&] {
      json.attribute("version", compilerVersion());
      json.attribute("build", compilerBuild());
      json.attribute("llvm", LLVM_VERSION_STRING);
    });
    json.attribute("target", program.device() ? "cuda" : "cpu");
    json.attributeArray("isas", [&] {
      if (program.device())
        json.value(program.chip);
      for (CpuIsa isa : isas)
        json.value(cpuIsaName(isaNumber(isa)));
    });
    json.attributeObject("options", [&] {
      json.attribute("dtype", dtypeOf(facts.activation));
      json.attribute("batch_invariant", program.batchInvariant);
      json.attribute("k_scale", facts.kScale);
    });
  }

  void writeModel() {
    json.attributeObject("model", [&] {
      json.attribute("name", facts.name);
      json.attribute("architecture", facts.architecture);
      for (auto [key, value] : facts.sizes())
        json.attribute(key, value);
      json.attributeArray("eos", [&] {
        for (int64_t id : facts.eos)
          json.value(id);
      });
      json.attributeObject("generation", [&] {
        const ArtifactInfo::Generation &generation = info.generation;
        json.attribute("do_sample", generation.doSample);
        real("temperature", generation.temperature);
        json.attribute("top_k", generation.topK);
        real("top_p", generation.topP);
        real("min_p", generation.minP);
        real("repetition_penalty", generation.repetitionPenalty);
        if (generation.maxNewTokens)
          json.attribute("max_new_tokens", *generation.maxNewTokens);
        if (generation.maxLength)
          json.attribute("max_length", *generation.maxLength);
      });
    });
  }

  void writeSource() {
    json.attributeObject("source", [&] {
      json.attribute("directory", info.sourceDirectory);
      json.attributeArray("files", [&] {
        for (const ArtifactInfo::SourceFile &file : info.sourceFiles)
          json.object([&] {
            json.attribute("name", file.name);
            json.attribute("header_sha256", file.headerHash);
          });
      });
    });
  }

  void writeWeight(WeightOp weight) {
    auto type = cast<RankedTensorType>(weight.getType());
    json.attribute("name", weight.getSymName());
    if (auto sources = dyn_cast<ArrayAttr>(weight.getInit()))
      return writeSources(weight, type, sources);
    if (auto scale = dyn_cast<KScaleAttr>(weight.getInit())) {
      resident("k_scale", "f32", "plain", {1}, 4);
      json.attribute("head_dim", scale.getHeadDim());
      if (scale.getRoom() != 1)
        json.attribute("room", scale.getRoom());
      json.attributeArray("sources", [&] {
        const TensorFacts tensor = facts.tensors.lookup(scale.getTensor());
        json.object([&] {
          json.attribute("tensor", scale.getTensor().getValue());
          json.attribute("dtype", dtypeOf(tensor.element));
          json.attributeArray("shape", [&] { json.value(tensor.rows); });
        });
      });
      return;
    }
    auto rope = cast<RopeTableAttr>(weight.getInit());
    resident("rope", "f32", "plain", type.getShape(), type.getNumElements() * 4);
    json.attributeArray("inv_freq", [&] {
      for (float f : rope.getInvFreq().asArrayRef())
        number(json, f);
    });
    json.attributeBegin("attention_scaling");
    number(json, rope.getScaling().convertToFloat());
    json.attributeEnd();
    json.attributeArray("sources", [] {});
  }

  void writeSources(WeightOp weight, RankedTensorType type, ArrayAttr sources) {
    if (type.getRank() == 1)
      resident("vector", "f32", "plain", type.getShape(), type.getDimSize(0) * 4);
    else if (weight.getLayout() == WeightLayout::RowMajor)
      resident("linear", dtypeOf(type.getElementType()), "row_major", type.getShape(),
               type.getNumElements() * type.getElementTypeBitWidth() / 8);
    else
      resident("linear", dtypeOf(type.getElementType()), "tiled16", type.getShape(),
               tiledBytes(type, sources));
    json.attributeArray("sources", [&] {
      for (auto source : sources.getAsRange<SourceAttr>())
        json.object([&] { writeSource(type, source); });
    });
  }

  /// Rows that this rank keeps of a source.
  static int64_t keptRows(SourceAttr source) {
    const int64_t rows = source.getEnd() - source.getBegin();
    return source.getShard() == ShardRule::Rows ? rows / source.getRanks() : rows;
  }

  static int64_t tiledBytes(RankedTensorType type, ArrayAttr sources) {
    int64_t rows = 0;
    for (auto source : sources.getAsRange<SourceAttr>())
      rows += llvm::alignTo(keptRows(source), kTileRows);
    const bool pairs = type.getElementType().isBF16();
    const int64_t columns = pairs ? llvm::alignTo(type.getDimSize(1), 2) : type.getDimSize(1);
    return rows * columns * type.getElementTypeBitWidth() / 8;
  }

  void writeSource(RankedTensorType type, SourceAttr source) {
    json.attribute("tensor", source.getTensor().getValue());
    json.attribute("dtype", dtypeOf(type.getElementType()));
    json.attributeArray("shape", [&] {
      json.value(facts.tensors.lookup(source.getTensor()).rows);
      if (type.getRank() == 2)
        json.value(type.getDimSize(1) *
                   (source.getShard() == ShardRule::Columns ? source.getRanks() : 1));
    });
    json.attributeArray("rows", [&] {
      json.value(source.getBegin());
      json.value(source.getEnd());
    });
    if (source.getShard() == ShardRule::Replicated)
      return;
    json.attribute("shard", stringifyShardRule(source.getShard()));
    json.attribute("ranks", source.getRanks());
  }

  void resident(StringRef kind, StringRef dtype, StringRef layout, ArrayRef<int64_t> shape,
                int64_t bytes) {
    json.attribute("kind", kind);
    json.attribute("dtype", dtype);
    json.attribute("layout", layout);
    json.attributeArray("shape", [&] {
      for (int64_t size : shape)
        json.value(size);
    });
    json.attribute("bytes", bytes);
  }

  void writeKv() {
    const KvType kv = facts.kv;
    const int64_t layerBytes = 2 * kv.getHeads() * kv.getPage() * kv.getHeadDim() *
                               (kv.getElementType().getIntOrFloatBitWidth() / 8);
    json.attribute("layers", facts.layers);
    json.attribute("heads", kv.getHeads());
    json.attribute("head_dim", kv.getHeadDim());
    json.attribute("page_size", kv.getPage());
    json.attribute("dtype", dtypeOf(kv.getElementType()));
    json.attribute("layout", stringifyKvLayout(kv.getLayout()));
    json.attribute("layer_bytes", layerBytes);
    json.attribute("page_bytes", layerBytes * facts.layers);
    if (facts.window)
      json.attribute("window", facts.window);
  }

  void writeKernel(const StepKernel &kernel, int64_t index) {
    json.attribute("name", kernel.name);
    json.attribute("op", kernel.op);
    if (program.device())
      return writeDeviceKernel(json, kernel.device, index);
    json.attributeArray("isas", [&] {
      for (CpuIsa isa : isas)
        if (!kernel.symbol[static_cast<size_t>(isa)].empty())
          json.value(int64_t(isaNumber(isa)));
    });
  }

  void writeEntry(const StepEntry &entry) {
    json.attribute("name", entry.name);
    json.attribute("head", entry.head);
    json.attributeArray("tokens", [&] {
      json.value(entry.minTokens);
      json.value(entry.maxTokens);
    });
    json.attribute("max_rows", entry.maxRows);
    if (entry.maxQ)
      json.attribute("max_q", entry.maxQ);
    json.attributeArray("schedule", [&] {
      for (const StepOp &op : entry.ops)
        json.object([&] { writeOp(op); });
    });
    json.attributeArray("buffers", [&] {
      for (const StepBuffer &buffer : entry.buffers)
        json.object([&] {
          json.attribute("name", buffer.name);
          json.attribute("offset", buffer.offset);
          json.attribute("bytes", buffer.bytes);
          json.attribute("dtype", std::string(dtypeName(buffer.type)));
          json.attribute("columns", buffer.columns);
          json.attribute("of", buffer.rows ? "rows" : "tokens");
        });
    });
  }

  void writeOp(const StepOp &op) {
    json.attribute("name", op.name);
    json.attribute("op", op.op);
    json.attribute("kernel", static_cast<int64_t>(op.kernel));
    json.attribute("weight_bytes", op.weightBytes);
    json.attribute("flops_per_token", op.flopsPerToken);
    json.attribute("act_bytes_per_token", op.actBytesPerToken);
    json.attribute("kv", op.readsKv);
    if (op.window)
      json.attribute("window", op.window);
    if (program.device()) {
      json.attribute("grid", static_cast<int64_t>(op.grid.count));
      json.attribute("edge", op.edge == SINTER_EDGE_FULL ? "full" : "programmatic");
    }
  }

  void real(StringRef key, double value) {
    json.attributeBegin(key);
    number(json, value);
    json.attributeEnd();
  }

  ModuleOp module;
  const StepProgram &program;
  ArrayRef<CpuIsa> isas;
  const DeviceImage *image;
  const ArtifactInfo &info;
  const ModelFacts &facts;
  OStream json;
};

} // namespace

FailureOr<std::string> sinter::writeMeta(ModuleOp planned, const StepProgram &program,
                                         ArrayRef<CpuIsa> isas, const DeviceImage *image,
                                         const ArtifactInfo &info) {
  FailureOr<ModelFacts> facts = ModelFacts::of(planned, info.name);
  if (failed(facts))
    return failure();
  std::string text;
  llvm::raw_string_ostream stream(text);
  MetaWriter(planned, program, isas, image, info, *facts, stream).run();
  text += '\n';
  return text;
}
