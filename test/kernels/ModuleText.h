//===- ModuleText.h - planned single-op modules as text ---------*- C++ -*-===//
#pragma once

#include "sinter/Support/DType.h"

#include <string>
#include <vector>

namespace sinter::test {

inline std::string str(int64_t n) { return std::to_string(n); }
inline std::string name(DType t) { return std::string(dtypeName(t)); }
/// "tensor<?x8x16xbf16>" for ({8, 16}, bf16).
inline std::string perToken(const std::vector<int64_t> &sizes, DType type) {
  std::string text = "tensor<?x";
  for (int64_t n : sizes)
    text += str(n) + "x";
  return text + name(type) + ">";
}

/// Collects a module with one entry for 1..maxTokens tokens and places tensors in its arena.
struct ModuleText {
  int64_t maxTokens;
  std::string weights, arguments, gets, body;
  std::string returned, returnedTypes; ///< the cache handles, comma separated
  int64_t arena = 0;

  explicit ModuleText(int64_t maxTokens) : maxTokens(maxTokens) {}

  int64_t reserve(int64_t bytes) {
    const int64_t at = arena;
    arena += (bytes + 63) / 64 * 64;
    return at;
  }
  void argument(const std::string &text) { arguments += (arguments.empty() ? "" : ", ") + text; }
  /// An activation [T, sizes...] named %`id`, filled by the test.
  int64_t input(const std::string &id, const std::vector<int64_t> &sizes, DType type) {
    int64_t elements = maxTokens;
    for (int64_t n : sizes)
      elements *= n;
    const int64_t at = reserve(elements * static_cast<int64_t>(dtypeBytes(type)));
    argument("%" + id + ": " + perToken(sizes, type) + " {xfmr.buffer = " + str(at) + " : i64}");
    return at;
  }
  /// A result's place: goes into buffers().
  int64_t output(int64_t elementsPerToken, DType type) {
    return reserve(maxTokens * elementsPerToken * static_cast<int64_t>(dtypeBytes(type)));
  }
  static std::string buffers(const std::vector<int64_t> &offsets) {
    std::string text = "xfmr.buffers = array<i64: ";
    for (size_t i = 0; i < offsets.size(); ++i)
      text += (i ? ", " : "") + str(offsets[i]);
    return text + ">";
  }
  void weight(const std::string &id, const std::string &type, const std::string &init,
              const std::string &layout) {
    weights += "xfmr.weight @" + id + " : " + type + " from " + init + " layout " + layout + "\n";
    gets += "%" + id + " = xfmr.get_weight @" + id + " : " + type + "\n";
  }
  void vector(const std::string &id, int64_t n) {
    weight(id, "tensor<" + str(n) + "xf32>", "[#xfmr.source<\"" + id + "\", 0, " + str(n) + ">]",
           "plain");
  }
  std::string text() const {
    return "module attributes {xfmr.arena_bytes = " + str(arena) + " : i64} {\n" + weights +
           "func.func @step(" + arguments + ") -> (" + returnedTypes +
           ") attributes {xfmr.entry, xfmr.tokens = array<i64: 1, " + str(maxTokens) + ">} {\n" +
           gets + body + "\nreturn " + returned + (returned.empty() ? "" : " : ") + returnedTypes +
           "\n}\n}\n";
  }
};

/// The bound on relative L2 against a reference that rounds where the op does.
inline double bound(DType type) {
  return type == DType::F32 ? 1e-5 : type == DType::BF16 ? 2e-3 : 3e-4;
}

} // namespace sinter::test
