//===- KernelTable.h - an artefact's kernels, ready to launch ---*- C++ -*-===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/device/cuda/Gpu.h"
#include "runtime/device/cuda/Handles.h"
#include "sinter/Abi/sinter_abi.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::cuda {

/// Receives lines for the user.
using Say = std::function<void(const std::string &line)>;

/// Loads a module from PTX text with the driver's compiler. The error holds the first line of the
/// compiler's log.
Result<OwnedModule> loadPtx(const char *text);

class KernelTable {
public:
  /// Takes each module's machine code where it fits the GPU, else its PTX.
  static Result<KernelTable> load(const Manifest &manifest, std::string_view ptx,
                                  std::string_view cubin, const Gpu &gpu, const Say &say);

  /// Puts kernel number `kernel` on the stream with `ctas` CTAs. Its parameters are the launch's
  /// arguments and then `batch`. `programmatic`: it may start before the kernel before it ends.
  Status launch(uint32_t kernel, const SinterLaunch &launch, uint32_t ctas, DevicePointer batch,
                Stream stream, bool programmatic) const;

  size_t size() const { return functions_.size(); }

private:
  Status findFunctions(const Manifest &manifest, const Gpu &gpu);

  const Manifest *manifest_ = nullptr;
  std::vector<OwnedModule> modules_;
  std::vector<Function> functions_;
};

} // namespace sinter::cuda
