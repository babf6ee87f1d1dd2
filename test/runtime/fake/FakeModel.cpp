//===- FakeModel.cpp ------------------------------------------------------===//
#include "test/runtime/fake/FakeModel.h"

#include "runtime/model/ElfReader.h"
#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/Sha256.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace sinter::fake {
namespace {

using nlohmann::json;

constexpr float kKScale = 8; // norm's largest value 2.5 * sqrt(8) = 7.07

const char *kEmbedName = "model.embed_tokens.weight";
const char *kNormName = "model.norm.weight";

std::vector<uint8_t> readBytes(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

const ElfSection &sectionOf(const ElfFile &elf, const char *name) {
  const ElfSection *section = elf.find(name);
  if (!section)
    throw std::runtime_error(std::string("the fake model has no ") + name);
  return *section;
}

std::vector<float> invFreq() { return {1.f, 0.5f, 0.25f, 0.125f}; }

json op(const char *name, const char *kind, int kernel, int weightBytes, bool kv) {
  return {{"name", name},
          {"op", kind},
          {"kernel", kernel},
          {"weight_bytes", weightBytes},
          {"flops_per_token", 16},
          {"act_bytes_per_token", 64},
          {"kv", kv}};
}

json entry(const char *name, const char *head, int first, int last, int rows, int headKernel) {
  json entry = {
      {"name", name},
      {"head", head},
      {"tokens", {first, last}},
      {"max_rows", rows},
      {"schedule",
       {op("embed", "embedding", 0, 32, false), op("layers.0.attn.write", "kv_write", 1, 4, false),
        op("layers.0.attn", "attention", 2, 32, true),
        op("lm_head", head, headKernel, kVocab * kHidden * 4, false)}},
      {"buffers",
       {{{"name", "embed"},
         {"offset", 0},
         {"bytes", last * 2 * kHidden * 4},
         {"dtype", "f32"},
         {"columns", 2 * kHidden},
         {"of", "tokens"}}}}};
  if (entry["head"] == "sample")
    entry["schedule"].push_back(op("lm_head.draw", "draw", headKernel + 2, 0, false));
  return entry;
}

} // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "sinter-test-XXXXXX").string();
  if (!mkdtemp(name.data()))
    throw std::runtime_error("cannot make a temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty())
    std::filesystem::remove_all(path_, ignored);
}

Weights makeWeights(int variant) {
  Weights weights;
  for (int i = 0; i < kVocab * kHidden; ++i)
    weights.embed.push_back(float(2 * std::sin(12.9898 * i + variant)));
  for (int i = 0; i < kHidden; ++i)
    weights.norm.push_back(i == 3 ? -2.5f : 0.5f + 0.125f * float(i));
  return weights;
}

std::string writeCheckpoint(const std::string &directory, const Weights &weights) {
  const size_t embedBytes = weights.embed.size() * 4, normBytes = weights.norm.size() * 4;
  const json header = {
      {kEmbedName,
       {{"dtype", "F32"}, {"shape", {kVocab, kHidden}}, {"data_offsets", {0, embedBytes}}}},
      {kNormName,
       {{"dtype", "F32"},
        {"shape", {kHidden}},
        {"data_offsets", {embedBytes, embedBytes + normBytes}}}}};
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::string head(reinterpret_cast<const char *>(&length), sizeof length);
  head += text;
  std::ofstream out(directory + "/model.safetensors", std::ios::binary);
  out.write(head.data(), std::streamsize(head.size()));
  out.write(reinterpret_cast<const char *>(weights.embed.data()), std::streamsize(embedBytes));
  out.write(reinterpret_cast<const char *>(weights.norm.data()), std::streamsize(normBytes));
  return toHex(Sha256::of(head.data(), head.size()));
}

json makeMeta(const std::string &directory, const std::string &headerHash) {
  const json embedSource = {{"tensor", kEmbedName},
                            {"dtype", "f32"},
                            {"shape", {kVocab, kHidden}},
                            {"rows", {0, kVocab}}};
  const json normSource = {{"tensor", kNormName}, {"dtype", "f32"}, {"shape", {kHidden}}};
  const int layerBytes = 2 * kPageSize * kHidden * 4;
  json meta = {{"format", "sinter"},
               {"abi", SINTER_ABI_VERSION},
               {"compiler", {{"version", "0.0.0"}, {"build", "fake"}, {"llvm", "none"}}},
               {"target", "cpu"},
               {"isas", {"x86-64-v3"}},
               {"options", {{"dtype", "f32"}, {"batch_invariant", true}, {"k_scale", true}}},
               {"source",
                {{"directory", directory},
                 {"files", {{{"name", "model.safetensors"}, {"header_sha256", headerHash}}}}}},
               {"arena_bytes", kMaxStepTokens * 2 * kHidden * 4},
               {"scratch_bytes", kHidden * 4}};
  meta["model"] = {{"name", "fake"},
                   {"architecture", "Fake"},
                   {"layers", 1},
                   {"hidden", kHidden},
                   {"intermediate", 8},
                   {"heads", 1},
                   {"kv_heads", 1},
                   {"head_dim", kHidden},
                   {"vocab", kVocab},
                   {"max_position", kPositions},
                   {"eos", json::array({12, 38})},
                   {"generation", {{"do_sample", false}}}};
  meta["weights"] = json::array({{{"name", "embed"},
                                  {"kind", "linear"},
                                  {"dtype", "f32"},
                                  {"layout", "tiled16"},
                                  {"shape", {kVocab, kHidden}},
                                  {"bytes", 48 * kHidden * 4},
                                  {"sources", json::array({embedSource})}},
                                 {{"name", "norm"},
                                  {"kind", "vector"},
                                  {"dtype", "f32"},
                                  {"layout", "plain"},
                                  {"shape", json::array({kHidden})},
                                  {"bytes", kHidden * 4},
                                  {"sources", json::array({normSource})}},
                                 {{"name", "layers.0.attn.k_scale"},
                                  {"kind", "k_scale"},
                                  {"dtype", "f32"},
                                  {"layout", "plain"},
                                  {"shape", json::array({1})},
                                  {"bytes", 4},
                                  {"head_dim", kHidden},
                                  {"sources", json::array({normSource})}},
                                 {{"name", "rope"},
                                  {"kind", "rope"},
                                  {"dtype", "f32"},
                                  {"layout", "plain"},
                                  {"shape", {kPositions, kHidden}},
                                  {"bytes", kPositions * kHidden * 4},
                                  {"inv_freq", invFreq()},
                                  {"attention_scaling", 1.0},
                                  {"sources", json::array()}}});
  meta["kv"] = {{"layers", 1},
                {"heads", 1},
                {"head_dim", kHidden},
                {"page_size", kPageSize},
                {"dtype", "f32"},
                {"layout", "token_major"},
                {"layer_bytes", layerBytes},
                {"page_bytes", layerBytes}};
  meta["kernels"] = json::array();
  for (const char *name : {"embed", "write", "attend", "logits", "argmax"})
    meta["kernels"].push_back({{"name", name}, {"op", name}, {"isas", {3, 4}}});
  meta["entries"] = json::array(
      {entry("step_m1_logits", "logits", 1, 1, 1, 3), entry("step_m1_argmax", "argmax", 1, 1, 1, 4),
       entry("step_logits", "logits", 2, kMaxStepTokens, kMaxStepTokens, 3),
       entry("step_argmax", "argmax", 2, kMaxStepTokens, kMaxStepTokens, 4)});
  return meta;
}

json makeCudaMeta(const std::string &directory, const std::string &headerHash) {
  json meta = makeMeta(directory, headerHash);
  meta["kernels"].push_back({{"name", "draw"}, {"op", "draw"}});
  meta["target"] = "cuda";
  meta["isas"] = {"sm_90a"};
  meta["scratch_bytes"] = 0;
  meta["persistent_bytes"] = kMaxStepTokens * 4;
  meta["arena_bytes"] = kMaxStepTokens * 2 * kHidden * 4 + kMaxStepTokens * 4;
  meta["feedback"] = true;
  meta["options"]["batch_invariant"] = false;
  meta["weights"][0]["layout"] = "row_major";
  meta["weights"][0]["bytes"] = kVocab * kHidden * 4;
  const std::vector<uint8_t> code = readBytes(SINTER_FAKE_CUDA_MODEL);
  const auto elf = readElf(code);
  if (!elf)
    throw std::runtime_error(elf.status().message());
  meta["modules"] = json::array({{{"ptx", {0, sectionOf(*elf, ".sinter.ptx").size}},
                                  {"cubin", {0, sectionOf(*elf, ".sinter.cubin").size}}}});
  // The weights are f32, a tensor map is of 16-bit elements: twice as many columns.
  const json embed = {{"arg", 1},       {"dtype", "bf16"},
                      {"rows", kVocab}, {"columns", 2 * kHidden},
                      {"box_rows", 8},  {"box_columns", 64}};
  for (json &kernel : meta["kernels"]) {
    kernel.erase("isas");
    kernel.update({{"module", 0},
                   {"threads", 128},
                   {"shared_bytes", 0},
                   {"static_shared_bytes", 64},
                   {"cluster", 1},
                   {"registers", 40},
                   {"spill_bytes", 0}});
    if (kernel["name"] == "logits" || kernel["name"] == "argmax")
      kernel["tensor_maps"] = json::array({embed});
    if (kernel["name"] == "argmax") // the kernel looks at the address alone
      kernel["tensor_maps"][0].update({{"columns", 128}, {"box_columns", 128}});
  }
  meta["entries"] = json::array(
      {entry("decode_logits", "logits", 1, 4, 4, 3), entry("decode_argmax", "argmax", 1, 4, 4, 4),
       entry("step_logits", "logits", 1, kMaxStepTokens, kMaxStepTokens, 3),
       entry("step_argmax", "argmax", 1, kMaxStepTokens, kMaxStepTokens, 4),
       entry("decode_sample", "sample", 1, 4, 4, 3),
       entry("step_sample", "sample", 1, kMaxStepTokens, kMaxStepTokens, 3)});
  for (size_t mixed : {2, 3, 5}) {
    json &schedule = meta["entries"][mixed]["schedule"];
    schedule.insert(schedule.begin() + 1, schedule[1]);
  }
  for (json &entry : meta["entries"])
    for (json &op : entry["schedule"])
      op.update({{"grid", 2}, {"edge", op["op"] == "attention" ? "programmatic" : "full"}});
  for (int decode : {0, 1, 4})
    meta["entries"][size_t(decode)]["max_q"] = 1;
  return meta;
}

void sealArtifact(std::vector<uint8_t> &artifact) {
  const auto elf = readElf(artifact);
  if (!elf)
    throw std::runtime_error(elf.status().message());
  const ElfSection &section = sectionOf(*elf, ".sinter.digest");
  uint8_t *digest = artifact.data() + section.offset;
  std::memset(digest, 0, section.size);
  const Sha256Digest computed = Sha256::of(artifact.data(), artifact.size());
  std::memcpy(digest, computed.data(), computed.size());
}

static std::vector<uint8_t> makeArtifactOf(const std::string &code, const std::string &meta) {
  std::vector<uint8_t> bytes = readBytes(code);
  const auto elf = readElf(bytes);
  if (!elf)
    throw std::runtime_error(elf.status().message());
  const ElfSection &section = sectionOf(*elf, ".sinter.meta");
  if (meta.size() > section.size)
    throw std::runtime_error("the fake model's metadata does not fit its section");
  std::memset(bytes.data() + section.offset, ' ', section.size);
  std::memcpy(bytes.data() + section.offset, meta.data(), meta.size());
  sealArtifact(bytes);
  return bytes;
}

std::vector<uint8_t> makeArtifact(const std::string &meta) {
  return makeArtifactOf(SINTER_FAKE_MODEL, meta);
}

std::vector<uint8_t> makeCudaArtifact(const std::string &meta) {
  return makeArtifactOf(SINTER_FAKE_CUDA_MODEL, meta);
}

std::vector<uint8_t> makeCudaTextArtifact(const std::string &meta) {
  return makeArtifactOf(SINTER_FAKE_CUDA_TEXT_MODEL, meta);
}

void writeBytes(const std::string &path, const std::vector<uint8_t> &bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char *>(bytes.data()), std::streamsize(bytes.size()));
}

std::vector<float> referenceLogits(const Weights &weights, const std::vector<int32_t> &tokens,
                                   size_t window) {
  std::vector<float> logits;
  float acc[kHidden] = {};
  const auto see = [&](size_t p) {
    const float *h = weights.embed.data() + tokens[p] * kHidden;
    const float k = h[0] / kKScale * kKScale;
    for (int c = 0; c < kHidden; ++c) {
      const double angle = float(p) * invFreq()[size_t(c % (kHidden / 2))];
      const float rope = float(c < kHidden / 2 ? std::cos(angle) : std::sin(angle));
      const float v = h[c] * rope;
      acc[c] = acc[c] / 2 + v * k;
    }
  };
  for (size_t p = 0; p < tokens.size(); ++p) {
    if (window && p >= window) { // the first one goes, which changes all
      std::fill(std::begin(acc), std::end(acc), 0.0f);
      for (size_t q = p + 1 - window; q < p; ++q)
        see(q);
    }
    see(p);
    for (int v = 0; v < kVocab; ++v) {
      float sum = 0;
      for (int c = 0; c < kHidden; ++c)
        sum += acc[c] * weights.norm[size_t(c)] * weights.embed[size_t(v * kHidden + c)];
      logits.push_back(sum);
    }
  }
  return logits;
}

static Installed installed(int variant, decltype(makeMeta) meta, decltype(makeArtifact) artifact) {
  Installed installed;
  installed.weights = makeWeights(variant);
  const std::string &folder = installed.folder.path();
  const std::string hash = writeCheckpoint(folder, installed.weights);
  installed.artifact = installed.folder.file("fake.sinter");
  writeBytes(installed.artifact, artifact(meta(folder, hash).dump()));
  return installed;
}

Installed install(int variant) { return installed(variant, makeMeta, makeArtifact); }

Installed installCuda(int variant) { return installed(variant, makeCudaMeta, makeCudaArtifact); }

} // namespace sinter::fake
