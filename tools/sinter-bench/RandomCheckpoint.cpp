//===- RandomCheckpoint.cpp -----------------------------------------------===//
#include "RandomCheckpoint.h"

#include "runtime/cli/Quantity.h"
#include "sinter/Support/Half.h"
#include "sinter/Support/Json.h"
#include "sinter/Support/Philox.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace sinter {
namespace {

/// What a signal removes: its handler can be told in no other way.
char filePath[PATH_MAX], folderPath[PATH_MAX];

/// Only calls that are safe in a signal's handler.
void removeNow() {
  ::unlink(filePath);
  ::rmdir(folderPath);
}

void handleSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int number) {
    removeNow();
    raise(number);
  };
  action.sa_flags = int(SA_RESETHAND | SA_NODEFER);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction old = {};
    sigaction(number, nullptr, &old);
    if (old.sa_handler != SIG_IGN) // as under nohup
      sigaction(number, &action, nullptr);
  }
}

struct Tensor {
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  uint64_t bytes = 0;
};

/// By name; one that several weights are made of comes once.
std::map<std::string, Tensor> tensorsOf(const Manifest &manifest) {
  std::map<std::string, Tensor> tensors;
  for (const WeightPlan &weight : manifest.weights)
    for (const WeightSource &source : weight.sources) {
      Tensor tensor = {source.dtype, source.shape, dtypeBytes(source.dtype)};
      for (const int64_t extent : source.shape)
        tensor.bytes *= uint64_t(extent);
      tensors.emplace(source.tensor, std::move(tensor));
    }
  return tensors;
}

std::string headerOf(const std::map<std::string, Tensor> &tensors) {
  nlohmann::ordered_json header;
  uint64_t at = 0;
  for (const auto &[name, tensor] : tensors) {
    std::string dtype(dtypeName(tensor.dtype));
    std::transform(dtype.begin(), dtype.end(), dtype.begin(), ::toupper);
    header[name] = {
        {"dtype", dtype}, {"shape", tensor.shape}, {"data_offsets", {at, at + tensor.bytes}}};
    at += tensor.bytes;
  }
  const std::string text = header.dump();
  const uint64_t size = text.size(); // little endian, as the machines are
  return std::string(reinterpret_cast<const char *>(&size), sizeof size) + text;
}

template <typename Element> void append(Element element, std::vector<char> &bytes) {
  const auto *begin = reinterpret_cast<const char *>(&element);
  bytes.insert(bytes.end(), begin, begin + sizeof element);
}

/// Values that a tensor repeats: how fast they load depends on none of them, but activations must
/// stay finite. Norms are all one, linears and biases have a standard deviation of 0.02.
std::vector<char> valuesFor(const Tensor &tensor, bool norm) {
  constexpr uint64_t kValues = 1 << 18;
  std::vector<char> bytes;
  for (uint64_t i = 0; i < kValues; ++i) {
    const float value = norm ? 1 : 0.0346f * (2 * uniform(1, i / 4, uint32_t(i % 4)) - 1);
    if (tensor.dtype == DType::F32)
      append(value, bytes);
    else
      append(tensor.dtype == DType::BF16 ? f32ToBf16(value) : f32ToF16(value), bytes);
  }
  return bytes;
}

Status writeAll(int file, const char *data, uint64_t size) {
  while (size > 0) {
    const ssize_t written = ::write(file, data, size);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return unavailable(std::string("cannot write ") + filePath + ": " + std::strerror(errno));
    data += written;
    size -= uint64_t(written);
  }
  return Status::ok();
}

Status writeTensors(int file, const std::map<std::string, Tensor> &tensors) {
  const std::string header = headerOf(tensors);
  SINTER_RETURN_IF_ERROR(writeAll(file, header.data(), header.size()));
  std::map<std::pair<DType, bool>, std::vector<char>> known;
  for (const auto &[name, tensor] : tensors) {
    const bool norm = tensor.shape.size() == 1 && !std::string_view(name).ends_with(".bias");
    std::vector<char> &values = known[{tensor.dtype, norm}];
    if (values.empty())
      values = valuesFor(tensor, norm);
    for (uint64_t at = 0; at < tensor.bytes; at += values.size())
      SINTER_RETURN_IF_ERROR(
          writeAll(file, values.data(), std::min<uint64_t>(values.size(), tensor.bytes - at)));
  }
  return Status::ok();
}

} // namespace

Result<RandomCheckpoint> RandomCheckpoint::write(const Manifest &manifest) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error)
    return unavailable("no folder for temporary files (TMPDIR): " + error.message());
  std::string folder = (parent / "sinter-weights-XXXXXX").string();
  const std::string name = "/model.safetensors";
  if (folder.size() + name.size() >= PATH_MAX)
    return invalidArgument("TMPDIR: the path of a file in " + parent.string() + " is too long");
  if (!mkdtemp(folder.data()))
    return unavailable("cannot make a temporary folder " + folder + ": " + std::strerror(errno));
  std::snprintf(folderPath, sizeof folderPath, "%s", folder.c_str());
  std::snprintf(filePath, sizeof filePath, "%s%s", folder.c_str(), name.c_str());
  handleSignals();
  RandomCheckpoint checkpoint(folder);
  const std::map<std::string, Tensor> tensors = tensorsOf(manifest);
  uint64_t bytes = 0;
  for (const auto &[_, tensor] : tensors)
    bytes += tensor.bytes;
  const auto space = std::filesystem::space(folder, error);
  if (!error && space.available < bytes)
    return resourceExhausted(
        parent.string() + ": random weights take " + formatBytes(double(bytes)) + ", " +
        formatBytes(double(space.available)) +
        " are free: name another folder with TMPDIR, or weights with --weights");
  const int file = ::open(filePath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0)
    return unavailable(std::string("cannot create ") + filePath + ": " + std::strerror(errno));
  const Status status = writeTensors(file, tensors);
  ::close(file);
  SINTER_RETURN_IF_ERROR(status);
  return checkpoint;
}

RandomCheckpoint::~RandomCheckpoint() {
  if (!directory_.empty())
    removeNow();
}

} // namespace sinter
