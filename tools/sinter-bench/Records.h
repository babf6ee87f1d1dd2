//===- Records.h - benchmark results as they are kept -----------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <optional>
#include <string>
#include <vector>

namespace sinter {

/// One measurement. Times: lower is better, `floor` is what the machine's measured ceilings allow
/// and `bar` what is asked for; without one, what Bars.h has for the name.
struct BenchRecord {
  std::string name; ///< decode/0.6b/b1/c128
  double value = 0;
  std::string unit;
  std::optional<double> floor;
  std::optional<double> bar;
  std::string hardware;
  std::string commit;
  /// What else was measured in the same run; without it a peer that someone entered is kept.
  std::string peer = {};
  std::optional<double> peerValue = {};
  std::string secondPeer = {};
  std::optional<double> secondPeerValue = {};
};

/// YYYY-MM-DD, UTC.
std::string today();

/// Whether mergeRecords() will be able to read and write `path`: asked before minutes of measuring.
Status checkRecords(const std::string &path);

/// Writes the records into the JSON array in `path`: those of the same name are replaced, others
/// stay, peer figures that someone entered are kept.
Status mergeRecords(const std::string &path, const std::vector<BenchRecord> &records);

} // namespace sinter
