//===- WeightCheck.cpp - the tensors that a configuration needs -----------===//
#include "models/Checkpoint.h"

#include "sinter/Support/Json.h"

#include <initializer_list>
#include <set>
#include <utility>

using namespace sinter;
using namespace sinter::models;

namespace {

using Shape = std::vector<int64_t>;

std::string layerPrefix(int64_t layer) { return "model.layers." + std::to_string(layer) + "."; }
std::string attentionPrefix(int64_t layer) { return layerPrefix(layer) + "self_attn."; }

class Checker {
public:
  Checker(const ModelConfig &config, const Checkpoint &checkpoint)
      : config_(config), checkpoint_(checkpoint) {}

  Result<WeightVariants> run();

private:
  Status checkLayer(int64_t layer);
  Status checkAttention(const std::string &prefix);
  Status checkNothingElse() const;

  /// A tensor that must be there.
  Status need(const std::string &name, const Shape &shape);
  /// A tensor that every layer has, or none has. `witness` is one of its kind that is there.
  Status needIfAny(const std::string &name, const Shape &shape, const std::string &witness);
  /// The first attention tensor of any layer with one of these names, or "".
  std::string findAny(std::initializer_list<const char *> names) const;
  bool has(const std::string &name) const { return checkpoint_.lookup(name).has_value(); }
  Status missing(const std::string &name, const std::string &why) const {
    return invalidInput(checkpoint_.mainFile() + ": tensor " + quoteForMessage(name) + why);
  }

  const ModelConfig &config_;
  const Checkpoint &checkpoint_;
  std::string anyQkNorm_;
  std::string anyOBias_;
  std::set<std::string> used_;
  /// The first tensor of 16 bits. Nobody saves both such types in one model: one of them is a label
  /// that does not say what the bytes are.
  const SafetensorsTensor *halfWitness_ = nullptr;
};

Status Checker::need(const std::string &name, const Shape &shape) {
  const std::optional<TensorLocation> found = checkpoint_.lookup(name);
  if (!found)
    return missing(name, " is missing");
  used_.insert(name);
  const std::string &file = checkpoint_.fileName(found->file);
  const SafetensorsTensor &tensor = *found->tensor;
  if (tensor.shape != shape)
    return invalidInput(file + ": tensor " + quoteForMessage(name) + ": shape " +
                        formatShape(tensor.shape) + ", config.json needs " + formatShape(shape));
  if (tensor.dtypeName != "BF16" && tensor.dtypeName != "F16" && tensor.dtypeName != "F32")
    return unsupported(file + ": tensor " + quoteForMessage(name) + ": element type " +
                       tensor.dtypeName + " is not supported (BF16, F16 and F32 are)");
  if (tensor.dtypeName == "F32")
    return Status::ok();
  if (!halfWitness_)
    halfWitness_ = &tensor;
  if (tensor.dtypeName != halfWitness_->dtypeName)
    return invalidInput(file + ": tensor " + quoteForMessage(name) + ": element type " +
                        tensor.dtypeName + ", but " + quoteForMessage(halfWitness_->name) + " is " +
                        halfWitness_->dtypeName);
  return Status::ok();
}

Status Checker::needIfAny(const std::string &name, const Shape &shape, const std::string &witness) {
  if (witness.empty())
    return Status::ok();
  if (!has(name))
    return missing(name, " is missing, but " + quoteForMessage(witness) + " is there");
  return need(name, shape);
}

std::string Checker::findAny(std::initializer_list<const char *> names) const {
  for (int64_t layer = 0; layer < config_.layers; ++layer)
    for (const char *name : names)
      if (std::string full = attentionPrefix(layer) + name; has(full))
        return full;
  return {};
}

Status Checker::checkAttention(const std::string &prefix) {
  const int64_t q = config_.heads * config_.headDim, kv = config_.kvHeads * config_.headDim;
  SINTER_RETURN_IF_ERROR(need(prefix + "q_proj.weight", {q, config_.hidden}));
  SINTER_RETURN_IF_ERROR(need(prefix + "k_proj.weight", {kv, config_.hidden}));
  SINTER_RETURN_IF_ERROR(need(prefix + "v_proj.weight", {kv, config_.hidden}));
  SINTER_RETURN_IF_ERROR(need(prefix + "o_proj.weight", {config_.hidden, q}));
  for (const char *norm : {"q_norm.weight", "k_norm.weight"})
    SINTER_RETURN_IF_ERROR(needIfAny(prefix + norm, {config_.headDim}, anyQkNorm_));
  const std::pair<const char *, int64_t> biases[] = {{"q_proj.bias", q},
                                                     {"k_proj.bias", kv},
                                                     {"v_proj.bias", kv},
                                                     {"o_proj.bias", config_.hidden}};
  for (const auto &[bias, size] : biases)
    if (!config_.attentionBias && has(prefix + bias))
      return missing(prefix + bias, " is present, config.json has \"attention_bias\": false");
  if (!config_.attentionBias)
    return Status::ok();
  for (size_t i = 0; i < 3; ++i)
    SINTER_RETURN_IF_ERROR(need(prefix + biases[i].first, {biases[i].second}));
  return needIfAny(prefix + "o_proj.bias", {config_.hidden}, anyOBias_);
}

Status Checker::checkLayer(int64_t layer) {
  const std::string prefix = layerPrefix(layer);
  SINTER_RETURN_IF_ERROR(need(prefix + "input_layernorm.weight", {config_.hidden}));
  SINTER_RETURN_IF_ERROR(checkAttention(attentionPrefix(layer)));
  SINTER_RETURN_IF_ERROR(need(prefix + "post_attention_layernorm.weight", {config_.hidden}));
  const Shape up = {config_.intermediate, config_.hidden};
  SINTER_RETURN_IF_ERROR(need(prefix + "mlp.gate_proj.weight", up));
  SINTER_RETURN_IF_ERROR(need(prefix + "mlp.up_proj.weight", up));
  return need(prefix + "mlp.down_proj.weight", {config_.hidden, config_.intermediate});
}

/// A tensor nobody reads is a sign of a model that differs from what config.json says.
Status Checker::checkNothingElse() const {
  for (const SafetensorsFile &file : checkpoint_.files())
    for (const SafetensorsTensor &tensor : file.header().tensors) {
      const std::string &name = tensor.name;
      // transformers ties whatever the file holds when the configuration says so.
      const bool tiedHead = config_.tieWordEmbeddings && name == "lm_head.weight";
      // Written by old versions, computed from config.json by all.
      constexpr std::string_view kTable = ".rotary_emb.inv_freq";
      const bool table = name.size() > kTable.size() &&
                         name.compare(name.size() - kTable.size(), kTable.size(), kTable) == 0;
      if (!tiedHead && !table && used_.count(name) == 0)
        return invalidInput(file.header().fileName + ": tensor " + quoteForMessage(name) +
                            " is not part of the model that config.json describes");
    }
  return Status::ok();
}

Result<WeightVariants> Checker::run() {
  anyQkNorm_ = findAny({"q_norm.weight", "k_norm.weight"});
  if (config_.attentionBias)
    anyOBias_ = findAny({"o_proj.bias"});
  const Shape table = {config_.vocab, config_.hidden};
  SINTER_RETURN_IF_ERROR(need("model.embed_tokens.weight", table));
  for (int64_t layer = 0; layer < config_.layers; ++layer)
    SINTER_RETURN_IF_ERROR(checkLayer(layer));
  SINTER_RETURN_IF_ERROR(need("model.norm.weight", {config_.hidden}));
  if (!config_.tieWordEmbeddings)
    SINTER_RETURN_IF_ERROR(need("lm_head.weight", table));
  SINTER_RETURN_IF_ERROR(checkNothingElse());
  return WeightVariants{!anyQkNorm_.empty(), config_.attentionBias, !anyOBias_.empty()};
}

} // namespace

Result<WeightVariants> models::checkTensors(const ModelConfig &config,
                                            const Checkpoint &checkpoint) {
  return Checker(config, checkpoint).run();
}
