//===- ManifestTest.cpp ---------------------------------------------------===//
#include "runtime/model/ManifestParser.h"
#include "test/runtime/fake/FakeModel.h"

#include <functional>
#include <gtest/gtest.h>

namespace sinter {
namespace {

using nlohmann::json;

json makeMeta() { return fake::makeMeta("/models/x", std::string(64, 'a')); }
json makeCudaMeta() { return fake::makeCudaMeta("/models/x", std::string(64, 'a')); }

std::string errorAfter(const std::function<void(json &)> &change, json meta = makeMeta()) {
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
  EXPECT_EQ(errorAfter([](json &m) { m["entries"][2]["buffers"][0]["columns"] = 100; }),
            ".sinter.meta: entries[2]: buffers[0]: \"columns\": more than the buffer has bytes");
  EXPECT_EQ(errorAfter([](json &m) { m["entries"] = json::array(); }),
            ".sinter.meta: \"entries\": expected at least one");
  EXPECT_EQ(errorAfter([](json &m) { m["source"]["files"][0]["name"] = "../model.safetensors"; }),
            ".sinter.meta: source: files[0]: \"name\": expected a file name without a folder");
}

TEST(Manifest, WindowsMayBeLeftOut) {
  json meta = makeMeta();
  EXPECT_EQ(parseManifest(meta.dump())->kv.window, 0u);
  meta["kv"]["window"] = 100;
  meta["entries"][3]["schedule"][2]["window"] = 80;
  const auto m = parseManifest(meta.dump());
  ASSERT_TRUE(m.isOk()) << m.status().message();
  EXPECT_EQ(m->kv.window, 100u);
  EXPECT_EQ(m->entries[3].schedule[2].window, 80u);
  EXPECT_EQ(m->entries[2].schedule[2].window, 0u);
  EXPECT_EQ(errorAfter([](json &m) { m["kv"]["window"] = 0; }),
            ".sinter.meta: kv: \"window\": expected a positive integer, got 0");
  // 100 positions may lie in 26 pages of 4.
  EXPECT_EQ(m->kv.pageSize, 4u);
  EXPECT_EQ(m->kv.tokensIn(25), 100u);
  EXPECT_EQ(m->kv.tokensIn(26), UINT64_MAX);
  EXPECT_EQ(pagesOfWindow(1, 1, 16), 1u);
  EXPECT_EQ(pagesOfWindow(2, 1, 16), 2u);
  EXPECT_EQ(pagesOfWindow(17, 1, 16), 2u);
  EXPECT_EQ(pagesOfWindow(18, 1, 16), 3u);
  EXPECT_EQ(pagesOfWindow(1, 16, 1), 16u);
}

TEST(Manifest, Fp8IsATypeOfCachesAlone) {
  json meta = makeCudaMeta();
  meta["kv"]["dtype"] = "fp8_e4m3";
  meta["weights"][2]["room"] = 256;
  const auto m = parseManifest(meta.dump());
  ASSERT_TRUE(m.isOk()) << m.status().message();
  EXPECT_EQ(m->kv.dtype, DType::E4M3);
  EXPECT_EQ(m->kv.tokenBytes(), 2u * 8);
  EXPECT_EQ(m->weights[2].room, 256u);
  const auto errorOf = [](const char *place, const json &value) {
    return errorAfter([&](json &m) { m[json::json_pointer(place)] = value; });
  };
  const std::string meta8 = ".sinter.meta: ";
  EXPECT_EQ(errorOf("/weights/0/dtype", "fp8_e4m3"),
            meta8 + "weights[0]: \"dtype\": expected f32, bf16 or f16");
  EXPECT_EQ(errorOf("/options/dtype", "fp8_e5m2"),
            meta8 + "options: \"dtype\": expected f32, bf16 or f16");
  EXPECT_EQ(errorOf("/kv/dtype", "i32"), meta8 + "kv: \"dtype\": expected a float type");
  EXPECT_EQ(errorOf("/weights/2/room", 448),
            meta8 + "weights[2]: \"room\": expected a power of two");
}

TEST(Manifest, ReadsWhatGpusNeed) {
  const auto m = parseManifest(makeCudaMeta().dump());
  ASSERT_TRUE(m.isOk()) << m.status().message();
  EXPECT_EQ(m->weights[0].layout, WeightLayout::RowMajor);
  ASSERT_EQ(m->modules.size(), 1u);
  EXPECT_GT(m->modules[0].ptxBytes, 0u);
  ASSERT_EQ(m->kernels.size(), 6u);
  EXPECT_EQ(m->kernels[3].threads, 128u);
  EXPECT_EQ(m->kernels[3].registers, 40u);
  EXPECT_EQ(m->kernels[3].staticSharedBytes, 64u);
  ASSERT_EQ(m->kernels[3].tensorMaps.size(), 1u);
  EXPECT_EQ(m->kernels[3].tensorMaps[0].columns, 16u);
  EXPECT_EQ(m->entries[1].maxQ, 1u);
  EXPECT_EQ(m->entries[3].maxQ, 0u);
  EXPECT_EQ(m->entries[1].schedule[2].grid, 2u);
  EXPECT_TRUE(m->entries[1].schedule[2].programmatic);
  EXPECT_FALSE(m->entries[1].schedule[3].programmatic);
}

TEST(Manifest, RefusesWhatAGpuCannotDo) {
  auto errorOf = [](const char *place, const json &value) {
    return errorAfter([&](json &m) { m[json::json_pointer(place)] = value; }, makeCudaMeta());
  };
  const std::string meta = ".sinter.meta: ";
  EXPECT_EQ(errorOf("/kernels/1/module", 1),
            meta + "kernels[1]: \"module\": is not the index of a module");
  EXPECT_NE(errorOf("/kernels/1/threads", 2048), "");
  EXPECT_NE(errorOf("/kernels/1/cluster", 0), "");
  EXPECT_EQ(errorOf("/kernels/3/tensor_maps/0/box_columns", 32),
            meta + "kernels[3]: tensor_maps[0]: \"box_columns\": the swizzle needs 128 bytes");
  EXPECT_EQ(errorOf("/kernels/3/tensor_maps/0/box_columns", 128),
            meta +
                "kernels[3]: tensor_maps[0]: \"columns\": expected a multiple of 64 in groups of "
                "rows");
  const json grouped = {{"arg", 1},       {"dtype", "bf16"}, {"rows", 40},
                        {"columns", 128}, {"box_rows", 8},   {"box_columns", 128}};
  const auto groupedError = [&](const char *key, int value) {
    json map = grouped;
    map[key] = value;
    return errorOf("/kernels/3/tensor_maps/0", map);
  };
  EXPECT_EQ(groupedError("rows", 48), "");
  EXPECT_EQ(groupedError("rows", 12), meta + "kernels[3]: tensor_maps[0]: \"rows\": expected a "
                                             "multiple of 8 in groups of rows");
  EXPECT_EQ(groupedError("box_rows", 12), meta + "kernels[3]: tensor_maps[0]: \"box_rows\": "
                                                 "expected a multiple of 8 in groups of rows");
  EXPECT_EQ(errorOf("/kernels/3/tensor_maps/0/columns", 12),
            meta + "kernels[3]: tensor_maps[0]: \"columns\": rows must start at multiples of 16 "
                   "bytes");
  EXPECT_EQ(errorOf("/kernels/3/tensor_maps/0/dtype", "f32"),
            meta + "kernels[3]: tensor_maps[0]: \"dtype\": expected bf16 or f16");
  EXPECT_NE(errorOf("/kernels/3/tensor_maps/0/arg", 16), "");
  EXPECT_EQ(errorOf("/modules/0/cubin", {1}),
            meta + "modules[0]: \"cubin\": expected [offset, bytes]");
  EXPECT_NE(errorOf("/entries/0/schedule/0/grid", 0), "");
  EXPECT_EQ(errorOf("/entries/0/schedule/0/edge", "early"),
            meta + "entries[0]: schedule[0]: \"edge\": unknown value \"early\"");
  EXPECT_EQ(errorOf("/weights/0/bytes", 1281),
            meta + "weights[0]: \"bytes\": does not match the shape");
  EXPECT_EQ(errorOf("/weights/0/layout", "plain"),
            meta + "weights[0]: \"layout\": a linear is tiled16 or row_major");
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
void checkEverySingleChange(const json &original) {
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

TEST(Manifest, SurvivesEverySingleChange) {
  checkEverySingleChange(makeMeta());
  checkEverySingleChange(makeCudaMeta());
}

} // namespace
} // namespace sinter
