//===- Math.cpp - the equations of the xfmr ops, in f64 -------------------===//
#include "Math.h"

#include <algorithm>
#include <cmath>

using namespace sinter;
using namespace sinter::interp;

/// Four chains, because one would wait for each addition's latency.
static double dot(const double *a, const double *b, int64_t size) {
  double sum[4] = {0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 4 <= size; i += 4)
    for (int64_t lane = 0; lane < 4; ++lane)
      sum[lane] += a[i + lane] * b[i + lane];
  for (; i < size; ++i)
    sum[0] += a[i] * b[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

Tensor interp::embed(const Tensor &tokens, const Tensor &table, int64_t first) {
  Tensor y({tokens.rows(), table.dim(1)});
  for (int64_t t = 0; t < tokens.rows(); ++t) {
    const int64_t id = int64_t(tokens.data[size_t(t)]) - first;
    if (id >= 0 && id < table.rows())
      std::copy_n(table.row(id), table.rowSize(), y.row(t));
  }
  return y;
}

double interp::reciprocalRms(const double *x, int64_t size, double eps) {
  return 1 / std::sqrt(dot(x, x, size) / double(size) + eps);
}

Tensor interp::rmsNorm(const Tensor &x, const Tensor &gamma, double eps) {
  const int64_t size = gamma.rows();
  Tensor y(x.shape);
  for (size_t begin = 0; begin < x.data.size(); begin += size_t(size)) {
    const double scale = reciprocalRms(x.data.data() + begin, size, eps);
    for (int64_t i = 0; i < size; ++i)
      y.data[begin + size_t(i)] = x.data[begin + size_t(i)] * scale * gamma.data[size_t(i)];
  }
  return y;
}

Tensor interp::linear(const Tensor &x, const Tensor &w, const Tensor *bias) {
  Tensor y({x.rows(), w.rows()});
  for (int64_t t = 0; t < x.rows(); ++t)
    for (int64_t n = 0; n < w.rows(); ++n)
      y.row(t)[n] = dot(x.row(t), w.row(n), w.rowSize()) + (bias ? bias->data[size_t(n)] : 0);
  return y;
}

Tensor interp::normLinear(const Tensor &x, const Tensor &gamma, const Tensor &w, const Tensor *bias,
                          double eps, std::optional<DType> weighted) {
  Tensor scaled = x;
  for (int64_t t = 0; t < x.rows(); ++t)
    for (int64_t i = 0; i < gamma.rows(); ++i)
      scaled.row(t)[i] *= gamma.data[size_t(i)];
  if (weighted)
    scaled = roundTo(*weighted, std::move(scaled));
  Tensor y = linear(scaled, w, nullptr);
  for (int64_t t = 0; t < x.rows(); ++t) {
    const double scale = reciprocalRms(x.row(t), x.rowSize(), eps);
    for (int64_t n = 0; n < w.rows(); ++n)
      y.row(t)[n] = y.row(t)[n] * scale + (bias ? bias->data[size_t(n)] : 0);
  }
  return y;
}

Tensor interp::add(const Tensor &a, const Tensor &b) {
  Tensor y = a;
  for (size_t i = 0; i < y.data.size(); ++i)
    y.data[i] += b.data[i];
  return y;
}

static double silu(double g) { return g / (1 + std::exp(-g)); }

Tensor interp::swiglu(const Tensor &gateUp) {
  const int64_t columns = gateUp.dim(1) / 2;
  Tensor y({gateUp.rows(), columns});
  for (int64_t t = 0; t < y.rows(); ++t)
    for (int64_t n = 0; n < columns; ++n)
      y.row(t)[n] = silu(gateUp.row(t)[n]) * gateUp.row(t)[columns + n];
  return y;
}

Tensor interp::swiglu(const Tensor &gate, const Tensor &up) {
  Tensor y(gate.shape);
  for (size_t i = 0; i < y.data.size(); ++i)
    y.data[i] = silu(gate.data[i]) * up.data[i];
  return y;
}

Tensor interp::splitHeads(const Tensor &x, int64_t offset, int64_t heads, int64_t size) {
  Tensor y({x.rows(), heads, size});
  for (int64_t t = 0; t < x.rows(); ++t)
    std::copy_n(x.row(t) + offset, heads * size, y.row(t));
  return y;
}

Tensor interp::rope(const Tensor &x, const Tensor &table, const std::vector<int32_t> &positions) {
  const int64_t heads = x.dim(1), size = x.dim(2), half = size / 2;
  Tensor y(x.shape);
  for (int64_t t = 0; t < x.rows(); ++t) {
    const double *cosines = table.row(positions[size_t(t)]), *sines = cosines + half;
    for (int64_t h = 0; h < heads; ++h) {
      const double *from = x.row(t) + h * size;
      double *to = y.row(t) + h * size;
      for (int64_t i = 0; i < half; ++i) {
        to[i] = from[i] * cosines[i] - from[i + half] * sines[i];
        to[i + half] = from[i + half] * cosines[i] + from[i] * sines[i];
      }
    }
  }
  return y;
}

Tensor interp::selectRows(const Tensor &x, const Tensor &rows) {
  Tensor y({rows.rows(), x.dim(1)});
  for (int64_t r = 0; r < rows.rows(); ++r)
    std::copy_n(x.row(int64_t(rows.data[size_t(r)])), x.rowSize(), y.row(r));
  return y;
}

Argmax interp::argmax(const Tensor &x) {
  Argmax best{Tensor({x.rows()}), Tensor({x.rows()})};
  for (int64_t r = 0; r < x.rows(); ++r) {
    const double *row = x.row(r);
    int64_t at = 0;
    for (int64_t i = 1; i < x.dim(1) && !std::isnan(row[at]); ++i)
      if (std::isnan(row[i]) || row[i] > row[at])
        at = i;
    best.value.data[size_t(r)] = row[at];
    best.index.data[size_t(r)] = double(at);
  }
  return best;
}

/// One head of one token over `count` positions whose slots are given.
static void attendHead(const double *q, const PagedCache &cache, int64_t kvHead,
                       const std::vector<int64_t> &slots, double scale, double *out) {
  std::vector<double> weights(slots.size());
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (size_t p = 0; p < slots.size(); ++p) {
    weights[p] = dot(q, cache.k(slots[p], kvHead), cache.headDim()) * scale;
    largest = std::max(largest, weights[p]);
  }
  for (double &weight : weights)
    sum += weight = std::exp(weight - largest);
  for (size_t p = 0; p < slots.size(); ++p)
    for (int64_t d = 0; d < cache.headDim(); ++d)
      out[d] += weights[p] / sum * cache.v(slots[p], kvHead)[d];
}

Tensor interp::attention(const Tensor &q, const PagedCache &cache, const Batch &batch, double scale,
                         int64_t window) {
  const int64_t heads = q.dim(1), size = q.dim(2), group = heads / cache.heads();
  Tensor y(q.shape);
  for (int64_t s = 0; s < batch.numSequences(); ++s) {
    const int32_t *pages = batch.blockTable.data() + s * batch.tableStride;
    for (int64_t t = batch.cuQ[size_t(s)]; t < batch.cuQ[size_t(s) + 1]; ++t) {
      std::vector<int64_t> slots;
      const int64_t last = batch.positions[size_t(t)];
      for (int64_t p = window ? std::max<int64_t>(0, last - window + 1) : 0; p <= last; ++p)
        slots.push_back(int64_t(pages[p / cache.pageSize()]) * cache.pageSize() +
                        p % cache.pageSize());
      for (int64_t h = 0; h < heads; ++h)
        attendHead(q.row(t) + h * size, cache, h / group, slots, scale, y.row(t) + h * size);
    }
  }
  return y;
}
