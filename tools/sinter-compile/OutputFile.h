//===- OutputFile.h - a file that is whole or absent ------------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <string>
#include <string_view>

namespace sinter {

/// Writes beside `path` and renames: whoever reads `path` sees the old file or the new one.
Status writeFileAtomically(const std::string &path, std::string_view bytes);

} // namespace sinter
