//===- JsonMutator.h - mutations that keep JSON well-formed -----*- C++ -*-===//
//
// Byte mutations of JSON mostly yield syntax errors. Half of the mutations made here change the
// value instead: replace, remove, copy or retype one member, anywhere in the text. Include it in a
// fuzz target to install it; the replay build, which has no libFuzzer, sees nothing of it.
//
//===----------------------------------------------------------------------===//
#pragma once

#ifdef SINTER_LIBFUZZER

#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t maxSize);

namespace sinter::fuzz {

class JsonMutator {
public:
  explicit JsonMutator(unsigned seed) : random_(seed) {}

  /// Changes one value below `root`.
  void mutate(nlohmann::json &root) {
    std::vector<nlohmann::json *> all;
    collect(root, all);
    nlohmann::json &target = *all[pick(all.size())];
    switch (pick(4)) {
    case 0:
      target = nlohmann::json(*all[pick(all.size())]);
      break;
    case 1:
      if (target.is_structured() && !target.empty()) {
        target.erase(std::next(target.begin(), std::ptrdiff_t(pick(target.size()))));
        break;
      }
      [[fallthrough]];
    default:
      target = interesting();
    }
  }

private:
  size_t pick(size_t count) { return random_() % count; }

  static void collect(nlohmann::json &value, std::vector<nlohmann::json *> &out) {
    out.push_back(&value);
    if (value.is_structured())
      for (nlohmann::json &member : value)
        collect(member, out);
  }

  nlohmann::json interesting() {
    static const nlohmann::json kValues = {nullptr,
                                           true,
                                           false,
                                           "",
                                           "x",
                                           nlohmann::json::array(),
                                           nlohmann::json::object(),
                                           0,
                                           1,
                                           2,
                                           3,
                                           -1,
                                           7,
                                           64,
                                           128,
                                           1024,
                                           32768,
                                           65536,
                                           2147483647,
                                           2147483648u,
                                           4294967296u,
                                           9223372036854775807,
                                           9223372036854775808u,
                                           18446744073709551615u,
                                           0.0,
                                           0.5,
                                           1.0,
                                           1.5,
                                           -0.5,
                                           1e-6,
                                           1e-30,
                                           1e-300,
                                           1e30,
                                           1e38,
                                           1e39,
                                           1e300,
                                           "default",
                                           "linear",
                                           "yarn",
                                           "F32",
                                           "F16",
                                           "I8",
                                           "F4"};
    return kValues[pick(kValues.size())];
  }

  std::minstd_rand random_;
};

/// Mutates the JSON text that fills data[0, size - tail); the last `tail` bytes stay.
inline size_t mutateJson(uint8_t *data, size_t size, size_t maxSize, unsigned seed, size_t tail) {
  if (seed % 2 == 0 || size <= tail)
    return LLVMFuzzerMutate(data, size, maxSize);
  auto root = nlohmann::json::parse(data, data + size - tail, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded())
    return LLVMFuzzerMutate(data, size, maxSize);
  JsonMutator mutator(seed / 2);
  mutator.mutate(root);
  std::string text = root.dump();
  text.append(reinterpret_cast<const char *>(data) + size - tail, tail);
  if (text.size() > maxSize)
    return LLVMFuzzerMutate(data, size, maxSize);
  std::memcpy(data, text.data(), text.size());
  return text.size();
}

} // namespace sinter::fuzz

/// `tail` bytes after the JSON text belong to the target, not to the text.
#define SINTER_FUZZ_JSON(tail)                                                                     \
  extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t maxSize,            \
                                            unsigned seed) {                                       \
    return sinter::fuzz::mutateJson(data, size, maxSize, seed, tail);                              \
  }

#else
#define SINTER_FUZZ_JSON(tail)
#endif
