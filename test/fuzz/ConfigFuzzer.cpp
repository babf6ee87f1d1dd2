//===- ConfigFuzzer.cpp - any bytes as a model's JSON files ---------------===//
#include "models/GenerationConfig.h"
#include "models/ModelConfig.h"
#include "test/fuzz/FuzzCheck.h"
#include "test/fuzz/JsonMutator.h"

#include <cmath>
#include <string_view>

using namespace sinter;
using namespace sinter::models;

namespace {

void checkModel(const ModelConfig &config) {
  for (int64_t size : {config.hidden, config.intermediate, config.layers, config.heads,
                       config.kvHeads, config.headDim, config.vocab, config.maxPositionEmbeddings})
    FUZZ_CHECK(size > 0 && size <= int64_t(1) << 27);
  FUZZ_CHECK(config.heads % config.kvHeads == 0);
  FUZZ_CHECK(float(config.rmsNormEps) > 0);
  const RopeFrequencies rope = ropeInvFreq(config);
  FUZZ_CHECK(rope.invFreq.size() == size_t(config.headDim / 2));
  FUZZ_CHECK(std::isfinite(rope.attentionScaling) && rope.attentionScaling > 0);
  for (float frequency : rope.invFreq)
    FUZZ_CHECK(std::isfinite(frequency) && frequency >= 0);
}

void checkGeneration(const GenerationConfig &config) {
  FUZZ_CHECK(std::isfinite(config.temperature) && config.temperature >= 0);
  FUZZ_CHECK(config.topK >= 0);
  FUZZ_CHECK(config.topP > 0 && config.topP <= 1);
  FUZZ_CHECK(config.minP >= 0 && config.minP <= 1);
  FUZZ_CHECK(config.repetitionPenalty > 0);
}

} // namespace

SINTER_FUZZ_JSON(0)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string_view text(reinterpret_cast<const char *>(data), size);
  const auto model = parseModelConfig(text, "config.json");
  if (model)
    checkModel(*model);
  else
    fuzz::checkRefusal(model.status());
  const auto generation = parseGenerationConfig(text, "generation_config.json");
  if (generation)
    checkGeneration(*generation);
  else
    fuzz::checkRefusal(generation.status());
  return 0;
}
