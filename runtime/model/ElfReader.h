//===- ElfReader.h - the sections of an ELF64 file --------------*- C++ -*-===//
//
// Just enough ELF to find sections by name without trusting a byte of the file.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sinter {

struct ElfSection {
  std::string_view name;
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct ElfFile {
  uint16_t machine = 0; ///< e_machine
  std::vector<ElfSection> sections;

  const ElfSection *find(std::string_view name) const;
};

/// Reads the section table of a little-endian 64-bit shared object. Every section that is returned
/// lies inside `file`, and names point into it.
Result<ElfFile> readElf(std::span<const uint8_t> file);

} // namespace sinter
