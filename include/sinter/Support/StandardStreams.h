//===- StandardStreams.h - what a program writes arrives or is an error ---===//
#pragma once

#include "sinter/Support/Status.h"

namespace sinter {

/// Takes the descriptors 0 to 2 where the caller closed them, so that no file a program opens gets
/// one of them and is then read or written as a standard stream. Using a stream taken so fails.
void reserveStandardStreams();

/// Flushes standard output; an error when anything written to it was lost, as on a full disk.
Status finishStandardOutput();

} // namespace sinter
