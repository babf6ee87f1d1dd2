//===- KeyFile.h - an API key that does not show in ps ----------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <string>

namespace sinter {

/// What a file holds, without white space at its end; an empty key is an error.
Result<std::string> readKeyFile(const std::string &path);

/// A header can hold it: printable ASCII without spaces. `where` it came from, for the message.
Status checkKey(const std::string &key, const std::string &where);

} // namespace sinter
