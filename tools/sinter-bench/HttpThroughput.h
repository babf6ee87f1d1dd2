//===- HttpThroughput.h - many requests to a running server -----*- C++ -*-===//
#pragma once

#include "Bench.h"

namespace sinter {

/// The requests of benchThroughput() through a server's /v1/completions, streamed, a connection and
/// a thread for each, as independent clients would send them.
Result<int> benchThroughputOverHttp(const BenchOptions &options);

} // namespace sinter
