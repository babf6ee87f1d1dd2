//===- TunePack.cpp -------------------------------------------------------===//
#include "runtime/tune/TunePack.h"

#include "runtime/model/JsonReader.h"
#include "runtime/model/ManifestParser.h"
#include "sinter/Support/Sha256.h"

#include <charconv>

namespace sinter::tune {
namespace {

using nlohmann::json;

constexpr IntRange kBytes = {0, int64_t(1) << 46};
constexpr IntRange kCount = {1, int64_t(1) << 31};
constexpr const char *kMagic = "sinter-tune-pack 1\n";

std::vector<SinterArg> parseArgs(Reader &r, const Sequence &sequence) {
  std::vector<SinterArg> args;
  r.array("args", [&](const json &element, const std::string &where) {
    bool valid = element.is_array() && element.size() == 3;
    for (size_t i = 0; valid && i < 3; ++i)
      valid = element[i].is_number_unsigned();
    if (!valid)
      return r.fail("args", "expected [kind, index, offset]");
    const SinterArg arg = {element[0].get<uint32_t>(), element[1].get<uint32_t>(),
                           element[2].get<uint64_t>()};
    if (arg.kind == SINTER_ARG_NULL || arg.kind > SINTER_ARG_ARGMAX_INDEX)
      return r.fail("args", "unknown kind " + std::to_string(arg.kind));
    if (arg.kind == SINTER_ARG_ARENA && arg.offset >= sequence.arenaBytes)
      return r.fail("args", "an address behind the arena");
    if (arg.kind == SINTER_ARG_WEIGHT && arg.index >= sequence.weights.size())
      return r.fail("args", "unknown weight " + std::to_string(arg.index));
    args.push_back(arg);
  });
  r.require(args.size() <= SINTER_MAX_ARGS, "args", "too many");
  return args;
}

Launch parseLaunch(Reader r, const Sequence &sequence, const Pack &pack) {
  Launch launch;
  launch.kernel = uint32_t(r.integer("kernel", kNonNegative));
  launch.grid = uint32_t(r.integer("grid", kCount));
  launch.args = parseArgs(r, sequence);
  r.require(launch.kernel < pack.manifest.kernels.size(), "kernel", "is not a kernel's index");
  return launch;
}

Sequence parseSequence(Reader r, const Pack &pack) {
  Sequence s;
  s.name = r.string("name");
  s.tokens = uint32_t(r.integer("tokens", {1, 1 << 20}));
  s.rows = uint32_t(r.integer("rows", {1, 1 << 20}));
  s.maxQ = uint32_t(r.integer("max_q", {0, 1 << 20}));
  s.arenaBytes = r.integer("arena_bytes", kBytes);
  s.persistentBytes = r.integer("persistent_bytes", kBytes);
  s.readsKv = r.boolean("kv");
  s.weights = r.integers("weights", kBytes);
  r.require(s.persistentBytes <= s.arenaBytes, "persistent_bytes", "is more than the arena");
  for (auto [key, list] : {std::pair{"setup", &s.setup}, {"launches", &s.launches}})
    r.array(key, [&, list = list](const json &element, const std::string &where) {
      list->push_back(parseLaunch(Reader(element, where, r.status()), s, pack));
    });
  r.require(!s.launches.empty(), "launches", "expected at least one");
  return s;
}

Variant parseVariant(Reader r, const Sequence &common, const Pack &pack) {
  Variant variant;
  variant.choice = r.string("choice");
  variant.predicted = r.number("predicted_us");
  variant.sequence = common;
  variant.sequence.arenaBytes = r.integer("arena_bytes", kBytes);
  variant.sequence.launches = {parseLaunch(r, variant.sequence, pack)};
  return variant;
}

Linear parseLinear(Reader r, const Pack &pack) {
  Linear linear;
  linear.shape = r.string("shape");
  linear.op = r.string("op");
  Sequence common;
  common.name = linear.shape;
  common.tokens = common.rows = uint32_t(r.integer("tokens", {1, 1 << 20}));
  common.maxQ = 1;
  common.weights = r.integers("weights", kBytes);
  linear.resultAt = r.integer("result_at", kBytes);
  linear.resultBytes = r.integer("result_bytes", kBytes);
  const std::string type = r.string("result_type");
  linear.resultType = parseDType(type);
  r.require(type.empty() || linear.resultType, "result_type", "unknown element type");
  r.array("variants", [&](const json &element, const std::string &where) {
    linear.variants.push_back(parseVariant(Reader(element, where, r.status()), common, pack));
    const uint64_t end = linear.resultAt + linear.resultBytes;
    r.require(!linear.resultType || end <= linear.variants.back().sequence.arenaBytes, "result_at",
              "lies behind the arena");
  });
  r.require(!linear.variants.empty(), "variants", "expected at least one");
  return linear;
}

Fusion parseFusion(Reader r, const Pack &pack) {
  const auto sequence = [&](const char *key) {
    const size_t index = r.integer(key, kNonNegative);
    r.require(index < pack.sequences.size(), key, "is not a sequence's index");
    return index;
  };
  Fusion fusion;
  fusion.pass = r.string("pass");
  fusion.name = r.string("name");
  fusion.shape = r.string("shape");
  fusion.tokens = uint32_t(r.integer("tokens", {1, 1 << 20}));
  fusion.fused = sequence("fused");
  fusion.apart = sequence("apart");
  if (r.has("shared"))
    fusion.shared = sequence("shared");
  r.array("gemms", [&](const json &element, const std::string &where) {
    if (!element.is_array() || element.size() != 2 || !element[0].is_number_unsigned() ||
        !element[1].is_number_unsigned())
      return r.fail("gemms", "expected [N, K]");
    fusion.gemms.emplace_back(element[0].get<uint32_t>(), element[1].get<uint32_t>());
  });
  return fusion;
}

Status parseText(const json &root, const std::string &what, Pack &pack) {
  Status status;
  Reader r(root, what, status);
  pack.chip = r.string("chip");
  pack.model = r.string("model");
  pack.compiler = r.string("compiler");
  pack.manifest.target = kCudaTarget;
  pack.manifest.isas = {pack.chip};
  pack.vocab = r.integer("vocab", kCount);
  Reader kv(r.child("kv"), what + ": kv", status);
  pack.layers = kv.integer("layers", {1, 1 << 16});
  pack.page = kv.integer("page", {1, 4096});
  pack.layerBytes = kv.integer("layer_bytes", kBytes);
  pack.pageBytes = kv.integer("page_bytes", kBytes);
  parseKernels(r, pack.manifest);
  r.array("sequences", [&](const json &element, const std::string &where) {
    pack.sequences.push_back(parseSequence(Reader(element, where, status), pack));
  });
  r.array("linears", [&](const json &element, const std::string &where) {
    pack.linears.push_back(parseLinear(Reader(element, where, status), pack));
  });
  r.array("fusions", [&](const json &element, const std::string &where) {
    pack.fusions.push_back(parseFusion(Reader(element, where, status), pack));
  });
  const uint64_t ptx = r.integer("ptx_bytes", kBytes), cubin = r.integer("cubin_bytes", kBytes);
  r.require(ptx == pack.ptx.size() || ptx + cubin == pack.ptx.size(), "ptx_bytes",
            "is not what the file holds");
  SINTER_RETURN_IF_ERROR(status);
  pack.cubin = pack.ptx.substr(ptx);
  pack.ptx.resize(ptx);
  for (const ModulePlan &module : pack.manifest.modules)
    if (module.ptxBytes == 0 || module.ptxOffset + module.ptxBytes > ptx ||
        module.cubinOffset + module.cubinBytes > cubin)
      return invalidInput(what + ": a module lies outside of the file");
  return Status::ok();
}

} // namespace

Result<Pack> parsePack(const std::string &bytes, const std::string &what) {
  const std::string magic = kMagic;
  constexpr size_t kDigits = 64;
  if (bytes.compare(0, magic.size(), magic) != 0)
    return invalidInput(what + ": not a tune pack of this version (sinter-compile --tune-pack)");
  const size_t body = magic.size() + kDigits + 1;
  if (bytes.size() <= body || toHex(Sha256::of(bytes.data() + body, bytes.size() - body)) + "\n" !=
                                  bytes.substr(magic.size(), kDigits + 1))
    return invalidInput(what + ": damaged or cut short");
  size_t length = 0;
  const auto parsed = std::from_chars(bytes.data() + body, bytes.data() + bytes.size(), length);
  const size_t text = size_t(parsed.ptr - bytes.data()) + 1;
  if (parsed.ec != std::errc() || text > bytes.size() || length > bytes.size() - text)
    return invalidInput(what + ": damaged");
  Pack pack;
  pack.ptx = bytes.substr(text + length); // and the machine code, until its place is known
  SINTER_ASSIGN_OR_RETURN(const json root,
                          parseJson(std::string_view(bytes).substr(text, length), what));
  SINTER_RETURN_IF_ERROR(parseText(root, what, pack));
  return pack;
}

} // namespace sinter::tune
