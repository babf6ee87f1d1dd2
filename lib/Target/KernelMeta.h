//===- KernelMeta.h - GPU kernels in metadata -------------------*- C++ -*-===//
#pragma once

#include "sinter/Target/DeviceImage.h"

#include "llvm/Support/JSON.h"

namespace sinter {

/// "modules": where each lies in the texts and in the machine code, one behind the other.
void writeModules(llvm::json::OStream &json, llvm::ArrayRef<DeviceModule> modules);
/// The attributes of a kernel in module number `module`.
void writeDeviceKernel(llvm::json::OStream &json, const DeviceKernel &kernel, int64_t module);

} // namespace sinter
