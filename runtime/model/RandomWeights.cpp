//===- RandomWeights.cpp --------------------------------------------------===//
//
// Values are drawn from a table of 4096 evenly spaced ones, already in the weight's element type:
// four per 64-bit hash, which fills memory at the speed of memory.
//
//===----------------------------------------------------------------------===//
#include "runtime/model/RandomWeights.h"

#include "runtime/model/WeightLoader.h"
#include "runtime/model/WeightPacker.h"
#include "sinter/Support/Half.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string_view>
#include <vector>

namespace sinter {
namespace {

constexpr float kLinearDeviation = 0.02f;
constexpr float kNormSpread = 0.1f;
constexpr size_t kLevels = 4096;

uint64_t hash(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// Evenly spaced in [centre - spread, centre + spread].
float level(size_t i, float centre, float spread) {
  return centre + spread * (2 * (float(i) + 0.5f) / kLevels - 1);
}

template <typename Element> using Table = std::array<Element, kLevels>;

template <typename Element, typename Convert>
Table<Element> makeTable(float centre, float spread, Convert convert) {
  Table<Element> table;
  for (size_t i = 0; i < kLevels; ++i)
    table[i] = convert(level(i, centre, spread));
  return table;
}

/// Elements [begin, begin + count) of a weight; begin is a multiple of 4.
template <typename Element>
void fillElements(const Table<Element> &table, uint64_t key, uint64_t begin, uint64_t count,
                  Element *out) {
  for (uint64_t i = 0; i < count; i += 4) {
    const uint64_t bits = hash(key + (begin + i) / 4 * 0x9e3779b97f4a7c15u);
    for (uint64_t k = 0; k < std::min<uint64_t>(4, count - i); ++k)
      out[i + k] = table[bits >> (16 * k) & (kLevels - 1)];
  }
}

/// Fills all tiles, then clears what pads rows to whole tiles and bf16 columns to pairs.
template <typename Element>
void fillTiles(const WeightPlan &weight, const Table<Element> &table, uint64_t key, Device &device,
               Element *out) {
  const uint64_t columns = weight.shape[1];
  const uint64_t perTile = tileBytes(columns, weight.dtype) / sizeof(Element);
  const uint64_t lanes = weight.dtype == DType::BF16 ? 2 : 1;
  device.hostParallel(
      uint32_t(weight.bytes / sizeof(Element) / perTile), [&](uint32_t begin, uint32_t end) {
        fillElements(table, key, begin * perTile, (end - begin) * perTile, out + begin * perTile);
      });
  uint64_t tile = 0;
  for (const WeightSource &source : weight.sources) {
    for (uint64_t row = 0; row < source.rows(); row += kTileRows, ++tile) {
      Element *data = out + tile * perTile;
      const uint64_t used = std::min(kTileRows, source.rows() - row);
      for (uint64_t group = 0; used < kTileRows && group < perTile; group += kTileRows * lanes)
        std::fill(data + group + used * lanes, data + group + kTileRows * lanes, Element(0));
      if (lanes == 2 && columns % 2)
        for (uint64_t i = perTile - 2 * kTileRows + 1; i < perTile; i += 2)
          data[i] = 0;
    }
  }
}

/// Elements row after row, as tiles without their padding.
template <typename Element>
void appendRows(const WeightPlan &weight, const Table<Element> &table, uint64_t key,
                void *destination, UploadList &list) {
  const auto shared = std::make_shared<const Table<Element>>(table);
  list.append(destination, weight.bytes, [&](uint64_t offset, uint64_t size) {
    return [shared, key, offset, size](void *host) {
      fillElements(*shared, key, offset / sizeof(Element), size / sizeof(Element),
                   static_cast<Element *>(host));
      return Status::ok();
    };
  });
}

template <typename Element>
Status fillLinear(const WeightPlan &weight, const Table<Element> &table, uint64_t key,
                  Device &device, void *destination, UploadList &list) {
  if (weight.layout == WeightLayout::RowMajor) {
    appendRows(weight, table, key, destination, list);
    return Status::ok();
  }
  if (!device.hasHostMemory())
    return unsupported("weight " + weight.name + ": tiles are for the host's memory");
  fillTiles(weight, table, key, device, static_cast<Element *>(destination));
  return Status::ok();
}

Status fillLinear(const WeightPlan &weight, uint64_t key, Device &device, void *destination,
                  UploadList &list) {
  const float spread = kLinearDeviation * std::sqrt(3.f);
  if (weight.dtype == DType::F32)
    return fillLinear(weight, makeTable<float>(0, spread, [](float x) { return x; }), key, device,
                      destination, list);
  const auto convert = weight.dtype == DType::BF16 ? f32ToBf16 : f32ToF16;
  return fillLinear(weight, makeTable<uint16_t>(0, spread, convert), key, device, destination,
                    list);
}

bool isBias(const WeightSource &source) {
  return std::string_view(source.tensor).ends_with(".bias");
}

} // namespace

Status fillRandom(const WeightPlan &weight, uint64_t seed, uint64_t index, Device &device,
                  void *destination, UploadList &list) {
  const uint64_t key = hash(seed * 0x9e3779b97f4a7c15u + index + 1);
  switch (weight.kind) {
  case WeightKind::Linear:
    return fillLinear(weight, key, device, destination, list);
  case WeightKind::Vector: {
    const bool bias = isBias(weight.sources[0]);
    const float spread = bias ? kLinearDeviation * std::sqrt(3.f) : kNormSpread;
    const auto table = makeTable<float>(bias ? 0 : 1, spread, [](float x) { return x; });
    std::vector<float> values(weight.bytes / sizeof(float));
    fillElements(table, key, 0, values.size(), values.data());
    return device.upload(destination, values.data(), weight.bytes);
  }
  case WeightKind::KScale: {
    const float scale = kScaleFor(1 + kNormSpread, weight.headDim, weight.room);
    return device.upload(destination, &scale, sizeof scale);
  }
  case WeightKind::Rope:
    break; // computed, not drawn
  }
  return Status::ok();
}

} // namespace sinter
