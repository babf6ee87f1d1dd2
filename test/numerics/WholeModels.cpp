//===- WholeModels.cpp - a checkpoint run by the interpreter --------------===//
#include "WholeModels.h"

#include "models/Checkpoint.h"
#include "models/ImportXfmr.h"
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Interpreter/Interpreter.h"
#include "sinter/Pipelines.h"
#include "sinter/Registration.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Pass/PassManager.h"

#include <optional>

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;

struct WholeModel::State {
  State() : context(registry(), MLIRContext::Threading::DISABLED) {}

  static DialectRegistry registry() {
    DialectRegistry registry;
    registerDialects(registry);
    return registry;
  }
  Result<std::string> entryFor(int64_t tokens);

  MLIRContext context;
  std::shared_ptr<models::Checkpoint> checkpoint;
  OwningOpRef<ModuleOp> module;
  std::optional<Interpreter> interpreter;
  std::optional<PageLayout> layout;
  Caches caches;
};

/// Small pages, so that a prompt has many.
static constexpr int64_t kPage = 4;

Result<std::string> WholeModel::State::entryFor(int64_t tokens) {
  for (auto function : module->getOps<FunctionOpInterface>()) {
    auto range = function->getAttrOfType<DenseI64ArrayAttr>(xfmr::kTokensAttr);
    if (range && range[0] <= tokens && tokens <= range[1])
      return function.getName().str();
  }
  return notFound("no entry takes " + std::to_string(tokens) + " tokens");
}

static DType storedAs(const models::Checkpoint &checkpoint, StringRef tensor) {
  const auto location = checkpoint.lookup(std::string_view(tensor.data(), tensor.size()));
  const std::string &name = location->tensor->dtypeName;
  return name == "BF16" ? DType::BF16 : name == "F16" ? DType::F16 : DType::F32;
}

/// Another provider's tensors, the k_norm weights times a factor.
class ScaledKNorm : public WeightProvider {
public:
  ScaledKNorm(std::shared_ptr<WeightProvider> from, double factor)
      : from_(std::move(from)), factor_(factor) {}

  Result<std::vector<double>> read(const std::string &tensor, int64_t begin, int64_t end,
                                   int64_t columns) override {
    SINTER_ASSIGN_OR_RETURN(std::vector<double> values, from_->read(tensor, begin, end, columns));
    if (StringRef(tensor).ends_with("k_norm.weight"))
      for (double &value : values)
        value *= factor_;
    return values;
  }

private:
  std::shared_ptr<WeightProvider> from_;
  double factor_;
};

WholeModel::WholeModel() : state_(std::make_unique<State>()) {}
WholeModel::~WholeModel() = default;

Result<std::unique_ptr<WholeModel>> WholeModel::open(const std::string &directory,
                                                     const ModelOptions &options) {
  std::unique_ptr<WholeModel> model(new WholeModel);
  State &state = *model->state_;
  SINTER_ASSIGN_OR_RETURN(models::ModelConfig config, models::readModelConfig(directory));
  SINTER_ASSIGN_OR_RETURN(models::Checkpoint opened, models::openCheckpoint(directory));
  state.checkpoint = std::make_shared<models::Checkpoint>(std::move(opened));
  SINTER_ASSIGN_OR_RETURN(const models::WeightVariants variants,
                          models::checkTensors(config, *state.checkpoint));
  if (options.spoil)
    options.spoil(config);
  models::ImportOptions import;
  import.activation = options.activation;
  import.cache = options.cache.value_or(options.activation);
  import.kScale = options.kScale;
  import.pageSize = kPage;
  state.module = models::importXfmr(
      state.context, config, variants,
      [&](StringRef tensor) { return storedAs(*state.checkpoint, tensor); }, import);
  if (options.fused) {
    PassManager manager(&state.context);
    PipelineOptions pipeline;
    pipeline.heads = "logits";
    pipeline.tokenRanges = "1,2-max";
    pipeline.coverCFrom = options.coverC;
    pipeline.ranks = options.ranks;
    addFusionPipeline(manager, pipeline);
    if (failed(manager.run(*state.module)))
      return internalError("the pipeline failed");
  }
  if (failed(verify(*state.module)))
    return internalError("the imported graph is not legal");
  SINTER_ASSIGN_OR_RETURN(
      Interpreter interpreter,
      Interpreter::create(
          *state.module,
          std::make_shared<ScaledKNorm>(fileWeights({state.checkpoint, &state.checkpoint->files()}),
                                        options.kNormFactor),
          options.declared ? Mode::Declared : Mode::Exact));
  state.interpreter.emplace(std::move(interpreter));
  return model;
}

Status WholeModel::restart(int64_t positions, int64_t sequences, uint64_t pageOrder) {
  const int64_t pages = sequences * ((positions + kPage - 1) / kPage);
  state_->layout.emplace(kPage, pages, pageOrder);
  for (int64_t s = 0; s < sequences; ++s)
    state_->layout->addSequence();
  SINTER_ASSIGN_OR_RETURN(const std::string entry, state_->entryFor(1));
  SINTER_ASSIGN_OR_RETURN(state_->caches, state_->interpreter->makeCaches(entry, pages));
  return Status::ok();
}

Result<Tensor> WholeModel::step(const std::vector<std::vector<int32_t>> &tokens) {
  std::vector<SequenceTokens> parts;
  for (size_t s = 0; s < tokens.size(); ++s)
    if (!tokens[s].empty())
      parts.push_back({s, tokens[s]});
  SINTER_ASSIGN_OR_RETURN(const Batch batch, state_->layout->step(parts, RowChoice::All));
  SINTER_ASSIGN_OR_RETURN(const std::string entry, state_->entryFor(batch.numTokens()));
  SINTER_ASSIGN_OR_RETURN(std::vector<Tensor> results,
                          state_->interpreter->run(entry, batch, state_->caches));
  return std::move(results[0]);
}

std::vector<double> WholeModel::storedKeys(int64_t positions) const {
  std::vector<double> keys;
  for (const PagedCache &cache : state_->caches.front())
    for (int64_t slot = 0; slot < positions; ++slot) // pages in order, from the first on
      keys.insert(keys.end(), cache.k(slot, 0), cache.k(slot, 0) + cache.heads() * cache.headDim());
  return keys;
}
