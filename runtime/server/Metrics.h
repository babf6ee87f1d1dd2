//===- Metrics.h - an engine's figures for Prometheus -----------*- C++ -*-===//
#pragma once

#include "runtime/engine/Service.h"

#include <cstdint>
#include <string>

namespace sinter {

/// What the server itself counts.
struct ServerFigures {
  uint64_t requests = 0;     ///< HTTP requests that were answered, ever
  uint64_t clientErrors = 0; ///< of them 4xx
  uint64_t serverErrors = 0; ///< of them 5xx
  uint64_t disconnects = 0;  ///< clients that left before their answer was complete
  uint64_t connections = 0;  ///< open
};

/// The text exposition format, version 0.0.4.
std::string metricsText(const EngineFigures &engine, const ServerFigures &server);

} // namespace sinter
