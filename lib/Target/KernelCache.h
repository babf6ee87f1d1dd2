//===- KernelCache.h - compiled GPU kernels between runs --------*- C++ -*-===//
#pragma once

#include "sinter/Target/NvptxImage.h"

#include <optional>
#include <string>

namespace sinter {

struct CachedKernel {
  std::string ptx, cubin;
  KernelResources resources;
};

/// One file per kernel in a private folder. A file that is damaged, or that another user could have
/// written, counts as absent; what cannot be stored is compiled again next time.
class KernelCache {
public:
  /// Empty: nothing is found and nothing stored.
  explicit KernelCache(std::string folder);

  static std::string keyOf(const std::string &text);
  std::optional<CachedKernel> find(const std::string &key) const;
  void store(const std::string &key, const CachedKernel &kernel) const;

private:
  std::string folder;
};

} // namespace sinter
