//===- make-fake-model.cpp - the fake model as files ----------------------===//
//
// make-fake-model [--cuda|--cuda-text] DIR [PATCH]: writes DIR/model.safetensors and
// DIR/fake.sinter, whose metadata is changed by the JSON merge patch PATCH.
//
//===----------------------------------------------------------------------===//
#include "test/runtime/fake/FakeModel.h"

#include <cstdio>
#include <exception>
#include <filesystem>

int main(int argc, char **argv) {
  using namespace sinter::fake;
  const std::string kind = argc > 1 ? argv[1] : "";
  const bool text = kind == "--cuda-text", cuda = text || kind == "--cuda";
  if (cuda) {
    --argc;
    ++argv;
  }
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: make-fake-model [--cuda|--cuda-text] DIR [PATCH]\n");
    return 1;
  }
  try {
    const std::string folder = std::filesystem::canonical(argv[1]).string();
    const std::string hash = writeCheckpoint(folder, makeWeights());
    nlohmann::json meta = cuda ? makeCudaMeta(folder, hash) : makeMeta(folder, hash);
    if (argc == 3)
      meta.merge_patch(nlohmann::json::parse(argv[2]));
    writeBytes(folder + "/fake.sinter", text   ? makeCudaTextArtifact(meta.dump())
                                        : cuda ? makeCudaArtifact(meta.dump())
                                               : makeArtifact(meta.dump()));
    return 0;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "make-fake-model: error: %s\n", error.what());
    return 1;
  }
}
