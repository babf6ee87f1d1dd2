//===- Executor.cpp -------------------------------------------------------===//
#include "runtime/engine/Executor.h"

#include <algorithm>
#include <chrono>

namespace sinter {
namespace {

/// NaN as f32, as two bf16 and as two f16.
constexpr uint32_t kPoison = 0x7fc07fc0;

const char *headName(HeadKind head) {
  return head == HeadKind::Argmax ? "argmax" : head == HeadKind::Sample ? "sample" : "logits";
}

} // namespace

Result<std::unique_ptr<Executor>> Executor::create(ModelView model, Device &device,
                                                   const ExecutorOptions &options) {
  const Manifest &manifest = *model.manifest;
  if (options.numPages == 0)
    return invalidArgument("the KV cache has room for no page");
  constexpr uint64_t kMaxSlots = uint64_t(1) << 31; // slots are i32
  if (options.numPages * manifest.kv.pageSize >= kMaxSlots)
    return invalidArgument("the KV cache may not hold 2^31 tokens or more");
  std::unique_ptr<Executor> executor(new Executor);
  executor->model_ = std::move(model);
  executor->device_ = &device;
  executor->poison_ = options.poison;
  executor->numPages_ = options.numPages;
  const uint64_t pageSize = manifest.kv.pageSize;
  const uint64_t maxPages = (executor->model_.positions + pageSize - 1) / pageSize;
  SINTER_RETURN_IF_ERROR(device.prepare(
      {manifest.scratchBytes,
       uint32_t(std::min(maxPages, manifest.kv.tokensIn(options.numPages) / pageSize))}));
  executor->divider_ = StepShares(manifest, device);
  executor->shares_.resize(executor->divider_.most());
  for (Share &share : executor->shares_) {
    SINTER_ASSIGN_OR_RETURN(share.arena, device.allocate(manifest.arenaBytes, MemoryUse::Arena));
  }
  SINTER_ASSIGN_OR_RETURN(
      executor->cache_,
      device.allocate(uint64_t(options.numPages) * manifest.kv.pageBytes, MemoryUse::Cache));

  SinterModel abi = {};
  abi.size = sizeof abi;
  abi.isa = device.isa();
  abi.num_weights = uint32_t(executor->model_.weights.size());
  abi.num_pages = options.numPages;
  abi.weights = executor->model_.weights.data();
  abi.kv = executor->cache_.data();
  abi.kv_page_bytes = manifest.kv.pageBytes;
  for (const Share &share : executor->shares_) {
    abi.arena = share.arena.data();
    executor->models_.push_back(abi);
  }
  if (options.poison)
    for (uint32_t page = 0; page < options.numPages; ++page)
      SINTER_RETURN_IF_ERROR(executor->poisonPage(PageId(page)));
  return executor;
}

Status Executor::poisonPage(PageId page) {
  return device_->fill(pageData(page), kPoison, manifest().kv.pageBytes);
}

Status Executor::savePage(PageId page, void *to) {
  return device_->download(to, pageData(page), manifest().kv.pageBytes);
}

Status Executor::restorePage(PageId page, const void *from) {
  return device_->upload(pageData(page), from, manifest().kv.pageBytes);
}

Status Executor::poisonArenas(size_t count) {
  for (size_t i = 0; i < count; ++i)
    SINTER_RETURN_IF_ERROR(device_->fill(models_[i].arena, kPoison,
                                         manifest().arenaBytes - manifest().persistentBytes));
  return Status::ok();
}

bool Executor::hasHead(HeadKind head) const {
  return std::any_of(manifest().entries.begin(), manifest().entries.end(),
                     [&](const EntryPlan &entry) { return entry.head == head; });
}

HeadKind Executor::headFor(const SamplingParams &params, bool masked) const {
  if (params.takesArgmax() && !masked && hasHead(HeadKind::Argmax))
    return HeadKind::Argmax;
  return params.fitsDevice() && hasHead(HeadKind::Sample) ? HeadKind::Sample : HeadKind::Logits;
}

uint32_t Executor::maxTokens(HeadKind head, bool allRows) const {
  uint32_t most = 0;
  for (const EntryPlan &entry : manifest().entries) {
    uint32_t tokens = allRows ? std::min(entry.maxTokens, entry.maxRows) : entry.maxTokens;
    if (entry.maxQ > 0)
      tokens = std::min(tokens, entry.maxQ);
    if (entry.head == head && tokens >= entry.minTokens)
      most = std::max(most, tokens);
  }
  return most;
}

std::optional<uint32_t> Executor::findEntry(uint32_t tokens, uint32_t rows, uint32_t maxQ,
                                            HeadKind head) const {
  const std::vector<EntryPlan> &entries = manifest().entries;
  for (size_t i = 0; i < entries.size(); ++i)
    if (entries[i].head == head && entries[i].minTokens <= tokens &&
        tokens <= entries[i].maxTokens && rows <= entries[i].maxRows &&
        (entries[i].maxQ == 0 || maxQ <= entries[i].maxQ))
      return uint32_t(i);
  return std::nullopt;
}

Result<uint32_t> Executor::chooseEntry(const SinterBatch &batch, HeadKind head) const {
  if (const auto entry = findEntry(batch.num_tokens, batch.num_rows, batch.max_q, head))
    return *entry;
  return unsupported("the artefact has no entry point for " + std::to_string(batch.num_tokens) +
                     " tokens and " + std::to_string(batch.num_rows) + " rows of " +
                     headName(head));
}

/// Fills `building_`, outputs left null, and chooses the entry point for all of them.
Result<uint32_t> Executor::buildBatches(std::span<const WorkItem> items, HeadKind head) {
  auto build = [&](std::span<const std::span<const WorkItem>> parts) -> Result<uint32_t> {
    building_.clear();
    std::optional<uint32_t> common;
    for (std::span<const WorkItem> part : parts) {
      building_.push_back(shares_[building_.size()].builder.build(part));
      SINTER_ASSIGN_OR_RETURN(const uint32_t entry, chooseEntry(building_.back(), head));
      if (common.value_or(entry) != entry)
        return unsupported("the parts of a step need different entry points");
      common = entry;
    }
    return *common;
  };
  const std::vector<std::span<const WorkItem>> parts = divider_.divide(items);
  if (parts.size() > 1)
    if (Result<uint32_t> entry = build(parts))
      return entry;
  return build({&items, 1});
}

/// Rows of all batches lie one after the other in `output`.
void Executor::giveOutputs(HeadKind head, uint64_t rows, StepOutput &output,
                           std::span<const SinterSampling> sampling) {
  if (head == HeadKind::Logits) {
    output.logits.resize(rows * manifest().model.vocab);
  } else {
    output.argmaxValue.resize(rows);
    output.argmaxIndex.resize(rows);
  }
  size_t row = 0;
  for (SinterBatch &batch : building_) {
    if (head == HeadKind::Logits) {
      batch.logits = output.logits.data() + row * manifest().model.vocab;
    } else {
      batch.argmax_value = output.argmaxValue.data() + row;
      batch.argmax_index = output.argmaxIndex.data() + row;
    }
    if (head == HeadKind::Sample)
      batch.sampling = sampling.data() + row;
    row += batch.num_rows;
  }
}

Status Executor::check(std::span<const WorkItem> items) const {
  if (items.empty())
    return invalidArgument("a step needs at least one token");
  for (const WorkItem &item : items) {
    const Sequence &sequence = *item.sequence;
    const uint64_t end = uint64_t(sequence.cached()) + item.tokens;
    if (item.tokens == 0 || item.tokens > sequence.waiting())
      return internalError("a work item asks for tokens that its sequence does not have");
    if (sequence.pages().size() * sequence.pageSize() < end)
      return internalError("a work item's pages are not reserved");
    if (!sequence.mayWrite(item.tokens))
      return internalError("a work item would write a page that others read");
    if (end > model_.positions)
      return invalidArgument("position " + std::to_string(end - 1) + " is beyond the " +
                             std::to_string(model_.positions) + " positions of the model");
    for (uint64_t i = sequence.cached(); i < end; ++i)
      if (const int32_t token = sequence.tokens()[i];
          token < -int64_t(feedbackRows_) || token >= int64_t(manifest().model.vocab))
        return invalidArgument("token id " + std::to_string(token) +
                               " is outside the vocabulary of " +
                               std::to_string(manifest().model.vocab));
  }
  return Status::ok();
}

Status Executor::step(std::span<const WorkItem> items, HeadKind head, StepOutput &output,
                      std::span<const SinterSampling> sampling) {
  SINTER_RETURN_IF_ERROR(start(items, head, output, sampling));
  SINTER_RETURN_IF_ERROR(finish());
  const auto now = std::chrono::steady_clock::now();
  deviceSeconds_ = std::chrono::duration<double>(now - started_).count();
  return Status::ok();
}

Status Executor::start(std::span<const WorkItem> items, HeadKind head, StepOutput &output,
                       std::span<const SinterSampling> sampling) {
  SINTER_RETURN_IF_ERROR(check(items));
  SINTER_ASSIGN_OR_RETURN(const uint32_t entry, buildBatches(items, head));
  Shape shape;
  for (const SinterBatch &batch : building_) {
    shape.tokens += batch.num_tokens;
    shape.rows += batch.num_rows;
  }
  if (head == HeadKind::Sample && sampling.size() != shape.rows)
    return internalError("a step has " + std::to_string(shape.rows) + " rows and draws " +
                         std::to_string(sampling.size()) + " tokens");
  giveOutputs(head, shape.rows, output, sampling);
  if (poison_)
    SINTER_RETURN_IF_ERROR(poisonArenas(building_.size()));
  started_ = std::chrono::steady_clock::now();
  SINTER_RETURN_IF_ERROR(building_.size() == 1
                             ? device_->startStep(model_.step, models_[0], entry, building_[0])
                             : device_->stepTogether(model_.step,
                                                     std::span(models_).first(building_.size()),
                                                     entry, building_));
  feedbackRows_ = tokensAhead() > 0 && head != HeadKind::Logits ? uint32_t(shape.rows) : 0;
  lastEntry_ = entry;
  lastShape_ = std::move(shape);
  std::swap(batches_, building_);
  for (const WorkItem &item : items) {
    lastShape_.parts.emplace_back(item.sequence->cached(), item.tokens);
    item.sequence->advance(item.tokens);
  }
  if (profile_) {
    profile_->costs.resize(manifest().entries.size());
    std::vector<StepCost> &sums = profile_->costs[entry];
    sums.resize(manifest().entries[entry].schedule.size());
    size_t launch = 0;
    forEachLaunch([&](const OpPlan &, const StepCost &cost) {
      sums[launch].bytes += cost.bytes;
      sums[launch++].flops += cost.flops;
    });
  }
  return Status::ok();
}

/// Positions that the last step's items read of a layer's cache, and how many each token sees.
Executor::Attended Executor::attended(uint64_t window) const {
  Attended sum;
  for (const auto &[before, count] : lastShape_.parts) {
    // Tokens whose window does not reach the beginning see all of it.
    const uint64_t first = before + 1, last = before + count, limit = window ? window : last;
    const uint64_t growing = std::min(last, limit) - std::min(before, limit);
    sum.context += std::min(last, limit + (count - 1));
    sum.seen += growing * first + growing * (growing - 1) / 2 + (count - growing) * limit;
  }
  return sum;
}

template <typename Each> void Executor::forEachLaunch(Each each) const {
  const KvPlan &kv = manifest().kv;
  uint64_t tokens = lastShape_.tokens;
  uint64_t window = 0;
  Attended sum = attended(window);
  for (const OpPlan &op : manifest().entries[lastEntry_].schedule) {
    if (op.op == "select_rows")
      tokens = lastShape_.rows; // what follows sees the wanted rows only
    StepCost cost = {tokens ? op.weightBytes + op.actBytesPerToken * tokens : 0,
                     op.flopsPerToken * tokens};
    if (op.readsKv) {
      if (op.window != window)
        sum = attended(window = op.window);
      cost.bytes += sum.context * kv.tokenBytes() / kv.layers;
      cost.flops += 4 * sum.seen * manifest().model.heads * kv.headDim;
    }
    each(op, cost);
  }
}

StepCost Executor::lastCost(std::string_view operation) const {
  StepCost sum;
  forEachLaunch([&](const OpPlan &op, const StepCost &cost) {
    if (!operation.empty() && op.op != operation)
      return;
    sum.bytes += cost.bytes;
    sum.flops += cost.flops;
  });
  return sum;
}

Status Executor::readActivations(const EachActivation &each) {
  const EntryPlan &entry = manifest().entries[lastEntry_];
  std::vector<const BufferPlan *> order;
  for (const BufferPlan &plan : entry.buffers)
    order.push_back(&plan);
  std::sort(order.begin(), order.end(),
            [](const BufferPlan *a, const BufferPlan *b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset)
      return invalidArgument("activations share memory in this model: \"" + order[i - 1]->name +
                             "\" and \"" + order[i]->name + "\"; compile it with --no-reuse");
  std::vector<uint8_t> values;
  for (const BufferPlan &plan : entry.buffers) {
    const uint64_t rows = plan.ofRows ? lastShape_.rows : lastShape_.tokens;
    const uint64_t rowBytes = plan.columns * dtypeBytes(plan.dtype);
    values.resize(rows * rowBytes);
    uint8_t *to = values.data();
    for (size_t i = 0; i < batches_.size(); ++i) {
      const uint64_t bytes =
          rowBytes * (plan.ofRows ? batches_[i].num_rows : batches_[i].num_tokens);
      SINTER_RETURN_IF_ERROR(
          device_->download(to, static_cast<uint8_t *>(models_[i].arena) + plan.offset, bytes));
      to += bytes;
    }
    SINTER_RETURN_IF_ERROR(each(plan, rows, values.data()));
  }
  return Status::ok();
}

void Executor::setProfile(Profile *profile) {
  profile_ = profile;
  device_->setProfile(profile ? &profile->timings : nullptr);
}

} // namespace sinter
