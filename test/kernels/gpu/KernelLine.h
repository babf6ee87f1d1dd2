//===- KernelLine.h - one kernel of a test, as a line of text ---*- C++ -*-===//
//
//     name linear n=4096 k=1024 m=1 norm        flags: norm bias residual swiglu argmax rows
//     sumsout name rows op=rms_norm k=1024 m=8          keys: x= w= y= sumsin= kind= and tile
//     parameters name pair n=1024 k=2048 n2=4096 m=1       linear_add, then rms_norm_linear, one
//     kernel
//
// Read by the generator (links MLIR) and by the runner (does not).
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/DType.h"

#include <cstdint>
#include <map>
#include <set>
#include <sstream>
#include <string>

struct KernelLine {
  std::string text, name, what;
  std::map<std::string, std::string> keys;
  std::set<std::string> flags;

  static KernelLine parse(const std::string &line) {
    KernelLine k;
    k.text = line;
    std::istringstream words(line);
    words >> k.name >> k.what;
    for (std::string word; words >> word;) {
      const size_t equal = word.find('=');
      if (equal == std::string::npos)
        k.flags.insert(word);
      else
        k.keys[word.substr(0, equal)] = word.substr(equal + 1);
    }
    return k;
  }
  bool has(const std::string &flag) const { return flags.count(flag) != 0; }
  std::string word(const std::string &key, const std::string &otherwise = "") const {
    auto found = keys.find(key);
    return found == keys.end() ? otherwise : found->second;
  }
  int64_t number(const std::string &key, int64_t otherwise = 0) const {
    auto found = keys.find(key);
    return found == keys.end() ? otherwise : std::stoll(found->second);
  }
  sinter::DType type(const std::string &key) const {
    return sinter::parseDType(word(key, word("type", "bf16"))).value_or(sinter::DType::BF16);
  }
};
