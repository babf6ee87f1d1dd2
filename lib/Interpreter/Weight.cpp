//===- Weight.cpp - the values of xfmr.weight -----------------------------===//
#include "Execution.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;
using namespace sinter::xfmr;

namespace {

/// The part of one source that `rank` holds. `columns` is the width of that part, 0 for a vector.
Result<std::vector<double>> readSource(SourceAttr source, WeightProvider &provider, unsigned rank,
                                       unsigned ranks, int64_t columns) {
  const std::string name = source.getTensor().str();
  const int64_t begin = source.getBegin(), end = source.getEnd();
  if (source.getShard() != ShardRule::Replicated && source.getRanks() != int64_t(ranks))
    return invalidInput("source \"" + name + "\" is for " + std::to_string(source.getRanks()) +
                        " ranks in a module of " + std::to_string(ranks));
  switch (source.getShard()) {
  case ShardRule::Replicated:
    return provider.read(name, begin, end, columns);
  case ShardRule::Rows: {
    const int64_t part = (end - begin) / ranks;
    return provider.read(name, begin + rank * part, begin + (rank + 1) * part, columns);
  }
  case ShardRule::Rank0: {
    SINTER_ASSIGN_OR_RETURN(std::vector<double> values, provider.read(name, begin, end, columns));
    if (rank != 0)
      std::fill(values.begin(), values.end(), 0.0);
    return values;
  }
  case ShardRule::Columns:
    break;
  }
  if (columns == 0)
    return invalidInput("source \"" + name + "\": a vector has no columns to shard");
  SINTER_ASSIGN_OR_RETURN(const std::vector<double> whole,
                          provider.read(name, begin, end, columns * ranks));
  std::vector<double> part;
  for (int64_t row = 0; row < end - begin; ++row) {
    const auto first = whole.begin() + (row * ranks + rank) * columns;
    part.insert(part.end(), first, first + columns);
  }
  return part;
}

Result<Tensor> stackSources(ArrayAttr sources, RankedTensorType type, WeightProvider &provider,
                            unsigned rank, unsigned ranks) {
  Tensor tensor;
  tensor.shape = type.getShape().vec();
  const int64_t columns = type.getRank() == 2 ? type.getDimSize(1) : 0;
  for (auto source : sources.getAsRange<SourceAttr>()) {
    SINTER_ASSIGN_OR_RETURN(const std::vector<double> part,
                            readSource(source, provider, rank, ranks, columns));
    tensor.data.insert(tensor.data.end(), part.begin(), part.end());
  }
  return tensor;
}

/// The smallest power of two >= max|w| * sqrt(head_dim), at least 1, divided by the room.
Result<Tensor> kScale(KScaleAttr attr, WeightProvider &provider) {
  SINTER_ASSIGN_OR_RETURN(const std::vector<double> gamma,
                          provider.read(attr.getTensor().str(), 0, attr.getHeadDim(), 0));
  double bound = 0;
  for (double w : gamma)
    bound = std::max(bound, std::abs(w) * std::sqrt(double(attr.getHeadDim())));
  double scale = 1;
  while (scale < bound)
    scale *= 2;
  return Tensor({1}, {scale / double(attr.getRoom())});
}

/// The angle's rounding to f32 belongs to the table's definition; that of cos and sin only to its
/// resident form.
Tensor ropeTable(RopeTableAttr attr, int64_t positions, Mode mode) {
  const auto frequencies = attr.getInvFreq().asArrayRef();
  const auto half = int64_t(frequencies.size());
  const double scaling = attr.getScaling().convertToDouble();
  Tensor table({positions, 2 * half});
  for (int64_t p = 0; p < positions; ++p)
    for (int64_t i = 0; i < half; ++i) {
      const float angle = float(p) * frequencies[size_t(i)];
      table.row(p)[i] = std::cos(double(angle)) * scaling;
      table.row(p)[half + i] = std::sin(double(angle)) * scaling;
    }
  return mode == Mode::Exact ? table : roundTo(DType::F32, std::move(table));
}

} // namespace

Result<Tensor> interp::materialiseWeight(WeightOp op, WeightProvider &provider, unsigned rank,
                                         unsigned ranks, Mode mode) {
  auto type = cast<RankedTensorType>(op.getType());
  if (auto rope = dyn_cast<RopeTableAttr>(op.getInit()))
    return ropeTable(rope, type.getDimSize(0), mode);
  if (auto scale = dyn_cast<KScaleAttr>(op.getInit()))
    return kScale(scale, provider);
  return stackSources(cast<ArrayAttr>(op.getInit()), type, provider, rank, ranks);
}
