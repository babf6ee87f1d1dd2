//===- TunePack.cpp - kernels to be measured on a GPU ---------------------===//
#include "sinter/Target/TunePack.h"

#include "KernelMeta.h"
#include "ModelFacts.h"
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Support/Sha256.h"
#include "sinter/Target/Artifact.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace sinter;
using llvm::json::OStream;

//===----------------------------------------------------------------------===//
// Collecting
//===----------------------------------------------------------------------===//

/// Bytes that a kernel may read of each weight.
static std::vector<int64_t> weightSizes(ModuleOp planned) {
  std::vector<int64_t> sizes;
  for (auto weight : planned.getOps<xfmr::WeightOp>()) {
    auto type = cast<RankedTensorType>(weight.getType());
    const bool plain = weight.getLayout() == xfmr::WeightLayout::Plain;
    sizes.push_back(type.getNumElements() * (plain ? 4 : type.getElementTypeBitWidth() / 8));
  }
  return sizes;
}

static bool isNamed(const StepOp &op, StringRef name) {
  StringRef own = op.name;
  return own.consume_front(name) && (own.empty() || own.front() == '.');
}

/// The entry for `tokens` whose sequences are short where there is one: decode.
static const StepEntry *entryFor(const StepProgram &program, int64_t tokens) {
  const StepEntry *best = nullptr;
  for (const StepEntry &entry : program.entries)
    if (entry.maxTokens == tokens && entry.head == "argmax" && (!best || entry.maxQ > best->maxQ))
      best = &entry;
  return best;
}

static TuneSequence::Launch launchOf(const StepOp &op) {
  return {op.kernel, static_cast<int64_t>(op.grid.count), op.args};
}

std::optional<unsigned> TunePack::find(const std::string &key) const {
  for (const auto &[i, sequence] : llvm::enumerate(sequences))
    if (sequence.first == key)
      return i;
  return std::nullopt;
}

std::optional<std::string> TunePack::shapeOf(const std::string &name, int64_t tokens) const {
  auto found = shapes.find(name + " " + std::to_string(tokens));
  return found == shapes.end() ? std::nullopt : std::optional(found->second);
}

LogicalResult TunePack::add(ModuleOp planned, ModuleOp lowered, StepProgram from,
                            std::vector<TuneLinear> made, ArrayRef<Wanted> wanted,
                            const DeviceImageOptions &options) {
  FailureOr<ModelFacts> facts = ModelFacts::of(planned, "");
  if (failed(facts))
    return failure();
  xfmr::KvType kv = facts->kv;
  heads = std::to_string(facts->heads) + "+" + std::to_string(kv.getHeads()) + "x" +
          std::to_string(kv.getHeadDim());
  kvPage = kv.getPage(), kvLayers = facts->layers, vocab = facts->vocab;
  kvLayerBytes = 2 * kv.getHeads() * kv.getPage() * kv.getHeadDim() *
                 kv.getElementType().getIntOrFloatBitWidth() / 8;
  kvPageBytes = kvLayerBytes * kvLayers;
  std::vector<std::pair<std::string, TuneSequence>> cut;
  const std::vector<int64_t> weights = weightSizes(planned);
  for (const Wanted &each : wanted) {
    const StepEntry *entry = entryFor(from, each.tokens);
    if (!entry)
      continue;
    TuneSequence s;
    s.name = entry->name;
    s.tokens = each.tokens, s.rows = entry->maxRows, s.maxQ = entry->maxQ;
    s.arenaBytes = from.arenaBytes, s.persistentBytes = from.persistentBytes, s.weights = weights;
    for (const StepOp &op : entry->ops) {
      if (op.op == "decode_plan" || op.op == "prefill_plan")
        s.setup.push_back(launchOf(op));
      for (const std::string &name : each.names)
        if (isNamed(op, name)) {
          s.launches.push_back(launchOf(op));
          s.readsKv |= op.readsKv;
          if (!op.choice.shape.empty())
            shapes[name + " " + std::to_string(each.tokens)] = op.choice.shape;
        }
    }
    if (!s.readsKv)
      s.setup.clear();
    if (!s.launches.empty())
      cut.emplace_back(each.key, std::move(s));
  }
  // Kernels that are used keep their order.
  llvm::BitVector used(from.kernels.size());
  for (auto &[key, s] : cut)
    for (auto *list : {&s.setup, &s.launches})
      for (const TuneSequence::Launch &launch : *list)
        used.set(launch.kernel);
  for (const TuneLinear &linear : made)
    for (const TuneLinear::Variant &variant : linear.variants)
      used.set(variant.index);
  std::vector<unsigned> number(from.kernels.size());
  StepProgram part;
  part.chip = from.chip;
  const size_t before = program.kernels.size();
  const SmallVector<mlir::gpu::GPUModuleOp> all(lowered.getOps<mlir::gpu::GPUModuleOp>());
  for (size_t i = 0; i < all.size(); ++i) {
    if (!used.test(i)) {
      mlir::gpu::GPUModuleOp(all[i]).erase();
      continue;
    }
    number[i] = before + part.kernels.size();
    part.kernels.push_back(std::move(from.kernels[i]));
  }
  auto image = compileDeviceImage(lowered, part, options);
  if (failed(image))
    return failure();
  program.chip = part.chip;
  llvm::move(part.kernels, std::back_inserter(program.kernels));
  llvm::move(image->modules, std::back_inserter(modules));
  for (auto &[key, s] : cut) {
    for (auto *list : {&s.setup, &s.launches})
      for (TuneSequence::Launch &launch : *list)
        launch.kernel = number[launch.kernel];
    sequences.emplace_back(key, std::move(s));
  }
  for (TuneLinear &linear : made) {
    for (TuneLinear::Variant &variant : linear.variants)
      variant.index = number[variant.index];
    // What spills is slow and says nothing about the template; the rules' choice stays to compare.
    auto rest = llvm::drop_begin(linear.variants);
    linear.variants.erase(std::remove_if(rest.begin(), rest.end(),
                                         [&](const TuneLinear::Variant &v) {
                                           return program.kernels[v.index].device.spillBytes > 0;
                                         }),
                          linear.variants.end());
    linears.push_back(std::move(linear));
  }
  return success();
}

void TunePack::addFusion(const Fusion &fusion) {
  const auto fused = find(fusion.fused), apart = find(fusion.apart);
  if (!fused || !apart || (!fusion.shared.empty() && !find(fusion.shared)))
    return;
  const bool isMade = llvm::any_of(sequences[*fused].second.launches, [&](const auto &launch) {
    return StringRef(program.kernels[launch.kernel].name).contains(fusion.kernel);
  });
  if (isMade)
    fusions.push_back(fusion);
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static void writeArgs(OStream &json, ArrayRef<SinterArg> args) {
  json.attributeArray("args", [&] {
    for (const SinterArg &arg : args)
      json.array([&] {
        json.value(static_cast<int64_t>(arg.kind));
        json.value(static_cast<int64_t>(arg.index));
        json.value(static_cast<int64_t>(arg.offset));
      });
  });
}

static void writeSizes(OStream &json, StringRef key, ArrayRef<int64_t> sizes) {
  json.attributeArray(key, [&] {
    for (int64_t each : sizes)
      json.value(each);
  });
}

static void writeLaunches(OStream &json, StringRef key, ArrayRef<TuneSequence::Launch> launches) {
  json.attributeArray(key, [&] {
    for (const TuneSequence::Launch &launch : launches)
      json.object([&] {
        json.attribute("kernel", static_cast<int64_t>(launch.kernel));
        json.attribute("grid", launch.grid);
        writeArgs(json, launch.args);
      });
  });
}

static void writeSequence(OStream &json, const TuneSequence &s) {
  json.object([&] {
    json.attribute("name", s.name);
    json.attribute("tokens", s.tokens);
    json.attribute("rows", s.rows);
    json.attribute("max_q", s.maxQ);
    json.attribute("arena_bytes", s.arenaBytes);
    json.attribute("persistent_bytes", s.persistentBytes);
    json.attribute("kv", s.readsKv);
    writeSizes(json, "weights", s.weights);
    writeLaunches(json, "setup", s.setup);
    writeLaunches(json, "launches", s.launches);
  });
}

static void writeLinear(OStream &json, const TuneLinear &linear) {
  json.object([&] {
    json.attribute("shape", linear.shape);
    json.attribute("op", linear.op);
    json.attribute("tokens", linear.tokens);
    json.attribute("rows", linear.rows);
    writeSizes(json, "weights", linear.weightBytes);
    json.attribute("result_at", linear.resultAt);
    json.attribute("result_bytes", linear.resultBytes);
    json.attribute("result_type", linear.resultType);
    json.attributeArray("variants", [&] {
      for (const TuneLinear::Variant &v : linear.variants)
        json.object([&] {
          json.attribute("choice", v.kernel);
          json.attribute("predicted_us", v.predicted);
          json.attribute("arena_bytes", v.arenaBytes);
          json.attribute("kernel", static_cast<int64_t>(v.index));
          json.attribute("grid", v.grid);
          writeArgs(json, v.args);
        });
    });
  });
}

std::string TunePack::write(const std::string &model) const {
  std::string text, ptx, cubin;
  // A pack is for one chip: machine code is enough where there is some.
  std::vector<DeviceModule> kept = modules;
  for (DeviceModule &module : kept) {
    if (!module.cubin.empty())
      module.ptx.clear();
    ptx.append(module.ptx).push_back('\0');
    cubin += module.cubin;
  }
  {
    llvm::raw_string_ostream stream(text);
    OStream json(stream);
    json.object([&] {
      json.attribute("chip", program.chip);
      json.attribute("model", model);
      json.attribute("compiler", compilerBuild());
      json.attribute("ptx_bytes", static_cast<int64_t>(ptx.size()));
      json.attribute("cubin_bytes", static_cast<int64_t>(cubin.size()));
      json.attributeObject("kv", [&] {
        json.attribute("layers", kvLayers);
        json.attribute("page", kvPage);
        json.attribute("layer_bytes", kvLayerBytes);
        json.attribute("page_bytes", kvPageBytes);
      });
      json.attribute("vocab", vocab);
      writeModules(json, kept);
      json.attributeArray("kernels", [&] {
        for (const auto &[i, kernel] : llvm::enumerate(program.kernels))
          json.object([&, i = i, &each = kernel] {
            json.attribute("name", each.name);
            json.attribute("op", each.op);
            writeDeviceKernel(json, each.device, static_cast<int64_t>(i));
          });
      });
      json.attributeArray("sequences", [&] {
        for (const auto &[key, sequence] : sequences)
          writeSequence(json, sequence);
      });
      json.attributeArray("linears", [&] {
        for (const TuneLinear &linear : linears)
          writeLinear(json, linear);
      });
      json.attributeArray("fusions", [&] {
        for (const Fusion &fusion : fusions)
          json.object([&] {
            json.attribute("pass", fusion.pass);
            json.attribute("name", fusion.name);
            json.attribute("shape", fusion.shape);
            json.attribute("tokens", fusion.tokens);
            json.attribute("fused", static_cast<int64_t>(*find(fusion.fused)));
            json.attribute("apart", static_cast<int64_t>(*find(fusion.apart)));
            if (!fusion.shared.empty())
              json.attribute("shared", static_cast<int64_t>(*find(fusion.shared)));
            json.attributeArray("gemms", [&] {
              for (const auto &gemm : fusion.gemms)
                json.array([&] {
                  json.value(gemm.first);
                  json.value(gemm.second);
                });
            });
          });
      });
    });
  }
  const std::string body = std::to_string(text.size()) + "\n" + text + ptx + cubin;
  return "sinter-tune-pack 1\n" + toHex(Sha256::of(body.data(), body.size())) + "\n" + body;
}
