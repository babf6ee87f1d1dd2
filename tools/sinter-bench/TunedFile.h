//===- TunedFile.h - the table of measured GPU kernels ----------*- C++ -*-===//
//
// docs/tuning.md has the format. Here it is written and merged; the compiler, which alone knows
// what shapes and choices mean, checks them.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

namespace sinter {

struct TunedLinear {
  std::string shape, op, choice;
  double micros = 0, rules = 0; ///< of the choice; of the compiler's rules
};

struct TunedFusion {
  std::string pass, name, shape;
  uint32_t tokens = 1;
  double micros = 0, apart = 0;
  std::optional<double> cublas; ///< the linear alone
  double bytes = 0;             ///< weights
  double operations = 0;        ///< of the linears
};

class TunedFile {
public:
  /// The table in `path`, or an empty one where there is no such file. Another chip's is refused.
  static Result<TunedFile> open(const std::string &path, const std::string &chip);
  void put(const TunedLinear &row);
  void put(const TunedFusion &row);
  Status write(const std::string &path) const;

  std::string hardware, commit;

private:
  std::string chip_;
  std::map<std::string, nlohmann::ordered_json> linears_, fusions_;
};

} // namespace sinter
