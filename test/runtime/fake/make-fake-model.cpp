//===- make-fake-model.cpp - the fake model as files ----------------------===//
//
// make-fake-model DIR [PATCH]: writes DIR/model.safetensors and DIR/fake.sinter, whose metadata is
// changed by the JSON merge patch PATCH.
//
//===----------------------------------------------------------------------===//
#include "test/runtime/fake/FakeModel.h"

#include <cstdio>
#include <exception>
#include <filesystem>

int main(int argc, char **argv) {
  using namespace sinter::fake;
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: make-fake-model DIR [PATCH]\n");
    return 1;
  }
  try {
    const std::string folder = std::filesystem::canonical(argv[1]).string();
    nlohmann::json meta = makeMeta(folder, writeCheckpoint(folder, makeWeights()));
    if (argc == 3)
      meta.merge_patch(nlohmann::json::parse(argv[2]));
    writeBytes(folder + "/fake.sinter", makeArtifact(meta.dump()));
    return 0;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "make-fake-model: error: %s\n", error.what());
    return 1;
  }
}
