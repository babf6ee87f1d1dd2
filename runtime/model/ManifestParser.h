//===- ManifestParser.h - `.sinter.meta` text to a Manifest -----*- C++ -*-===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "sinter/Support/Status.h"

#include <string_view>

namespace sinter {

/// Parses and checks the metadata of an artefact. What it accepts can be followed blindly: sizes
/// agree with shapes, indices and offsets are in range.
Result<Manifest> parseManifest(std::string_view json);

class Reader;
/// "modules" and "kernels" of an object that has them as the metadata does.
void parseKernels(Reader &object, Manifest &manifest);

/// The bytes of a `linear` weight in its resident form.
uint64_t tiledBytes(const WeightPlan &weight);

} // namespace sinter
