//===- PageBytes.h - what pages hold ----------------------------*- C++ -*-===//
#pragma once

#include "runtime/engine/PrefixIndex.h"
#include "sinter/Support/Status.h"

#include <cstdint>

namespace sinter {

/// The bytes behind page numbers. Everything fails when the device does.
class PageBytes {
public:
  virtual ~PageBytes() = default;
  virtual uint64_t pageBytes() const = 0;
  /// Copies a page to the host and back.
  virtual Status savePage(PageId page, void *to) = 0;
  virtual Status restorePage(PageId page, const void *from) = 0;
};

} // namespace sinter
