//===- Sampling.cpp -------------------------------------------------------===//
#include "Sampling.h"

#include <random>

namespace sinter {
namespace {

Result<SamplingParams> checked(const SamplingParams &params) {
  if (const Status status = params.check(); !status)
    return invalidArgument("--" + status.message());
  return params;
}

} // namespace

Result<SamplingParams> chooseSampling(const RunOptions &options,
                                      const GenerationDefaults &defaults) {
  const bool asked = options.temperature || options.topK || options.topP || options.minP;
  SamplingParams params;
  params.repetitionPenalty = options.repetitionPenalty.value_or(defaults.repetitionPenalty);
  const bool cold = options.temperature && *options.temperature == 0;
  if (options.greedy || cold || (!defaults.doSample && !asked)) {
    if (options.greedy && options.temperature)
      return invalidArgument("--greedy and sampling options exclude each other");
    if (options.topK || options.topP || options.minP)
      return invalidArgument(std::string(cold ? "--temperature 0" : "--greedy") +
                             " and sampling options exclude each other");
    if (options.seed)
      return invalidArgument("--seed: decoding is greedy, which draws nothing; give --temperature");
    params.temperature = 0;
    return checked(params);
  }
  params.temperature = options.temperature.value_or(defaults.temperature);
  params.topK = options.topK.value_or(defaults.topK);
  params.topP = options.topP.value_or(defaults.topP);
  params.minP = options.minP.value_or(defaults.minP);
  std::random_device device;
  params.seed = options.seed ? *options.seed : uint64_t(device()) << 32 | device();
  return checked(params);
}

Status checkSampling(const RunOptions &options) {
  GenerationDefaults draws;
  draws.doSample = true;
  return chooseSampling(options, draws).status();
}

} // namespace sinter
