//===- FuzzCheck.h - what must hold for any input ---------------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdio>
#include <cstdlib>

/// Like assert, but also in release builds: an input for which this fails is a finding.
#define FUZZ_CHECK(condition)                                                                      \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);          \
      std::abort();                                                                                \
    }                                                                                              \
  } while (false)

namespace sinter::fuzz {

/// A refusal is one printable line of bounded length, and never our own fault.
inline void checkRefusal(const Status &status) {
  FUZZ_CHECK(!status.isOk());
  FUZZ_CHECK(status.code() != StatusCode::Internal);
  FUZZ_CHECK(!status.message().empty() && status.message().size() < 2000);
  for (unsigned char c : status.message())
    FUZZ_CHECK(c >= 0x20 && c != 0x7f);
}

} // namespace sinter::fuzz
