//===- Weights.cpp - where the interpreter's weights come from ------------===//
#include "sinter/Interpreter/Weights.h"

#include "sinter/Support/Half.h"
#include "sinter/Support/Philox.h"

#include <cmath>
#include <cstring>

using namespace sinter;
using namespace sinter::interp;

namespace {

/// "[3072, 1024]", or "[3072]" for a vector.
std::vector<int64_t> wantedShape(int64_t rows, int64_t columns) {
  return columns ? std::vector<int64_t>{rows, columns} : std::vector<int64_t>{rows};
}

/// The tensor must be a matrix of `columns` columns or a vector, and hold rows [begin, end).
Status checkSlice(const std::string &where, const std::vector<int64_t> &shape, int64_t begin,
                  int64_t end, int64_t columns) {
  const bool fits = shape.size() == (columns ? 2 : 1) && end <= shape[0] &&
                    (!columns || shape[1] == columns) && begin >= 0 && begin < end;
  if (fits)
    return Status::ok();
  return invalidInput(where + ": shape " + formatShape(shape) + ", the graph reads rows [" +
                      std::to_string(begin) + ", " + std::to_string(end) + ") of " +
                      formatShape(wantedShape(end, columns)));
}

class FileWeights : public WeightProvider {
public:
  explicit FileWeights(std::shared_ptr<const std::vector<SafetensorsFile>> files)
      : files_(std::move(files)) {}

  Result<std::vector<double>> read(const std::string &name, int64_t begin, int64_t end,
                                   int64_t columns) override {
    for (const SafetensorsFile &file : *files_)
      if (const SafetensorsTensor *tensor = file.header().find(name))
        return readSlice(file, *tensor, begin, end, columns);
    return notFound("the checkpoint has no tensor \"" + name + "\"");
  }

private:
  static Result<std::vector<double>> readSlice(const SafetensorsFile &file,
                                               const SafetensorsTensor &tensor, int64_t begin,
                                               int64_t end, int64_t columns) {
    const std::string &fileName = file.header().fileName;
    SINTER_RETURN_IF_ERROR(checkSlice(fileName + ": tensor \"" + tensor.name + "\"", tensor.shape,
                                      begin, end, columns));
    SINTER_ASSIGN_OR_RETURN(const DType type, usableDType(tensor, fileName));
    const size_t rowSize = size_t(columns ? columns : 1), size = dtypeBytes(type);
    std::vector<uint8_t> bytes(size_t(end - begin) * rowSize * size);
    SINTER_RETURN_IF_ERROR(
        file.read(tensor, size_t(begin) * rowSize * size, bytes.size(), bytes.data()));
    return widen(type, bytes);
  }

  static std::vector<double> widen(DType type, const std::vector<uint8_t> &bytes) {
    const size_t size = dtypeBytes(type);
    std::vector<double> values(bytes.size() / size);
    for (size_t i = 0; i < values.size(); ++i) {
      uint32_t bits = 0;
      std::memcpy(&bits, bytes.data() + i * size, size);
      switch (type) {
      case DType::F32:
        values[i] = floatOf(bits);
        break;
      case DType::BF16:
        values[i] = bf16ToF32(uint16_t(bits));
        break;
      case DType::F16:
        values[i] = f16ToF32(uint16_t(bits));
        break;
      case DType::I32:
        values[i] = int32_t(bits);
        break;
      case DType::E4M3:
      case DType::E5M2:
        break; // usableDType gives none
      }
    }
    return values;
  }

  std::shared_ptr<const std::vector<SafetensorsFile>> files_;
};

class RandomWeights : public WeightProvider {
public:
  explicit RandomWeights(uint64_t seed) : seed_(seed) {}

  Result<std::vector<double>> read(const std::string &name, int64_t begin, int64_t end,
                                   int64_t columns) override {
    const bool isNorm = !columns && name.find("norm") != std::string::npos;
    const int64_t rowSize = columns ? columns : 1;
    // A byte b in [-128, 128) becomes offset + b * unit.
    const double offset = isNorm ? 1 : 0;
    const double unit =
        columns ? std::exp2(std::round(-std::log2(double(columns)) / 2) - 6.0) : 0x1p-8;
    std::vector<double> values(size_t((end - begin) * rowSize));
    const uint64_t key = seed_ ^ hashOf(name);
    PhiloxBlock block{};
    for (size_t i = 0; i < values.size(); ++i) {
      const uint64_t place = uint64_t(begin * rowSize) + i;
      if (i == 0 || place % 16 == 0)
        block = philoxBlock(key, place / 16, 0);
      const uint32_t byte = block[place % 16 / 4] >> (8 * (place % 4)) & 0xff;
      values[i] = offset + (double(byte) - 128) * unit;
      // Below 1 a step of 2^-8 has 8 significant bits, above 1 it would have 9.
      if (isNorm && values[i] > 1)
        values[i] = std::floor(values[i] * 128) / 128;
    }
    return values;
  }

private:
  /// FNV-1a.
  static uint64_t hashOf(const std::string &name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : name)
      hash = (hash ^ uint8_t(c)) * 0x100000001b3u;
    return hash;
  }

  uint64_t seed_;
};

class GivenWeights : public WeightProvider {
public:
  explicit GivenWeights(std::map<std::string, Tensor> tensors) : tensors_(std::move(tensors)) {}

  Result<std::vector<double>> read(const std::string &name, int64_t begin, int64_t end,
                                   int64_t columns) override {
    const auto it = tensors_.find(name);
    if (it == tensors_.end())
      return notFound("no tensor \"" + name + "\" was given");
    const Tensor &tensor = it->second;
    SINTER_RETURN_IF_ERROR(
        checkSlice("tensor \"" + name + "\"", tensor.shape, begin, end, columns));
    return std::vector<double>(tensor.row(begin),
                               tensor.row(begin) + (end - begin) * tensor.rowSize());
  }

private:
  std::map<std::string, Tensor> tensors_;
};

} // namespace

std::shared_ptr<WeightProvider>
interp::fileWeights(std::shared_ptr<const std::vector<SafetensorsFile>> files) {
  return std::make_shared<FileWeights>(std::move(files));
}

std::shared_ptr<WeightProvider> interp::randomWeights(uint64_t seed) {
  return std::make_shared<RandomWeights>(seed);
}

std::shared_ptr<WeightProvider> interp::givenWeights(std::map<std::string, Tensor> tensors) {
  return std::make_shared<GivenWeights>(std::move(tensors));
}
