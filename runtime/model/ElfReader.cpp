//===- ElfReader.cpp ------------------------------------------------------===//
#include "runtime/model/ElfReader.h"

#include <cstring>
#include <elf.h>

namespace sinter {
namespace {

bool inside(uint64_t offset, uint64_t size, uint64_t total) {
  return offset <= total && size <= total - offset;
}

/// The header at `offset`, copied because the file gives no alignment.
template <typename T> T readAt(std::span<const uint8_t> file, uint64_t offset) {
  T value;
  std::memcpy(&value, file.data() + offset, sizeof value);
  return value;
}

Status notSinter(const char *why) {
  return invalidInput(std::string("not a compiled model (") + why + ")");
}

Status damaged(const char *why) {
  return invalidInput(std::string("damaged or truncated: ") + why);
}

} // namespace

const ElfSection *ElfFile::find(std::string_view name) const {
  for (const ElfSection &section : sections)
    if (section.name == name)
      return &section;
  return nullptr;
}

Result<ElfFile> readElf(std::span<const uint8_t> file) {
  if (file.size() < SELFMAG || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0)
    return notSinter("not an ELF file");
  if (file.size() < sizeof(Elf64_Ehdr))
    return damaged("the ELF header is cut off");
  const auto header = readAt<Elf64_Ehdr>(file, 0);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_ident[EI_VERSION] != EV_CURRENT)
    return notSinter("not a little-endian 64-bit ELF file");
  if (header.e_type != ET_DYN)
    return notSinter("not a shared object");
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0)
    return damaged("no section table");
  if (!inside(header.e_shoff, uint64_t(header.e_shnum) * sizeof(Elf64_Shdr), file.size()))
    return damaged("the section table lies outside the file");
  if (header.e_shstrndx >= header.e_shnum)
    return damaged("no section names");

  auto sectionAt = [&](uint64_t index) {
    return readAt<Elf64_Shdr>(file, header.e_shoff + index * sizeof(Elf64_Shdr));
  };
  const Elf64_Shdr names = sectionAt(header.e_shstrndx);
  if (names.sh_type != SHT_STRTAB || !inside(names.sh_offset, names.sh_size, file.size()))
    return damaged("the section names lie outside the file");

  ElfFile elf;
  elf.machine = header.e_machine;
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr section = sectionAt(i);
    if (section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS)
      continue;
    if (!inside(section.sh_offset, section.sh_size, file.size()))
      return damaged("a section lies outside the file");
    if (section.sh_name >= names.sh_size)
      return damaged("a section name lies outside the names");
    const char *name =
        reinterpret_cast<const char *>(file.data() + names.sh_offset) + section.sh_name;
    const void *end = std::memchr(name, 0, names.sh_size - section.sh_name);
    if (!end)
      return damaged("a section name has no end");
    const std::string_view text(name, size_t(static_cast<const char *>(end) - name));
    elf.sections.push_back({text, section.sh_offset, section.sh_size});
  }
  return elf;
}

} // namespace sinter
