//===- KernelMeta.cpp - GPU kernels in metadata ---------------------------===//
#include "KernelMeta.h"

using namespace sinter;
using llvm::StringRef;

void sinter::writeModules(llvm::json::OStream &json, llvm::ArrayRef<DeviceModule> modules) {
  json.attributeArray("modules", [&] {
    int64_t ptx = 0, cubin = 0;
    const auto range = [&](StringRef key, int64_t &offset, int64_t bytes) {
      json.attributeArray(key, [&] {
        json.value(offset);
        json.value(bytes);
      });
      offset += bytes;
    };
    for (const DeviceModule &module : modules)
      json.object([&] {
        range("ptx", ptx, module.ptx.size() + 1); // and the NUL
        range("cubin", cubin, module.cubin.size());
      });
  });
}

void sinter::writeDeviceKernel(llvm::json::OStream &json, const DeviceKernel &kernel,
                               int64_t module) {
  json.attribute("module", module);
  json.attribute("threads", kernel.threads);
  json.attribute("shared_bytes", kernel.sharedBytes);
  json.attribute("cluster", kernel.cluster);
  json.attribute("registers", kernel.registers);
  json.attribute("static_shared_bytes", kernel.staticSharedBytes);
  json.attribute("spill_bytes", kernel.spillBytes);
  json.attributeArray("tensor_maps", [&] {
    for (const DeviceTensorMap &map : kernel.tensorMaps)
      json.object([&] {
        json.attribute("arg", static_cast<int64_t>(map.arg));
        json.attribute("dtype", StringRef(dtypeName(map.type)));
        json.attribute("rows", map.rows);
        json.attribute("columns", map.columns);
        json.attribute("box_rows", map.boxRows);
        json.attribute("box_columns", map.boxColumns);
      });
  });
}
