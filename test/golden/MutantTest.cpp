//===- MutantTest.cpp - broken models must be told from right ones --------===//
//
// Each mutant is a mistake somebody could make in a kernel, a pass or the engine, planted in the
// step's inputs, in the imported graph or in the checkpoint. The suite kills it when the error is
// above the bound that the right model must meet.
//
//===----------------------------------------------------------------------===//
#include "sinter/Support/Safetensors.h"
#include "test/golden/GoldenModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <stdexcept>

using namespace sinter;
using namespace sinter::golden;
namespace fs = std::filesystem;

namespace {

constexpr double kF32Bound = 1e-4;
const std::string kName = "gqa2_d64_f16"; // 4 query heads on 2 kv heads, two layers

/// The error of a mutant; the tests below demand that it is above the bound.
double errorOf(GoldenModel &model, const RunOptions &options = {.chunk = 9}) {
  Golden golden = readTinyGolden(kName);
  return relativeL2(model.run(golden.ids, options), golden.f32);
}

double errorOf(Tamper tamper, const RunOptions &options = {.chunk = 9}) {
  std::string directory = tinyDirectory(kName);
  GoldenModel model(compile(directory, "--dtype f32"), directory, 2, std::move(tamper));
  return errorOf(model, options);
}

TEST(Mutants, TheOriginalPasses) {
  EXPECT_LE(errorOf([](SinterBatch &, SinterModel &) {}), kF32Bound);
}

//===----------------------------------------------------------------------===//
// In the step's inputs
//===----------------------------------------------------------------------===//

TEST(Mutants, WrongPage) {
  std::vector<int32_t> table;
  EXPECT_GT(errorOf([&](SinterBatch &b, SinterModel &) {
              table.assign(b.block_table, b.block_table + b.num_seqs * b.block_table_stride);
              if (b.max_ctx > 16)
                std::swap(table[0], table[1]);
              b.block_table = table.data();
            }),
            kF32Bound);
}

TEST(Mutants, PositionOffByOne) {
  // Rotation is relative: only a step that disagrees with the others shows.
  std::string directory = tinyDirectory(kName);
  std::string artifact = compile(directory, "--dtype f32");
  size_t rope = GoldenModel(artifact, directory).ropeIndex();
  std::vector<void *> weights;
  GoldenModel model(artifact, directory, 2, [&](SinterBatch &b, SinterModel &m) {
    weights.assign(m.weights, m.weights + m.num_weights);
    if (b.max_ctx > 9)
      weights[rope] = static_cast<float *>(weights[rope]) + 64;
    m.weights = weights.data();
  });
  EXPECT_GT(errorOf(model), kF32Bound);
}

TEST(Mutants, UnmaskedTail) {
  // Every token sees one position more than it may; the angles stay those of its own position.
  std::string directory = tinyDirectory(kName);
  std::string artifact = compile(directory, "--dtype f32");
  size_t rope = GoldenModel(artifact, directory).ropeIndex();
  std::vector<void *> weights;
  std::vector<int32_t> positions, ctx;
  GoldenModel model(artifact, directory, 2, [&](SinterBatch &b, SinterModel &m) {
    weights.assign(m.weights, m.weights + m.num_weights);
    weights[rope] = static_cast<float *>(weights[rope]) - 64;
    m.weights = weights.data();
    positions.assign(b.positions, b.positions + b.num_tokens);
    ctx.assign(b.ctx, b.ctx + b.num_seqs);
    for (int32_t &p : positions)
      ++p;
    for (int32_t &c : ctx)
      ++c;
    b.positions = positions.data();
    b.ctx = ctx.data();
    ++b.max_ctx;
  });
  EXPECT_GT(errorOf(model), kF32Bound);
}

TEST(Mutants, StaleCache) {
  // One token's keys and values are never written: what was there before is read.
  std::string directory = tinyDirectory(kName);
  std::vector<int32_t> slots;
  GoldenModel model(compile(directory, "--dtype f32"), directory, 2,
                    [&](SinterBatch &b, SinterModel &m) {
                      slots.assign(b.slots, b.slots + b.num_tokens);
                      if (b.max_ctx == 9) {
                        std::memset(m.kv, 0, m.kv_page_bytes);
                        slots[4] = -1;
                      }
                      b.slots = slots.data();
                    });
  EXPECT_GT(errorOf(model), kF32Bound);
}

//===----------------------------------------------------------------------===//
// In the imported graph
//===----------------------------------------------------------------------===//

/// Replaces the first match of `pattern` in the imported graph and compiles that.
double errorOfGraph(const std::string &pattern, const std::string &replacement) {
  std::string directory = tinyDirectory(kName);
  std::string graph = emitXfmr(directory, "--dtype f32");
  std::string changed = std::regex_replace(graph, std::regex(pattern), replacement,
                                           std::regex_constants::format_first_only);
  EXPECT_NE(changed, graph) << "nothing matches " << pattern;
  fs::path file = fs::path(SINTER_BINARY_DIR) / "test/golden" /
                  ("mutant" + std::to_string(std::hash<std::string>{}(pattern)) + ".mlir");
  fs::create_directories(file.parent_path());
  std::ofstream(file) << changed;
  GoldenModel model(compile(file.string(), ""), directory);
  return errorOf(model);
}

TEST(Mutants, TheUnchangedGraphPasses) { EXPECT_LE(errorOfGraph("module", "module "), kF32Bound); }

TEST(Mutants, MissingResidual) {
  // x + y becomes y + y.
  EXPECT_GT(errorOfGraph(R"(xfmr\.add (%\S+), (%\S+) )", "xfmr.add $2, $2 "), kF32Bound);
}

TEST(Mutants, DroppedScale) {
  EXPECT_GT(errorOfGraph(R"(scale = 1\.250000e-01 : f32)", "scale = 1.0 : f32"), kF32Bound);
}

TEST(Mutants, WrongEps) {
  EXPECT_GT(errorOfGraph(R"(eps = \S+ : f32)", "eps = 1.0e-2 : f32"), kF32Bound);
}

//===----------------------------------------------------------------------===//
// In the checkpoint
//===----------------------------------------------------------------------===//

constexpr size_t kHeads = 4, kHeadDim = 64, kHidden = 64;

/// A copy of the checkpoint whose tensors `change` has edited in place, as [rows][columns] of f16.
class EditedCheckpoint {
public:
  explicit EditedCheckpoint(const std::string &name)
      : folder_(fs::path(SINTER_BINARY_DIR) / "test/golden" / name) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    for (const char *file : {"config.json", "model.safetensors"})
      fs::copy_file(fs::path(tinyDirectory(kName)) / file, folder_ / file);
    fs::permissions(folder_ / "model.safetensors", fs::perms::owner_all);
    std::ifstream in(folder_ / "model.safetensors", std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    auto file = SafetensorsFile::open((folder_ / "model.safetensors").string());
    if (!file.isOk())
      throw std::runtime_error(file.status().message());
    for (const auto &tensor : file->header().tensors)
      offsets_[tensor.name] = {tensor.begin, tensor.bytes()};
  }

  std::vector<uint16_t> read(const std::string &name) const {
    auto [offset, size] = offsets_.at(name);
    std::vector<uint16_t> values(size / 2);
    std::memcpy(values.data(), bytes_.data() + offset, size);
    return values;
  }
  void write(const std::string &name, const std::vector<uint16_t> &values) {
    std::memcpy(bytes_.data() + offsets_.at(name).first, values.data(), values.size() * 2);
  }

  double error() {
    std::ofstream(folder_ / "model.safetensors", std::ios::binary)
        .write(bytes_.data(), std::streamsize(bytes_.size()));
    GoldenModel model(compile(folder_.string(), "--dtype f32"), folder_.string());
    return errorOf(model);
  }

private:
  fs::path folder_;
  std::vector<char> bytes_;
  std::map<std::string, std::pair<size_t, size_t>> offsets_;
};

const std::string kLayer = "model.layers.0.";

TEST(Mutants, TheUneditedCheckpointPasses) {
  EXPECT_LE(EditedCheckpoint("mutant-none").error(), kF32Bound);
}

TEST(Mutants, SwappedGateAndUp) {
  EditedCheckpoint checkpoint("mutant-gate-up");
  auto gate = checkpoint.read(kLayer + "mlp.gate_proj.weight");
  checkpoint.write(kLayer + "mlp.gate_proj.weight", checkpoint.read(kLayer + "mlp.up_proj.weight"));
  checkpoint.write(kLayer + "mlp.up_proj.weight", gate);
  EXPECT_GT(checkpoint.error(), kF32Bound);
}

TEST(Mutants, WrongGqaMap) {
  // Query head h reads kv head h % 2 and not h / 2: the same as exchanging heads 1 and 2 on the way
  // in and on the way out.
  EditedCheckpoint checkpoint("mutant-gqa");
  auto q = checkpoint.read(kLayer + "self_attn.q_proj.weight");
  auto o = checkpoint.read(kLayer + "self_attn.o_proj.weight");
  constexpr size_t kHeadRows = kHeadDim * kHidden;
  std::swap_ranges(q.begin() + kHeadRows, q.begin() + 2 * kHeadRows, q.begin() + 2 * kHeadRows);
  for (size_t row = 0; row < kHidden; ++row) {
    auto head = o.begin() + std::ptrdiff_t(row * kHeads * kHeadDim + kHeadDim);
    std::swap_ranges(head, head + kHeadDim, head + kHeadDim);
  }
  checkpoint.write(kLayer + "self_attn.q_proj.weight", q);
  checkpoint.write(kLayer + "self_attn.o_proj.weight", o);
  EXPECT_GT(checkpoint.error(), kF32Bound);
}

/// Puts row 2i of each head where row i is, and row 2i + 1 where row i + D/2 is: the halves form on
/// these rows is the interleaved form on the original ones.
void interleaveRows(std::vector<uint16_t> &values, size_t columns) {
  std::vector<uint16_t> old = values;
  size_t rows = values.size() / columns;
  for (size_t row = 0; row < rows; ++row) {
    size_t inHead = row % kHeadDim, head = row - inHead;
    size_t from = inHead < kHeadDim / 2 ? 2 * inHead : 2 * (inHead - kHeadDim / 2) + 1;
    std::copy_n(old.begin() + std::ptrdiff_t((head + from) * columns), columns,
                values.begin() + std::ptrdiff_t(row * columns));
  }
}

TEST(Mutants, InterleavedRope) {
  EditedCheckpoint checkpoint("mutant-rope");
  for (const char *name : {"q_proj", "k_proj"}) {
    auto rows = checkpoint.read(kLayer + "self_attn." + name + ".weight");
    interleaveRows(rows, kHidden);
    checkpoint.write(kLayer + "self_attn." + name + ".weight", rows);
  }
  for (const char *name : {"q_norm", "k_norm"}) {
    auto gamma = checkpoint.read(kLayer + "self_attn." + name + ".weight");
    interleaveRows(gamma, 1);
    checkpoint.write(kLayer + "self_attn." + name + ".weight", gamma);
  }
  EXPECT_GT(checkpoint.error(), kF32Bound);
}

} // namespace
