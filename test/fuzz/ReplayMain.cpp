//===- ReplayMain.cpp - runs files through a fuzz target ------------------===//
//
// What libFuzzer's main does with a list of files, for compilers that have no libFuzzer. Arguments
// are files or folders of files; each is tried whole, cut short at every length up to 4 KiB, and
// with each of its first 4 KiB damaged in turn.
//
//===----------------------------------------------------------------------===//
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

namespace {

size_t inputs = 0;

void runOne(const std::string &bytes) {
  ++inputs;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
}

void runFile(const std::filesystem::path &path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  runOne(bytes);
  const size_t length = std::min<size_t>(bytes.size(), 4096);
  for (size_t i = 0; i < length; ++i) {
    runOne(bytes.substr(0, i));
    std::string damaged = bytes;
    damaged[i] = char(damaged[i] ^ 0x20);
    runOne(damaged);
  }
}

} // namespace

int main(int argc, char **argv) {
  size_t files = 0;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      runFile(argv[i]);
      ++files;
      continue;
    }
    for (const auto &entry : std::filesystem::directory_iterator(argv[i])) {
      runFile(entry.path());
      ++files;
    }
  }
  std::printf("%zu files, %zu inputs\n", files, inputs);
  return files == 0;
}
