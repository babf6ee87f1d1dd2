//===- Sampling.h - flags and the model's defaults to sampling --*- C++ -*-===//
#pragma once

#include "RunOptions.h"

#include "runtime/abi/Manifest.h"
#include "runtime/engine/Sampler.h"

namespace sinter {

/// What the flags say, else generation_config.json; a fresh seed where none is given.
Result<SamplingParams> chooseSampling(const RunOptions &options,
                                      const GenerationDefaults &defaults);

/// What is wrong with the flags for any model.
Status checkSampling(const RunOptions &options);

} // namespace sinter
