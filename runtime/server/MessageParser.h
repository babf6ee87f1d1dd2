//===- MessageParser.h - messages and tools of a chat -----------*- C++ -*-===//
#pragma once

#include "runtime/server/JsonFields.h"

namespace sinter {

/// `messages` as chat templates read them: contents are strings, `developer` is `system`.
OrderedJson parseMessages(JsonFields &fields);

/// `tools`: functions with names that differ, or null.
OrderedJson parseTools(JsonFields &fields);

} // namespace sinter
