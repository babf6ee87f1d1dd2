//===- EngineSteps.h - requests to an engine, step by step ------*- C++ -*-===//
#pragma once

#include "test/runtime/engine/ToyModel.h"

#include <gtest/gtest.h>

namespace sinter::test {

using Ear = std::shared_ptr<Heard>;

inline Ear submit(Engine &engine, RequestId id, const Request &request) {
  EXPECT_TRUE(engine.validate(request).isOk()) << engine.validate(request).message();
  auto heard = std::make_shared<Heard>();
  engine.submit(id, copyOf(request), heard);
  return heard;
}

/// Until nothing is left to do; the number of steps.
inline uint64_t runAll(Engine &engine) {
  uint64_t steps = 0;
  while (!engine.idle()) {
    const Status status = engine.step();
    EXPECT_TRUE(status.isOk()) << status.message();
    if (++steps > 100000 || !status) {
      ADD_FAILURE() << "does not end";
      break;
    }
  }
  EXPECT_EQ(engine.allocator().ownedPages(), 0u);
  EXPECT_EQ(engine.residency().swappedPages(), 0u);
  return steps;
}

} // namespace sinter::test
