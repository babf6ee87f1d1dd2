//===- CacheFolder.h - where compiled things are kept -----------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <string>

namespace sinter {

/// The user's private folder ($XDG_CACHE_HOME or ~/.cache, then /sinter), made if it is not there.
/// Fails where another user could read or write it.
Result<std::string> cacheFolder();

} // namespace sinter
