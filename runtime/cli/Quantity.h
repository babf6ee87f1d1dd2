//===- Quantity.h - sizes as people write them ------------------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <string>

namespace sinter {

/// "1.5 GB", "24 KB": powers of 1000, three digits.
std::string formatBytes(double bytes);

/// "512MB", "1.5G", "2GiB", "4096": bytes. `flag` names the value in errors.
Result<uint64_t> parseBytes(const std::string &text, const std::string &flag);

/// For options: what is wrong with `text` as a number of 64 bits; empty: nothing. (CLI11 itself
/// takes larger ones for the largest.)
std::string checkUnsigned64(const std::string &text);

} // namespace sinter
