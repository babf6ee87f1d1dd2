//===- TextFormat.h - printf into a string ----------------------*- C++ -*-===//
#pragma once

#include <cstdio>
#include <string>

namespace sinter {

/// A short line: what goes beyond 255 bytes is cut off.
template <typename... Args> std::string format(const char *text, Args... args) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, text, args...);
  return buffer;
}

} // namespace sinter
