//===- Artifact.h - a compiled model file -----------------------*- C++ -*-===//
//
// ArtifactFile reads and verifies a file without executing anything of it; that is all that
// inspection needs, for any target. Artifact additionally opens the verified private copy as code.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace sinter {

/// The parts of an artefact, pointing into its bytes.
struct ArtifactSections {
  std::string_view meta;
  std::string_view schedule;
  std::string_view tokenizer;    ///< empty when absent
  std::string_view chatTemplate; ///< empty when absent
  std::string_view ptx;          ///< GPU targets
  std::string_view cubin;        ///< GPU targets; empty when absent
  std::string digest;            ///< hexadecimal
  uint64_t codeBytes = 0;        ///< .text
};

/// Finds the sections of the artefact in `file` and verifies its digest: a changed, missing or
/// added byte is an error.
Result<ArtifactSections> readArtifact(std::span<const uint8_t> file);

/// An artefact copied into private memory and verified there, so that nothing that happens to the
/// file later matters.
class ArtifactFile {
public:
  static Result<ArtifactFile> open(const std::string &path);

  ArtifactFile(ArtifactFile &&other) noexcept;
  ArtifactFile &operator=(ArtifactFile &&) = delete;
  ArtifactFile(const ArtifactFile &) = delete;
  ~ArtifactFile();

  const std::string &path() const { return path_; }
  const Manifest &manifest() const { return manifest_; }
  const ArtifactSections &sections() const { return sections_; }
  uint64_t size() const { return size_; }
  /// The sealed memory file that holds the copy.
  int descriptor() const { return fd_; }

private:
  ArtifactFile() = default;
  Status copyFrom(int source);
  Status verify();

  std::string path_;
  int fd_ = -1;
  const uint8_t *data_ = nullptr;
  uint64_t size_ = 0;
  ArtifactSections sections_;
  Manifest manifest_;
};

/// The best instruction set, at most `isa`, that a CPU's artefact has kernels of; 0: none.
uint32_t isaOf(const Manifest &manifest, uint32_t isa);

/// An artefact whose code is loaded into this process. An artefact is code: open only files that
/// you would run.
class Artifact {
public:
  /// `target` and `isa` are the device's; an artefact for another target or without code for the
  /// instruction level is refused.
  static Result<std::unique_ptr<Artifact>> load(ArtifactFile file, const std::string &target,
                                                uint32_t isa);
  ~Artifact();
  Artifact(const Artifact &) = delete;
  Artifact &operator=(const Artifact &) = delete;

  const ArtifactFile &file() const { return file_; }
  const Manifest &manifest() const { return file_.manifest(); }
  SinterStepFn step() const { return step_; }

private:
  explicit Artifact(ArtifactFile file) : file_(std::move(file)) {}

  ArtifactFile file_;
  void *handle_ = nullptr;
  SinterStepFn step_ = nullptr;
};

} // namespace sinter
