//===- LinearCase.cpp - operands and reference of one kernel --------------===//
#include "LinearCase.h"

#include <cmath>
#include <cstddef>
#include <fstream>
#include <map>
#include <sstream>

using namespace sinter::test;

std::vector<Entry> sinter::test::readManifest(const std::string &folder) {
  std::ifstream file(folder + "/manifest");
  std::vector<Entry> entries;
  for (std::string line; std::getline(file, line);) {
    Entry e;
    std::istringstream words(line);
    std::string maps;
    words >> e.file >> e.grid >> e.threads >> e.sharedBytes >> e.partials >> e.weightBytes >>
        e.cluster >> maps;
    std::istringstream each(maps == "-" ? "" : maps);
    for (std::string one; std::getline(each, one, ',');) {
      MapText m;
      char type[8] = "";
      unsigned long long rows = 0, columns = 0;
      if (std::sscanf(one.c_str(), "%u:%llu:%llu:%u:%u:%7s", &m.arg, &rows, &columns, &m.boxRows,
                      &m.boxColumns, type) != 6)
        std::exit(2);
      m.rows = rows, m.columns = columns, m.bf16 = std::string(type) == "bf16";
      e.maps.push_back(m);
    }
    std::string rest;
    std::getline(words, rest);
    e.line = KernelLine::parse(rest);
    entries.push_back(e);
  }
  return entries;
}

Type sinter::test::typeOf(sinter::DType t) {
  switch (t) {
  case sinter::DType::F32:
    return Type::F32;
  case sinter::DType::BF16:
    return Type::BF16;
  case sinter::DType::E4M3:
    return Type::E4M3;
  case sinter::DType::E5M2:
    return Type::E5M2;
  default:
    return Type::F16;
  }
}

static float roundTo(Type type, float v) {
  if (type == Type::F32)
    return v;
  if (type != Type::BF16)
    return decode(type, encode(type, v));
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&v, &bits, 4);
  return v;
}

Numbers::Numbers(Type type, std::vector<float> v) : type(type), values(std::move(v)) {
  std::vector<uint8_t> bytes(values.size() * size_t(bytesOf(type)));
  constexpr size_t piece = 1 << 16;
  parallelFor(int((values.size() + piece - 1) / piece), [&](int p) {
    for (size_t i = size_t(p) * piece; i < std::min(values.size(), size_t(p + 1) * piece); ++i) {
      values[i] = roundTo(type, values[i]);
      uint32_t bits;
      std::memcpy(&bits, &values[i], 4);
      put(type, bytes.data(), i,
          type == Type::F32    ? bits
          : type == Type::BF16 ? bits >> 16
                               : encode(type, values[i]));
    }
  });
  device = Buffer(bytes);
}

static std::vector<float> randomValues(size_t count, uint64_t seed, double scale, double offset) {
  std::vector<float> v(count);
  constexpr size_t piece = 1 << 16;
  parallelFor(int((count + piece - 1) / piece), [&](int p) {
    Random random(seed * 1000003 + uint64_t(p));
    for (size_t i = size_t(p) * piece; i < std::min(count, size_t(p + 1) * piece); ++i)
      v[i] = float(random.value() * scale + offset);
  });
  return v;
}

Numbers::Numbers(Type type, size_t count, uint64_t seed, double scale, double offset)
    : Numbers(type, randomValues(count, seed, scale, offset)) {}

//===----------------------------------------------------------------------===//
// The batch
//===----------------------------------------------------------------------===//

DeviceBatch::DeviceBatch(int maxTokens, int vocabulary) : batch(sizeof(SinterBatch)) {
  Random random(99);
  for (int i = 0; i < maxTokens; ++i) {
    hostTokens.push_back(random.below(vocabulary));
    hostRows.push_back(random.below(maxTokens));
  }
  tokens = Buffer(hostTokens);
  rows = Buffer(hostRows);
}

void DeviceBatch::setTokens(int count) {
  SinterBatch b{};
  b.size = sizeof(b);
  b.num_tokens = b.num_rows = uint32_t(count);
  b.tokens = tokens.as<int32_t>();
  b.rows = rows.as<int32_t>();
  batch.upload(&b, sizeof(b));
}

void sinter::test::launch(const Kernels &kernels, const Entry &entry, std::vector<void *> pointers,
                          bool overlap, cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(unsigned(entry.grid));
  config.blockDim = dim3(unsigned(entry.threads));
  config.dynamicSmemBytes = size_t(entry.sharedBytes);
  config.stream = stream;
  cudaLaunchAttribute attributes[2] = {};
  config.attrs = attributes;
  if (overlap) {
    attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (entry.cluster > 1) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs++].val.clusterDim = {unsigned(entry.cluster), 1, 1};
  }
  std::vector<void *> arguments;
  for (void *&p : pointers)
    arguments.push_back(&p);
  std::vector<CUtensorMap> maps(entry.maps.size());
  for (size_t i = 0; i < maps.size(); ++i) {
    const MapText &m = entry.maps[i];
    maps[i] = tensorMap(pointers[m.arg], m.bf16, m.rows, m.columns, m.boxRows, m.boxColumns);
    arguments[entry.maps[i].arg] = &maps[i];
  }
  static std::map<std::string, const void *> found;
  const void *&kernel = found[entry.line.name];
  if (!kernel)
    kernel = kernels.get(entry.line.name, entry.sharedBytes);
  sinter::test::check(cudaLaunchKernelExC(&config, kernel, arguments.data()),
                      entry.line.name.c_str());
}

//===----------------------------------------------------------------------===//
// Outputs
//===----------------------------------------------------------------------===//

static constexpr size_t kGuard = 4096;

Output::Output(Type type, size_t count)
    : type(type), count(count), device(count ? count * size_t(bytesOf(type)) + kGuard : 1) {}

std::vector<float> Output::read(size_t written, std::string &problem) const {
  const std::vector<uint8_t> bytes = device.download<uint8_t>();
  std::vector<float> v(written);
  for (size_t i = 0; i < written; ++i)
    v[i] = decode(type, fetch(type, bytes.data(), i));
  for (size_t i = written * size_t(bytesOf(type)); i < bytes.size(); ++i)
    if (bytes[i] != 0xff) {
      problem = "wrote behind its results, byte " + std::to_string(i);
      break;
    }
  return v;
}

//===----------------------------------------------------------------------===//
// Linears
//===----------------------------------------------------------------------===//

LinearCase::LinearCase(const Entry &e)
    : entry(e), n(e.line.number("n")), k(e.line.number("k")),
      outputs(e.line.has("swiglu") ? n / 2 : n), maxTokens(e.line.number("m", 1)),
      norm(e.line.has("norm")), bias(e.line.has("bias")), residual(e.line.has("residual")),
      swiglu(e.line.has("swiglu")), argmax(e.line.has("argmax")), sumsOut(e.line.has("sumsout")),
      xgIn(e.line.has("xgin")), xgOut(e.line.has("xgout")), sumsIn(e.line.number("sumsin")),
      xType(typeOf(e.line.type("x"))), wType(typeOf(e.line.type("w"))),
      yType(typeOf(e.line.type("y"))), x(xType, size_t(maxTokens * k), 1, 1.5, 0.1),
      w(wType, size_t(n * k), 2, 1 / std::sqrt(double(k))), gamma(Type::F32, size_t(k), 3, 0.4, 1),
      biases(Type::F32, size_t(n), 4, 0.5),
      residuals(yType, size_t(residual ? maxTokens * outputs : 0), 5, 1),
      gammaNext(Type::F32, size_t(xgOut ? outputs : 0), 6, 0.4, 1),
      y(argmax ? Type::F32 : yType, size_t(maxTokens * (argmax ? e.partials : outputs))),
      index(Type::F32, size_t(argmax ? maxTokens * e.partials : 0)),
      sumsLeft(Type::F32, size_t(sumsOut ? maxTokens * e.partials : 0)),
      xgLeft(yType, size_t(xgOut ? maxTokens * outputs : 0)) {
  if (xgIn) {
    std::vector<float> v(x.values);
    for (size_t i = 0; i < v.size(); ++i)
      v[i] *= gamma.values[i % size_t(k)];
    multiplied = Numbers(xType, std::move(v));
  }
  std::vector<float> pieces(size_t(maxTokens * sumsIn), 0);
  for (int64_t m = 0; m < maxTokens && sumsIn; ++m)
    for (int64_t i = 0; i < k; ++i) {
      const float v = x.values[size_t(m * k + i)];
      pieces[size_t(m * sumsIn + i * sumsIn / k)] += v * v;
    }
  sums = Numbers(Type::F32, pieces);
  if (!e.line.has("nocheck"))
    computeReference();
}

void LinearCase::computeReference() {
  reference.assign(size_t(maxTokens * outputs), 0);
  std::vector<double> scaled(size_t(maxTokens * k)), rstd(size_t(maxTokens), 1);
  for (int64_t m = 0; m < maxTokens; ++m) {
    double squares = 0;
    for (int64_t i = 0; i < k; ++i) {
      const double v = x.values[size_t(m * k + i)];
      squares += v * v;
      const double scale = norm ? gamma.values[size_t(i)] : 1;
      // Templates that round x * gamma to the element type say so; what they compute from there on
      // is held to the same bound.
      scaled[size_t(m * k + i)] =
          entry.line.has("xg") || xgIn ? double(roundTo(xType, float(v * scale))) : v * scale;
    }
    if (norm)
      rstd[size_t(m)] = 1 / std::sqrt(squares / double(k) + 1e-6);
  }
  auto dot = [&](int64_t m, int64_t row) {
    const double *a = &scaled[size_t(m * k)];
    const float *b = &w.values[size_t(row * k)];
    double sum = 0;
    for (int64_t i = 0; i < k; ++i)
      sum += a[i] * b[i];
    return sum * rstd[size_t(m)] + (bias ? biases.values[size_t(row)] : 0);
  };
  parallelFor(int(outputs), [&](int o) {
    for (int64_t m = 0; m < maxTokens; ++m) {
      double v = dot(m, o);
      if (swiglu)
        v = v / (1 + std::exp(-v)) * dot(m, o + outputs);
      if (residual)
        v += residuals.values[size_t(m * outputs + o)];
      reference[size_t(m * outputs + o)] = v;
    }
  });
}

std::vector<void *> LinearCase::pointers(DeviceBatch &batch, void *weights) {
  std::vector<void *> p = {xgIn ? multiplied.device.as() : x.device.as(),
                           weights ? weights : w.device.as()};
  auto add = [&](bool present, const Buffer &b) {
    if (present)
      p.push_back(b.as());
  };
  add(norm && !xgIn, gamma.device);
  add(bias, biases.device);
  add(residual, residuals.device);
  add(sumsIn != 0, sums.device);
  add(xgOut, gammaNext.device);
  add(true, y.device);
  add(argmax, index.device);
  add(sumsOut, sumsLeft.device);
  add(xgOut, xgLeft.device);
  add(true, batch.batch);
  return p;
}

void LinearCase::poison() {
  for (Output *o : {&y, &index, &sumsLeft, &xgLeft})
    o->poison();
}

/// Relative L2 error allowed.
double LinearCase::bound() const {
  if (yType == Type::BF16)
    return 2e-3;
  if (yType == Type::F16)
    return 4e-4;
  return 2e-5;
}

std::string LinearCase::check(int64_t count, double &error) const {
  if (argmax)
    return checkArgmax(count);
  std::string problem;
  const std::vector<float> v = y.read(size_t(count * outputs), problem);
  // `declared` rounds where the op says: the result. Both bounds of the numerics contract: close to
  // declared, and no further from exact than declared itself is.
  double toDeclared = 0, toExact = 0, own = 0, size = 0, elsewhere = 0;
  for (size_t i = 0; i < v.size(); ++i) {
    const double exact = reference[i], declared = roundTo(yType, float(exact));
    toDeclared += (v[i] - declared) * (v[i] - declared);
    toExact += (v[i] - exact) * (v[i] - exact);
    own += (declared - exact) * (declared - exact);
    size += exact * exact;
    // The checker is alive: the same numbers one output on are far from right.
    const double other = reference[i + 1 < v.size() ? i + 1 : 0];
    elsewhere += (v[i] - other) * (v[i] - other);
  }
  error = size > 0 ? std::sqrt(toDeclared / size) : 0;
  if (!(error <= bound()))
    problem = "relative L2 " + std::to_string(error);
  else if (yType != Type::F32 && !(toExact <= 1.5 * 1.5 * own))
    problem = "further from exact than rounding: " + std::to_string(std::sqrt(toExact / own));
  else if (v.size() > 1 && !(std::sqrt(elsewhere / size) > 100 * bound()))
    problem = "the checker takes anything";
  return problem.empty() ? checkLeft(count, v) : problem;
}

/// What a kernel leaves beside its results follows from those.
std::string LinearCase::checkLeft(int64_t count, const std::vector<float> &v) const {
  std::string problem;
  if (xgOut) {
    const std::vector<float> xg = xgLeft.read(size_t(count * outputs), problem);
    for (size_t i = 0; i < xg.size(); ++i)
      if (xg[i] != roundTo(yType, v[i] * gammaNext.values[i % size_t(outputs)]))
        problem = "x * gamma off at " + std::to_string(i);
  }
  if (!sumsOut || !problem.empty())
    return problem;
  const std::vector<float> left = sumsLeft.read(size_t(count * entry.partials), problem);
  for (int64_t m = 0; m < count; ++m) {
    double expected = 0, got = 0;
    for (int64_t i = 0; i < outputs; ++i)
      expected += double(v[size_t(m * outputs + i)]) * v[size_t(m * outputs + i)];
    for (int64_t i = 0; i < entry.partials; ++i)
      got += left[size_t(m * entry.partials + i)];
    if (!(std::fabs(got - expected) <= 1e-5 * expected))
      problem = "sums of squares off in row " + std::to_string(m);
  }
  return problem;
}

/// The best partial result is the best logit, up to what its error can turn round.
std::string LinearCase::checkArgmax(int64_t count) const {
  std::string problem;
  const std::vector<float> v = y.read(size_t(count * entry.partials), problem);
  const std::vector<float> raw = index.read(size_t(count * entry.partials), problem);
  for (int64_t m = 0; m < count && problem.empty(); ++m) {
    size_t best = size_t(m * entry.partials);
    for (size_t i = best; i < size_t((m + 1) * entry.partials); ++i)
      if (!(v[i] <= v[best]))
        best = i;
    int32_t at;
    std::memcpy(&at, &raw[best], 4);
    const double *row = &reference[size_t(m * outputs)];
    const double top = *std::max_element(row, row + outputs);
    if (at < 0 || at >= outputs)
      problem = "index " + std::to_string(at);
    else if (!(std::fabs(v[best] - row[at]) < 1e-2 * top) || !(row[at] > top * (1 - 1e-2)))
      problem = "row " + std::to_string(m) + ": " + std::to_string(v[best]) + " at " +
                std::to_string(at) + ", best is " + std::to_string(top);
  }
  return problem;
}
