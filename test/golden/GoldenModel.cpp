//===- GoldenModel.cpp - compiles a checkpoint and runs token ids ---------===//
#include "test/golden/GoldenModel.h"

#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/engine/Sequence.h"
#include "sinter/Support/Npy.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <stdexcept>

namespace sinter::golden {
namespace fs = std::filesystem;

namespace {

/// A failure of the machinery ends the test with its message.
void require(const Status &status, const char *what) {
  if (!status.isOk())
    throw std::runtime_error(std::string(what) + ": " + status.message());
}
template <typename T> T require(Result<T> result, const char *what) {
  require(result.status(), what);
  return *std::move(result);
}

std::string runCommand(const std::string &command) {
  FILE *pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe)
    throw std::runtime_error("cannot start: " + command);
  std::string out;
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof buffer, pipe))
    out.append(buffer, n);
  if (pclose(pipe) != 0)
    throw std::runtime_error(command + "\n" + out);
  return out;
}

const std::string kCompiler = SINTER_BINARY_DIR "/bin/sinter-compile";

/// Passes everything through, except that a step's inputs may be tampered with.
class TamperingDevice final : public Device {
public:
  TamperingDevice(std::unique_ptr<Device> device, Tamper tamper)
      : device_(std::move(device)), tamper_(std::move(tamper)) {}

  std::string name() const override { return device_->name(); }
  std::string target() const override { return device_->target(); }
  uint32_t isa() const override { return device_->isa(); }
  bool hasHostMemory() const override { return device_->hasHostMemory(); }
  uint64_t freeMemory() const override { return device_->freeMemory(); }
  Result<DeviceMemory> allocate(uint64_t bytes, MemoryUse use) override {
    return device_->allocate(bytes, use);
  }
  Status fill(void *data, uint32_t word, uint64_t bytes) override {
    return device_->fill(data, word, bytes);
  }
  Status upload(void *to, const void *from, uint64_t bytes) override {
    return device_->upload(to, from, bytes);
  }
  Status download(void *to, const void *from, uint64_t bytes) override {
    return device_->download(to, from, bytes);
  }
  Status produce(std::span<const UploadPiece> pieces,
                 const std::function<Status(uint32_t, void *)> &body) override {
    return device_->produce(pieces, body);
  }
  Status loadKernels(const Manifest &manifest, std::string_view ptx,
                     std::string_view cubin) override {
    return device_->loadKernels(manifest, ptx, cubin);
  }
  Result<double> measureReadBandwidth() override { return device_->measureReadBandwidth(); }
  Result<double> measureFmaPeak() override { return device_->measureFmaPeak(); }
  Status prepare(const StepLimits &limits) override { return device_->prepare(limits); }
  Status step(SinterStepFn function, SinterModel &model, uint32_t entry,
              const SinterBatch &batch) override {
    SinterBatch changedBatch = batch;
    SinterModel changedModel = model;
    tamper_(changedBatch, changedModel);
    return device_->step(function, changedModel, entry, changedBatch);
  }
  void hostParallel(uint32_t tasks, const std::function<void(uint32_t, uint32_t)> &body) override {
    device_->hostParallel(tasks, body);
  }
  void setProfile(StepProfile *profile) override { device_->setProfile(profile); }

private:
  std::unique_ptr<Device> device_;
  Tamper tamper_;
};

nlohmann::json readJson(const std::string &path) {
  std::ifstream in(path);
  if (!in)
    throw std::runtime_error("cannot read " + path);
  return nlohmann::json::parse(in);
}

Logits readLogits(const std::string &path, size_t *vocab = nullptr) {
  if (!fs::exists(path))
    return {};
  NpyArray array = require(readNpy(path), path.c_str());
  if (vocab)
    *vocab = array.shape.at(1);
  return array.data;
}

Golden readGolden(const std::string &json, const std::string &arrays) {
  Golden golden;
  nlohmann::json j = readJson(json);
  golden.ids = j.at("ids").get<Ids>();
  golden.positions = j.at("positions").get<std::vector<size_t>>();
  golden.f32 = readLogits(arrays + "_f32.npy", &golden.vocab);
  golden.bf16 = readLogits(arrays + "_bf16.npy");
  golden.f16 = readLogits(arrays + "_f16.npy");
  return golden;
}

} // namespace

std::string compile(const std::string &input, const std::string &flags) {
  static std::map<std::string, std::string> done;
  std::string key = input + " " + flags;
  if (auto it = done.find(key); it != done.end())
    return it->second;
  fs::path folder = fs::path(SINTER_BINARY_DIR) / "test/golden/artifacts";
  fs::create_directories(folder);
  std::string out = (folder / (std::to_string(std::hash<std::string>{}(key)) + ".sinter")).string();
  runCommand(kCompiler + " '" + input + "' " + flags + " -o '" + out + "'");
  return done[key] = out;
}

std::string emitXfmr(const std::string &input, const std::string &flags) {
  return runCommand(kCompiler + " '" + input + "' --emit=xfmr " + flags);
}

GoldenModel::GoldenModel(const std::string &artifact, const std::string &weights, uint32_t threads,
                         Tamper tamper) {
  CpuOptions cpu;
  cpu.threads = threads;
  device_ = require(CpuDevice::create(cpu), "device");
  if (tamper)
    device_ = std::make_unique<TamperingDevice>(std::move(device_), std::move(tamper));
  ArtifactFile file = require(ArtifactFile::open(artifact), "open");
  artifact_ = require(Artifact::load(std::move(file), device_->target(), device_->isa()), "load");
  WeightOptions options;
  options.directory = weights;
  weights_ = require(loadWeights(manifest(), *device_, options), "weights");
}

GoldenModel::~GoldenModel() = default;

std::unique_ptr<Executor> GoldenModel::makeExecutor(uint32_t numPages) {
  require(device_->prepare({manifest().scratchBytes, numPages}), "prepare");
  ModelView view;
  view.manifest = &manifest();
  view.step = artifact_->step();
  view.weights = weights_.pointers;
  view.positions = weights_.positions;
  ExecutorOptions options;
  options.numPages = numPages;
  options.poison = true;
  return require(Executor::create(std::move(view), *device_, options), "executor");
}

size_t GoldenModel::ropeIndex() const {
  for (size_t i = 0; i < manifest().weights.size(); ++i)
    if (manifest().weights[i].name == "rope")
      return i;
  throw std::runtime_error("no rope table");
}

/// Runs the waiting tokens of `sequence`, `chunk` at a time, and appends their logits.
static void runSequence(Executor &executor, Sequence &sequence, uint32_t chunk, Logits &logits) {
  while (sequence.waiting() > 0) {
    uint32_t n = chunk ? std::min(chunk, sequence.waiting()) : sequence.waiting();
    require(sequence.reserve(n), "reserve");
    WorkItem item{&sequence, n, Rows::All};
    StepOutput output;
    require(executor.step({&item, 1}, HeadKind::Logits, output), "step");
    logits.insert(logits.end(), output.logits.begin(), output.logits.end());
    sequence.dropUnseen();
  }
}

Logits GoldenModel::run(const Ids &ids, const RunOptions &options) {
  executor_ = makeExecutor(options.numPages);
  PageAllocator pages = options.shufflePages
                            ? PageAllocator(options.numPages, *options.shufflePages)
                            : PageAllocator(options.numPages);
  pages.setOnFree([&](PageId page) { require(executor_->poisonPage(page), "poison"); });
  const auto pageSize = uint32_t(manifest().kv.pageSize);
  const uint64_t window = manifest().kv.window;
  std::vector<PageId> others;
  if (options.fragmentPages) {
    for (uint32_t i = 0; i < options.numPages; ++i)
      others.push_back(pages.allocate().value());
    for (uint32_t i = 0; i < options.numPages; i += 2)
      pages.release(others[i]);
  }
  Logits logits;
  if (options.sharedPrefix > 0) {
    Sequence first(pages, pageSize, window);
    first.append(Ids(ids.begin(), ids.begin() + options.sharedPrefix));
    runSequence(*executor_, first, options.chunk, logits);
    Sequence second = first.fork();
    // What the fork runs again is taken from the second run.
    logits.resize(size_t(second.cached()) * manifest().model.vocab);
    second.append(Ids(ids.begin() + options.sharedPrefix, ids.end()));
    runSequence(*executor_, second, options.chunk, logits);
  } else {
    Sequence sequence(pages, pageSize, window);
    sequence.append(ids);
    runSequence(*executor_, sequence, options.chunk, logits);
  }
  require(pages.checkIntegrity(), "pages");
  return logits;
}

std::string tinyDirectory(const std::string &name) {
  return std::string(SINTER_SOURCE_DIR) + "/test/models/golden/" + name;
}
std::string shakespeareDirectory() {
  return std::string(SINTER_SOURCE_DIR) + "/models/shakespeare";
}

Golden readTinyGolden(const std::string &name) {
  return readGolden(tinyDirectory(name) + "/golden.json", tinyDirectory(name) + "/logits");
}

Golden readShakespeareGolden(const std::string &name) {
  std::string stem = shakespeareDirectory() + "/golden/logits_" + name;
  return readGolden(stem + ".json", stem);
}

std::vector<std::string> tinyNames() {
  std::vector<std::string> names;
  for (const auto &entry : fs::directory_iterator(tinyDirectory("")))
    if (fs::exists(entry.path() / "golden.json"))
      names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

Logits pickRows(const Logits &all, const Golden &golden) {
  Logits rows;
  for (size_t p : golden.positions)
    rows.insert(rows.end(), all.begin() + p * golden.vocab, all.begin() + (p + 1) * golden.vocab);
  return rows;
}

double relativeL2(const Logits &a, const Logits &b) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  if (a.size() != b.size() || b.empty())
    return kInf;
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    double d = double(a[i]) - double(b[i]);
    difference += d * d;
    norm += double(b[i]) * double(b[i]);
  }
  double result = std::sqrt(difference / norm);
  return std::isfinite(result) ? result : kInf;
}

} // namespace sinter::golden
