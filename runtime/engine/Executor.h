//===- Executor.h - runs steps of a loaded model ----------------*- C++ -*-===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/device/Device.h"
#include "runtime/engine/BatchBuilder.h"
#include "runtime/engine/PageBytes.h"
#include "runtime/engine/SamplingParams.h"
#include "runtime/engine/StepShares.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace sinter {

/// A model whose code and weights are in place; everything it points to outlives the executor.
struct ModelView {
  const Manifest *manifest = nullptr;
  SinterStepFn step = nullptr;
  std::vector<void *> weights;
  uint64_t positions = 0; ///< a token's position must be below this
};

struct ExecutorOptions {
  uint32_t numPages = 0;
  /// Debugging aid: cache and activations start as NaN, activations again before every step, so
  /// that whatever reads what was not written shows.
  bool poison = false;
};

/// What a step computed, row by row in the order of the items.
struct StepOutput {
  std::vector<float> logits;        ///< [rows, vocab], HeadKind::Logits
  std::vector<float> argmaxValue;   ///< of the token, not finite where the logits are not
  std::vector<int32_t> argmaxIndex; ///< the token, HeadKind::Argmax and Sample
};

/// The head that serves two rows, of which each needs one of these.
constexpr HeadKind widerHead(HeadKind a, HeadKind b) {
  const auto is = [&](HeadKind head) { return a == head || b == head; };
  return is(HeadKind::Logits)   ? HeadKind::Logits
         : is(HeadKind::Sample) ? HeadKind::Sample
                                : HeadKind::Argmax;
}

/// The least a step must move and compute, for rooflines.
struct StepCost {
  uint64_t bytes = 0;
  uint64_t flops = 0;
};

/// Timings and costs of every launch of an entry's schedule, summed over steps: [entry][op].
struct Profile {
  StepProfile timings;
  std::vector<std::vector<StepCost>> costs;
};

class Executor final : public PageBytes {
public:
  static Result<std::unique_ptr<Executor>> create(ModelView model, Device &device,
                                                  const ExecutorOptions &options);

  /// Runs all items as one step. On success the items' tokens are cached and `output` holds the
  /// rows asked for; on failure nothing counts as cached. `sampling`: with HeadKind::Sample one for
  /// every row; what it points to is read before start() returns.
  Status step(std::span<const WorkItem> items, HeadKind head, StepOutput &output,
              std::span<const SinterSampling> sampling = {});

  /// The most sequences of a decode step that can be started before the step in front of it is
  /// finished, which gives tokens and no logits; 0: none can. In it a token id of -1 - r stands for
  /// the token that row r of that step will give.
  uint32_t tokensAhead() const { return manifest().feedback ? device_->tokensAhead() : 0; }
  /// step() in two halves: `output` must stay where it is and is filled by the matching finish(),
  /// and the items' tokens count as cached from the start. Two steps at most are under way; an
  /// error of one is an error of both.
  Status start(std::span<const WorkItem> items, HeadKind head, StepOutput &output,
               std::span<const SinterSampling> sampling = {});
  Status finish() { return device_->finishStep(); }

  /// The most tokens of one sequence that a step with this head can take, each with its row or all
  /// without.
  uint32_t maxTokens(HeadKind head, bool allRows) const;
  bool hasHead(HeadKind head) const;
  /// The head that costs least of those that can pick a token with these parameters; `masked`: of
  /// some tokens only.
  HeadKind headFor(const SamplingParams &params, bool masked = false) const;
  /// Whether there is an entry point for a step of this shape; `maxQ`: most tokens of a sequence.
  bool fits(uint32_t tokens, uint32_t rows, uint32_t maxQ, HeadKind head) const {
    return findEntry(tokens, rows, maxQ, head).has_value();
  }

  /// What the last step cost, or its launches of one operation.
  StepCost lastCost(std::string_view operation = {}) const;
  /// In how many parts the last step was computed, each by one thread: see StepShares.
  size_t lastShares() const { return batches_.size(); }
  /// How long the device was busy with the last step, the rest of step() being the host's.
  double deviceSeconds() const { return deviceSeconds_; }

  /// Calls each(plan, rows, values) for every activation of the last step, which has finished;
  /// `values` are rows x plan.columns of plan.dtype. An error where activations share memory.
  using EachActivation =
      std::function<Status(const BufferPlan &plan, uint64_t rows, const void *values)>;
  Status readActivations(const EachActivation &each);

  /// Records later steps in `profile`, which must outlive them; null stops.
  void setProfile(Profile *profile);

  const Manifest &manifest() const { return *model_.manifest; }
  uint64_t positions() const { return model_.positions; }
  uint32_t numPages() const { return numPages_; }
  /// Tokens that one sequence can have.
  uint64_t longestSequence() const {
    return std::min(positions(), manifest().kv.tokensIn(numPages_));
  }
  uint64_t cacheBytes() const { return numPages_ * manifest().kv.pageBytes; }
  Device &device() { return *device_; }

  uint64_t pageBytes() const override { return manifest().kv.pageBytes; }
  Status savePage(PageId page, void *to) override;
  Status restorePage(PageId page, const void *from) override;
  /// Fills a page with NaN: for tests that check that freed pages are not read.
  Status poisonPage(PageId page);

private:
  struct Shape { ///< of the last step, as its cost depends on it
    uint64_t tokens = 0, rows = 0;
    std::vector<std::pair<uint64_t, uint64_t>> parts; ///< cached before and run, per item
  };
  /// What a share of a step is computed with. The first one has all of a step that is not divided.
  struct Share {
    BatchBuilder builder;
    DeviceMemory arena;
  };

  Executor() = default;
  std::optional<uint32_t> findEntry(uint32_t tokens, uint32_t rows, uint32_t maxQ,
                                    HeadKind head) const;
  Result<uint32_t> chooseEntry(const SinterBatch &batch, HeadKind head) const;
  Result<uint32_t> buildBatches(std::span<const WorkItem> items, HeadKind head);
  void giveOutputs(HeadKind head, uint64_t rows, StepOutput &output,
                   std::span<const SinterSampling> sampling);
  uint8_t *pageData(PageId page) const {
    return static_cast<uint8_t *>(cache_.data()) + uint64_t(page) * manifest().kv.pageBytes;
  }
  Status check(std::span<const WorkItem> items) const;
  Status poisonArenas(size_t count);
  struct Attended {
    uint64_t context = 0, seen = 0;
  };
  Attended attended(uint64_t window) const;
  /// Calls each(OpPlan, StepCost) for the last step's launches.
  template <typename Each> void forEachLaunch(Each each) const;

  ModelView model_;
  Device *device_ = nullptr;
  bool poison_ = false;
  uint32_t numPages_ = 0;
  DeviceMemory cache_;
  StepShares divider_;
  std::vector<Share> shares_;
  std::vector<SinterModel> models_;   ///< one per share, which differ in their arenas
  std::vector<SinterBatch> batches_;  ///< of the last step, one per share that it was divided into
  std::vector<SinterBatch> building_; ///< of the step that is being started
  uint32_t lastEntry_ = 0;
  uint32_t feedbackRows_ = 0; ///< of the last step, if tokens may name them
  Shape lastShape_;
  std::chrono::steady_clock::time_point started_; ///< when the device got the last step
  double deviceSeconds_ = 0;
  Profile *profile_ = nullptr;
};

} // namespace sinter
