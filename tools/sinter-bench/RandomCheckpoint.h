//===- RandomCheckpoint.h - made-up weights as a file -----------*- C++ -*-===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "sinter/Support/Status.h"

#include <string>

namespace sinter {

/// A temporary folder with a model.safetensors that holds every tensor of a model's weight plan:
/// what
/// `--weights random:SEED` makes comes from no file. It goes with its owner, or when SIGINT,
/// SIGTERM or SIGHUP ends the program; there can be one at a time.
class RandomCheckpoint {
public:
  static Result<RandomCheckpoint> write(const Manifest &manifest);

  RandomCheckpoint(RandomCheckpoint &&other) noexcept { directory_.swap(other.directory_); }
  RandomCheckpoint &operator=(RandomCheckpoint &&other) noexcept {
    directory_.swap(other.directory_);
    return *this;
  }
  ~RandomCheckpoint();

  const std::string &directory() const { return directory_; }

private:
  explicit RandomCheckpoint(std::string directory) : directory_(std::move(directory)) {}

  std::string directory_; ///< empty: moved away
};

} // namespace sinter
