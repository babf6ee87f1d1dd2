//===- ManifestTest.cpp ---------------------------------------------------===//
#include "runtime/model/ManifestParser.h"
#include "test/runtime/fake/FakeModel.h"

#include <functional>
#include <gtest/gtest.h>

namespace sinter {
namespace {

using nlohmann::json;

json makeMeta() { return fake::makeMeta("/models/x", std::string(64, 'a')); }

std::string errorAfter(const std::function<void(json &)> &change) {
  json meta = makeMeta();
  change(meta);
  const auto manifest = parseManifest(meta.dump());
  return manifest ? "" : manifest.status().message();
}

TEST(Manifest, ReadsEveryPart) {
  const auto m = parseManifest(makeMeta().dump());
  ASSERT_TRUE(m.isOk()) << m.status().message();
  EXPECT_EQ(m->model.name, "fake");
  EXPECT_EQ(m->model.eos, (std::vector<int32_t>{12, 38}));
  EXPECT_EQ(m->sourceDirectory, "/models/x");
  ASSERT_EQ(m->weights.size(), 4u);
  EXPECT_EQ(m->weights[0].kind, WeightKind::Linear);
  EXPECT_EQ(m->weights[0].sources[0].rowEnd, 40u);
  EXPECT_EQ(m->weights[1].sources[0].rowEnd, 8u); // rows may be left out: all
  EXPECT_EQ(m->weights[2].kind, WeightKind::KScale);
  EXPECT_EQ(m->weights[3].invFreq.size(), 4u);
  EXPECT_EQ(m->kv.tokenBytes(), 2u * 8 * 4);
  ASSERT_EQ(m->entries.size(), 4u);
  EXPECT_EQ(m->entries[3].head, HeadKind::Argmax);
  EXPECT_EQ(m->entries[3].schedule[2].name, "layers.0.attn");
  EXPECT_TRUE(m->entries[3].schedule[2].readsKv);
}

TEST(Manifest, RefusesWhatWouldReachOutside) {
  EXPECT_EQ(errorAfter([](json &m) { m["weights"][0]["bytes"] = 1535; }),
            ".sinter.meta: weights[0]: \"bytes\": does not match the tiled16 form of the shape");
  EXPECT_EQ(errorAfter([](json &m) { m["weights"][0]["shape"] = {39, 8}; }),
            ".sinter.meta: weights[0]: \"shape\": rows are not the sum of the sources' rows");
  EXPECT_EQ(
      errorAfter([](json &m) { m["weights"][0]["sources"][0]["rows"] = {0, 41}; }),
      ".sinter.meta: weights[0]: sources[0]: \"rows\": expected [begin, end) inside the tensor");
  EXPECT_EQ(errorAfter([](json &m) { m["weights"][3]["inv_freq"] = {1, 2}; }),
            ".sinter.meta: weights[3]: \"inv_freq\": expected head_dim/2 numbers");
  EXPECT_EQ(errorAfter([](json &m) { m["kv"]["page_bytes"] = 255; }),
            ".sinter.meta: kv: \"page_bytes\": too small for all layers");
  EXPECT_EQ(errorAfter([](json &m) { m["entries"][1]["schedule"][0]["kernel"] = 5; }),
            ".sinter.meta: entries[1]: schedule[0]: \"kernel\": is not the index of a kernel");
  EXPECT_EQ(errorAfter([](json &m) { m["entries"][2]["buffers"][0]["offset"] = 1; }),
            ".sinter.meta: entries[2]: buffers[0]: \"offset\": the buffer ends beyond the arena");
  EXPECT_EQ(errorAfter([](json &m) { m["entries"] = json::array(); }),
            ".sinter.meta: \"entries\": expected at least one");
  EXPECT_EQ(errorAfter([](json &m) { m["source"]["files"][0]["name"] = "../model.safetensors"; }),
            ".sinter.meta: source: files[0]: \"name\": expected a file name without a folder");
}

/// Every value of the tree, by pointer.
void collect(const json &value, const json::json_pointer &at,
             std::vector<json::json_pointer> &out) {
  if (!at.empty())
    out.push_back(at);
  if (value.is_object())
    for (const auto &[key, child] : value.items())
      collect(child, at / key, out);
  else if (value.is_array())
    for (size_t i = 0; i < value.size(); ++i)
      collect(value[i], at / i, out);
}

// Whatever single value is replaced or missing, parsing ends with a manifest or one line.
TEST(Manifest, SurvivesEverySingleChange) {
  const json original = makeMeta();
  std::vector<json::json_pointer> places;
  collect(original, json::json_pointer(), places);
  const json replacements[] = {nullptr,
                               true,
                               -1,
                               0,
                               1e300,
                               18446744073709551615u,
                               4294967296,
                               "x",
                               "bf16",
                               json::array(),
                               json::object(),
                               json::array({1, -1})};
  size_t refused = 0;
  for (const json::json_pointer &place : places)
    for (const json &replacement : replacements) {
      json changed = original;
      changed[place] = replacement;
      const auto manifest = parseManifest(changed.dump());
      if (!manifest) {
        ++refused;
        ASSERT_EQ(manifest.status().message().find('\n'), std::string::npos);
      }
    }
  EXPECT_GT(refused, places.size() * 4);
}

} // namespace
} // namespace sinter
