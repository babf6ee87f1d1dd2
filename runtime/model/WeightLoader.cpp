//===- WeightLoader.cpp ---------------------------------------------------===//
#include "runtime/model/WeightLoader.h"

#include "runtime/model/RandomWeights.h"
#include "runtime/model/RopeTable.h"
#include "runtime/model/UploadList.h"
#include "runtime/model/WeightPacker.h"
#include "sinter/Support/Half.h"
#include "sinter/Support/Json.h"
#include "sinter/Support/Safetensors.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

namespace sinter {
namespace {

constexpr uint64_t kStagingBytes = uint64_t(1) << 20; ///< per thread

/// Every *.safetensors of a directory, by name, with nothing to check the headers against.
Result<std::vector<SourceFile>> safetensorsIn(const std::string &directory) {
  std::vector<SourceFile> files;
  std::error_code error;
  for (const auto &entry : std::filesystem::directory_iterator(directory, error))
    if (entry.path().extension() == ".safetensors")
      files.push_back({entry.path().filename().string(), {}});
  if (error)
    return notFound(directory + ": " + error.message());
  if (files.empty())
    return notFound(directory + ": no *.safetensors in it");
  std::sort(files.begin(), files.end(),
            [](const SourceFile &a, const SourceFile &b) { return a.name < b.name; });
  return files;
}

/// The checkpoint's files, checked against the headers the artefact was compiled for.
class Checkpoint {
public:
  struct Tensor {
    const SafetensorsFile *file = nullptr;
    const SafetensorsTensor *entry = nullptr;
  };

  static Result<Checkpoint> open(const Manifest &manifest, const std::string &directory) {
    // A shape's name or a graph was compiled without a checkpoint: then any directory may serve
    // whose tensors have the planned names, types and shapes.
    std::vector<SourceFile> sources = manifest.sourceFiles;
    if (sources.empty()) {
      SINTER_ASSIGN_OR_RETURN(sources, safetensorsIn(directory));
    }
    Checkpoint checkpoint;
    checkpoint.files_.reserve(sources.size());
    for (const SourceFile &source : sources) {
      SINTER_ASSIGN_OR_RETURN(SafetensorsFile file,
                              SafetensorsFile::open(directory + "/" + source.name));
      if (!source.headerHash.empty() && file.header().hash != source.headerHash)
        return invalidInput(directory + "/" + source.name +
                            ": its tensors are not those the model was compiled for: compile "
                            "again, or name another directory with --weights");
      checkpoint.files_.push_back(std::move(file));
    }
    for (const SafetensorsFile &file : checkpoint.files_)
      for (const SafetensorsTensor &tensor : file.header().tensors)
        if (!checkpoint.tensors_.try_emplace(tensor.name, Tensor{&file, &tensor}).second)
          return invalidInput(file.header().fileName + ": tensor " + quoteForMessage(tensor.name) +
                              " stands in another file of the directory too");
    return checkpoint;
  }

  /// The tensor a source names, with the dtype and shape the plan expects.
  Result<Tensor> find(const WeightSource &source) const {
    const auto found = tensors_.find(source.tensor);
    if (found == tensors_.end())
      return invalidInput("tensor " + quoteForMessage(source.tensor) + " is not in the checkpoint");
    const Tensor &tensor = found->second;
    const std::string &file = tensor.file->header().fileName;
    SINTER_ASSIGN_OR_RETURN(const DType dtype, usableDType(*tensor.entry, file));
    if (dtype != source.dtype || tensor.entry->shape != source.shape)
      return invalidInput(file + ": tensor " + quoteForMessage(source.tensor) + ": " +
                          std::string(dtypeName(dtype)) + " " + formatShape(tensor.entry->shape) +
                          ", the artefact needs " + std::string(dtypeName(source.dtype)) + " " +
                          formatShape(source.shape));
    return tensor;
  }

private:
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Tensor> tensors_;
};

/// Some tiles of one source: what a thread reads and packs at a time.
struct PackTask {
  Checkpoint::Tensor tensor;
  DType dtype;
  uint64_t columns;
  uint64_t rowBegin;
  uint64_t rowEnd;
  uint8_t *destination;
};

Status appendPackTasks(const WeightPlan &weight, const Checkpoint &checkpoint, uint8_t *destination,
                       std::vector<PackTask> &tasks) {
  const uint64_t columns = weight.shape[1];
  const uint64_t rowBytes = columns * dtypeBytes(weight.dtype);
  const uint64_t rowsPerTask =
      std::max<uint64_t>(kStagingBytes / rowBytes / kTileRows, 1) * kTileRows;
  for (const WeightSource &source : weight.sources) {
    SINTER_ASSIGN_OR_RETURN(const Checkpoint::Tensor tensor, checkpoint.find(source));
    for (uint64_t row = source.rowBegin; row < source.rowEnd; row += rowsPerTask) {
      const uint64_t end = std::min(row + rowsPerTask, source.rowEnd);
      tasks.push_back({tensor, weight.dtype, columns, row, end, destination});
      destination += (end - row + kTileRows - 1) / kTileRows * tileBytes(columns, weight.dtype);
    }
  }
  return Status::ok();
}

/// Row-major linears: bytes of the checkpoint as they are.
Status appendRows(const WeightPlan &weight, const Checkpoint &checkpoint, uint8_t *destination,
                  UploadList &list) {
  const uint64_t rowBytes = weight.shape[1] * dtypeBytes(weight.dtype);
  for (const WeightSource &source : weight.sources) {
    SINTER_ASSIGN_OR_RETURN(const Checkpoint::Tensor tensor, checkpoint.find(source));
    const uint64_t first = source.rowBegin * rowBytes, bytes = source.rows() * rowBytes;
    list.append(destination, bytes, [&](uint64_t offset, uint64_t size) {
      return [tensor, at = first + offset, size](void *host) {
        return tensor.file->read(*tensor.entry, at, size, host);
      };
    });
    destination += bytes;
  }
  return Status::ok();
}

Status runList(const UploadList &list, Device &device, const WeightOptions &options) {
  uint64_t total = 0;
  for (const UploadPiece &piece : list.pieces)
    total += piece.bytes;
  std::atomic<uint64_t> done{0};
  const auto loadingThread = std::this_thread::get_id();
  SINTER_RETURN_IF_ERROR(device.produce(list.pieces, [&](uint32_t index, void *host) {
    Status status = list.makers[index](host);
    const uint64_t sum = done += list.pieces[index].bytes;
    if (options.progress && std::this_thread::get_id() == loadingThread)
      options.progress(sum, total);
    return status;
  }));
  if (options.progress && total > 0)
    options.progress(total, total);
  return Status::ok();
}

Status runPackTask(const PackTask &task, std::vector<uint8_t> &staging) {
  const uint64_t rowBytes = task.columns * dtypeBytes(task.dtype);
  const uint64_t bytes = (task.rowEnd - task.rowBegin) * rowBytes;
  if (staging.size() < bytes)
    staging.resize(bytes);
  SINTER_RETURN_IF_ERROR(
      task.tensor.file->read(*task.tensor.entry, task.rowBegin * rowBytes, bytes, staging.data()));
  uint8_t *tile = task.destination;
  for (uint64_t row = task.rowBegin; row < task.rowEnd; row += kTileRows) {
    packTile(staging.data() + (row - task.rowBegin) * rowBytes,
             std::min(kTileRows, task.rowEnd - row), task.columns, task.dtype, tile);
    tile += tileBytes(task.columns, task.dtype);
  }
  return Status::ok();
}

Status runPackTasks(const std::vector<PackTask> &tasks, Device &device,
                    const WeightOptions &options) {
  uint64_t total = 0;
  for (const PackTask &task : tasks)
    total += task.tensor.entry->bytes() / uint64_t(task.tensor.entry->shape[0]) *
             (task.rowEnd - task.rowBegin);
  std::atomic<uint64_t> done{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  Status error;
  const auto loadingThread = std::this_thread::get_id();
  device.hostParallel(uint32_t(tasks.size()), [&](uint32_t begin, uint32_t end) {
    std::vector<uint8_t> staging;
    for (uint32_t i = begin; i < end && !failed; ++i) {
      if (Status status = runPackTask(tasks[i], staging); !status) {
        const std::lock_guard lock(mutex);
        if (!failed.exchange(true))
          error = std::move(status);
        return;
      }
      done += (tasks[i].rowEnd - tasks[i].rowBegin) * tasks[i].columns * dtypeBytes(tasks[i].dtype);
      if (options.progress && std::this_thread::get_id() == loadingThread)
        options.progress(done, total);
    }
  });
  return error;
}

/// The source's elements as f32.
Result<std::vector<float>> readVector(const WeightSource &source, const Checkpoint &checkpoint) {
  SINTER_ASSIGN_OR_RETURN(const Checkpoint::Tensor tensor, checkpoint.find(source));
  const uint64_t width = dtypeBytes(source.dtype);
  std::vector<uint8_t> raw(source.rows() * width);
  SINTER_RETURN_IF_ERROR(
      tensor.file->read(*tensor.entry, source.rowBegin * width, raw.size(), raw.data()));
  std::vector<float> values(source.rows());
  if (source.dtype == DType::F32) {
    std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, raw.data() + 2 * i, sizeof half);
    values[i] = source.dtype == DType::BF16 ? bf16ToF32(half) : f16ToF32(half);
  }
  return values;
}

Status loadVector(const WeightPlan &weight, const Checkpoint &checkpoint, Device &device,
                  void *destination) {
  std::vector<float> all;
  for (const WeightSource &source : weight.sources) {
    SINTER_ASSIGN_OR_RETURN(const std::vector<float> values, readVector(source, checkpoint));
    all.insert(all.end(), values.begin(), values.end());
  }
  return device.upload(destination, all.data(), all.size() * sizeof(float));
}

Status loadKScale(const WeightPlan &weight, const Checkpoint &checkpoint, Device &device,
                  void *destination) {
  SINTER_ASSIGN_OR_RETURN(const std::vector<float> values,
                          readVector(weight.sources[0], checkpoint));
  float maxAbs = 0;
  for (float value : values) {
    if (!std::isfinite(value))
      return invalidInput("tensor " + quoteForMessage(weight.sources[0].tensor) +
                          " holds a value that is not finite");
    maxAbs = std::max(maxAbs, std::fabs(value));
  }
  const float scale = kScaleFor(maxAbs, weight.headDim, weight.room);
  return device.upload(destination, &scale, sizeof scale);
}

/// Places all weights in one block; pages of large ones are not shared with neighbours.
Result<ResidentWeights> allocateWeights(const Manifest &manifest, Device &device,
                                        const WeightOptions &options) {
  constexpr uint64_t kLine = 256, kPage = 4096;
  ResidentWeights resident;
  resident.positions = manifest.model.maxPosition;
  std::vector<uint64_t> offsets;
  uint64_t end = 0;
  for (const WeightPlan &weight : manifest.weights) {
    uint64_t bytes = weight.bytes;
    if (weight.kind == WeightKind::Rope) {
      const uint64_t needed = options.positions ? options.positions : weight.shape[0];
      const uint64_t positions = std::min(weight.shape[0], needed);
      resident.positions = std::min(resident.positions, positions);
      bytes = positions * weight.shape[1] * sizeof(float);
    }
    const uint64_t alignment = bytes >= kPage ? kPage : kLine;
    end = (end + alignment - 1) / alignment * alignment;
    offsets.push_back(end);
    end += bytes;
  }
  SINTER_ASSIGN_OR_RETURN(resident.memory, device.allocate(end, MemoryUse::Weights));
  for (uint64_t offset : offsets)
    resident.pointers.push_back(static_cast<uint8_t *>(resident.memory.data()) + offset);
  return resident;
}

Status loadFromCheckpoint(const Manifest &manifest, Device &device, const WeightOptions &options,
                          const ResidentWeights &resident) {
  const std::string &directory =
      options.directory.empty() ? manifest.sourceDirectory : options.directory;
  if (directory.empty())
    return invalidArgument("compiled without a checkpoint: give --weights DIR or random:SEED");
  SINTER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::open(manifest, directory));
  if (options.begin)
    options.begin();
  std::vector<PackTask> tasks;
  UploadList list;
  for (size_t i = 0; i < manifest.weights.size(); ++i) {
    const WeightPlan &weight = manifest.weights[i];
    auto *destination = static_cast<uint8_t *>(resident.pointers[i]);
    Status status;
    if (weight.kind == WeightKind::Vector)
      status = loadVector(weight, checkpoint, device, destination);
    else if (weight.kind == WeightKind::KScale)
      status = loadKScale(weight, checkpoint, device, destination);
    else if (weight.kind == WeightKind::Linear && weight.layout == WeightLayout::RowMajor)
      status = appendRows(weight, checkpoint, destination, list);
    else if (weight.kind == WeightKind::Linear && device.hasHostMemory())
      status = appendPackTasks(weight, checkpoint, destination, tasks);
    else if (weight.kind == WeightKind::Linear)
      status = unsupported("weight " + weight.name + ": tiles are for the host's memory");
    SINTER_RETURN_IF_ERROR(status);
  }
  SINTER_RETURN_IF_ERROR(runList(list, device, options));
  return runPackTasks(tasks, device, options);
}

/// Computed on the host; `positions` rows of it.
Status loadRope(const WeightPlan &weight, uint64_t positions, Device &device, void *destination) {
  if (device.hasHostMemory()) {
    fillRopeTable(weight, positions, device, static_cast<float *>(destination));
    return Status::ok();
  }
  std::vector<float> table(positions * weight.shape[1]);
  fillRopeTable(weight, positions, device, table.data());
  return device.upload(destination, table.data(), table.size() * sizeof(float));
}

} // namespace

float kScaleFor(float maxAbs, uint64_t headDim, uint64_t room) {
  const double bound = double(maxAbs) * std::sqrt(double(headDim));
  const double scale = bound <= 1 ? 1.0 : std::exp2(std::ceil(std::log2(bound)));
  return float(scale / double(room));
}

Result<WeightOptions> parseWeightOptions(const std::string &text) {
  WeightOptions options;
  constexpr std::string_view kRandom = "random:";
  if (text.compare(0, kRandom.size(), kRandom) != 0) {
    options.directory = text;
    return options;
  }
  uint64_t seed = 0;
  const char *end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + kRandom.size(), end, seed);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    return invalidArgument("--weights " + text + ": expected random:SEED with a number as SEED");
  options.randomSeed = seed;
  return options;
}

Result<ResidentWeights> loadWeights(const Manifest &manifest, Device &device,
                                    const WeightOptions &options) {
  SINTER_ASSIGN_OR_RETURN(ResidentWeights resident, allocateWeights(manifest, device, options));
  if (options.begin && options.randomSeed)
    options.begin();
  UploadList random;
  for (size_t i = 0; i < manifest.weights.size(); ++i) {
    const WeightPlan &weight = manifest.weights[i];
    if (weight.kind == WeightKind::Rope)
      SINTER_RETURN_IF_ERROR(loadRope(weight, std::min(resident.positions, weight.shape[0]), device,
                                      resident.pointers[i]));
    else if (options.randomSeed)
      SINTER_RETURN_IF_ERROR(
          fillRandom(weight, *options.randomSeed, i, device, resident.pointers[i], random));
  }
  if (options.randomSeed)
    SINTER_RETURN_IF_ERROR(runList(random, device, options));
  else
    SINTER_RETURN_IF_ERROR(loadFromCheckpoint(manifest, device, options, resident));
  return resident;
}

} // namespace sinter
