//===- FakeModel.h - a model small enough to compute by hand ----*- C++ -*-===//
//
// Builds artefacts around fake_model.c with any metadata, writes a matching checkpoint, and has the
// plain reference that the logits are compared with.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace sinter::fake {

constexpr int kVocab = 40;
constexpr int kHidden = 8;
constexpr int kPageSize = 4;
constexpr int kPositions = 64;
constexpr int kMaxStepTokens = 32;

/// A fresh directory, removed with everything in it.
class TemporaryFolder {
public:
  TemporaryFolder();
  TemporaryFolder(TemporaryFolder &&other) noexcept : path_(std::exchange(other.path_, {})) {}
  ~TemporaryFolder();
  std::string file(const std::string &name) const { return path_ + "/" + name; }
  const std::string &path() const { return path_; }

private:
  std::string path_;
};

/// The raw values of a checkpoint.
struct Weights {
  std::vector<float> embed; ///< [kVocab][kHidden]
  std::vector<float> norm;  ///< [kHidden]
};

/// Values that exercise signs and magnitudes; `variant` makes another set.
Weights makeWeights(int variant = 0);

/// Writes DIR/model.safetensors. Returns the hash of its header.
std::string writeCheckpoint(const std::string &directory, const Weights &weights);

/// Metadata that matches fake_model.c and the checkpoint.
nlohmann::json makeMeta(const std::string &directory, const std::string &headerHash);
/// The same for GPUs: matches cuda/fake_program.c.
nlohmann::json makeCudaMeta(const std::string &directory, const std::string &headerHash);

/// The bytes of an artefact with this metadata text and a right digest.
std::vector<uint8_t> makeArtifact(const std::string &meta);
std::vector<uint8_t> makeCudaArtifact(const std::string &meta);
/// The same with a tokenizer, most of whose tokens the model does not have.
std::vector<uint8_t> makeCudaTextArtifact(const std::string &meta);
/// Puts the right digest into a changed artefact.
void sealArtifact(std::vector<uint8_t> &artifact);

void writeBytes(const std::string &path, const std::vector<uint8_t> &bytes);

/// The logits after each position of `tokens`, [tokens][kVocab], computed without pages or batches;
/// with a window (not 0) of the last tokens alone.
std::vector<float> referenceLogits(const Weights &weights, const std::vector<int32_t> &tokens,
                                   size_t window = 0);

/// A checkpoint and its artefact, ready in a folder.
struct Installed {
  TemporaryFolder folder;
  Weights weights;
  std::string artifact;
};
Installed install(int variant = 0);
Installed installCuda(int variant = 0);

} // namespace sinter::fake
