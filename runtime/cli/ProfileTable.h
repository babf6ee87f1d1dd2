//===- ProfileTable.h - where the time of steps went ------------*- C++ -*-===//
#pragma once

#include "runtime/engine/Executor.h"

#include <string>

namespace sinter {

/// What the device was measured to do; 0: not known.
struct DeviceSpeed {
  double readBandwidth = 0; ///< bytes per second
  double fmaPeak = 0;       ///< operations per second
};

/// A table per entry point that ran: launches grouped by operation and the end of their names, with
/// calls, microseconds, bytes and operations of a call and the share of what the device can do.
std::string profileTable(const Profile &profile, const Manifest &manifest,
                         const DeviceSpeed &device);

} // namespace sinter
