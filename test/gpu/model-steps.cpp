//===- model-steps.cpp - a script of steps, and their logits --------------===//
//
//   model-steps MODEL --weights DIR --script FILE --logits FILE [--activations FILE]
//
// Runs token ids that are known beforehand through a compiled model, in the steps that a script
// lists:
//
//   {"sequences": [[1, 2, 3], [4, 5]],
//    "steps": [{"items": [[0, 2, "none"], [1, 1, "last"]], "times": 1, "keep": true}, ...]}
//
// An item is a sequence, how many of its next tokens the step computes, and which of them get a
// row: none, last or all. A step that is kept writes its rows' logits; another one takes the head
// that generation takes, and its results go nowhere. Cache and activations start as NaN, pages come
// in the order of a shuffle. Every token of every sequence must have been computed at the end.
// Activations of all steps go to one file of tensors "STEP/NAME", "STEP/NAME#2" for an op's second.
//
//===----------------------------------------------------------------------===//
#include "runtime/cli/Session.h"
#include "runtime/cli/ToolMain.h"
#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"
#include "sinter/Support/Npy.h"
#include "sinter/Support/OutputFile.h"

#include <algorithm>
#include <cstdio>

using namespace sinter;

namespace {

struct Options {
  std::string model, weights, script, logits, activations;
  CudaOptions cuda;
};

struct Script {
  std::vector<std::vector<int32_t>> sequences;
  nlohmann::json steps;
};

/// Tensors for a safetensors file, kept until it is written.
class TensorFile {
public:
  void add(const std::string &name, const BufferPlan &plan, uint64_t rows, const void *values) {
    const char *types[] = {"F32", "BF16", "F16", "I32", "F8_E4M3", "F8_E5M2"};
    const uint64_t bytes = rows * plan.columns * dtypeBytes(plan.dtype);
    std::string unique = name;
    for (int i = 2; header_.contains(unique); ++i)
      unique = name + "#" + std::to_string(i);
    header_[unique] = {{"dtype", types[size_t(plan.dtype)]},
                       {"shape", {rows, plan.columns}},
                       {"data_offsets", {data_.size(), data_.size() + bytes}}};
    data_.append(static_cast<const char *>(values), bytes);
  }

  Status write(const std::string &path) const {
    std::string text = header_.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t size = text.size();
    SINTER_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
    SINTER_RETURN_IF_ERROR(file.write(&size, sizeof size));
    SINTER_RETURN_IF_ERROR(file.write(text.data(), text.size()));
    SINTER_RETURN_IF_ERROR(file.write(data_.data(), data_.size()));
    return file.close();
  }

private:
  nlohmann::json header_ = nlohmann::json::object();
  std::string data_;
};

Result<Script> readScript(const std::string &path) {
  constexpr uint64_t kMaxScript = uint64_t(64) << 20;
  SINTER_ASSIGN_OR_RETURN(const std::string text, readTextFile(path, kMaxScript));
  SINTER_ASSIGN_OR_RETURN(const nlohmann::json json, parseJson(text, path));
  try {
    return Script{json.at("sequences").get<std::vector<std::vector<int32_t>>>(), json.at("steps")};
  } catch (const nlohmann::json::exception &error) {
    return invalidInput(path + ": " + error.what());
  }
}

Result<Session> open(const Options &options, const Script &script) {
  SINTER_ASSIGN_OR_RETURN(ArtifactFile file, ArtifactFile::open(options.model));
  SessionOptions session;
  session.cuda = options.cuda;
  session.weights.directory = options.weights;
  session.poison = true;
  session.sequences = script.sequences.size();
  for (const std::vector<int32_t> &ids : script.sequences)
    session.positions = std::max<uint64_t>(session.positions, ids.size());
  return openSession(std::move(file), session);
}

/// One step, once.
Status run(const nlohmann::json &step, Session &session, std::vector<Sequence> &sequences,
           NpyWriter &npy) {
  std::vector<WorkItem> items;
  for (const nlohmann::json &item : step.at("items")) {
    const std::string rows = item.at(2);
    Sequence &sequence = sequences.at(item.at(0).get<size_t>());
    const auto tokens = item.at(1).get<uint32_t>();
    SINTER_RETURN_IF_ERROR(sequence.reserve(tokens));
    items.push_back({&sequence, tokens,
                     rows == "all"    ? Rows::All
                     : rows == "last" ? Rows::Last
                                      : Rows::None});
  }
  const bool keep = step.at("keep");
  const HeadKind head =
      keep || !session.executor->hasHead(HeadKind::Argmax) ? HeadKind::Logits : HeadKind::Argmax;
  StepOutput output;
  SINTER_RETURN_IF_ERROR(session.executor->step(items, head, output));
  const uint64_t vocab = session.manifest().model.vocab;
  return keep ? npy.append(output.logits.data(), output.logits.size() / vocab) : Status::ok();
}

Result<int> runScript(const Options &options) {
  SINTER_ASSIGN_OR_RETURN(const Script script, readScript(options.script));
  SINTER_ASSIGN_OR_RETURN(Session session, open(options, script));
  PageAllocator allocator(session.executor->numPages(), /*shuffleSeed=*/5);
  std::vector<Sequence> sequences;
  for (const std::vector<int32_t> &ids : script.sequences) {
    sequences.emplace_back(allocator, uint32_t(session.manifest().kv.pageSize));
    sequences.back().append(ids);
  }
  SINTER_ASSIGN_OR_RETURN(NpyWriter npy,
                          NpyWriter::create(options.logits, session.manifest().model.vocab));
  TensorFile activations;
  uint64_t steps = 0;
  const auto keep = [&](const BufferPlan &plan, uint64_t rows, const void *values) {
    activations.add(std::to_string(steps) + "/" + plan.name, plan, rows, values);
    return Status::ok();
  };
  try {
    for (const nlohmann::json &step : script.steps)
      for (int i = step.at("times"); i > 0; --i, ++steps) {
        SINTER_RETURN_IF_ERROR(run(step, session, sequences, npy));
        if (!options.activations.empty())
          SINTER_RETURN_IF_ERROR(session.executor->readActivations(keep));
      }
  } catch (const std::exception &error) { // of a value that is not what the script's form asks for
    return invalidInput(options.script + ": " + error.what());
  }
  for (const Sequence &sequence : sequences)
    if (sequence.waiting() > 0)
      return invalidInput(options.script + ": leaves tokens that no step computes");
  const size_t rows = npy.rows();
  SINTER_RETURN_IF_ERROR(npy.close());
  if (!options.activations.empty())
    SINTER_RETURN_IF_ERROR(activations.write(options.activations));
  std::printf("%llu steps, %zu rows, %s\n", static_cast<unsigned long long>(steps), rows,
              session.device->name().c_str());
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Runs the steps that a script lists and writes logits: a test's tool.\n",
               "model-steps"};
  Options options;
  bool noGraph = false, noPdl = false;
  app.add_option("MODEL", options.model, "Compiled model")->required();
  app.add_option("--weights", options.weights, "Directory of the weights")->required();
  app.add_option("--script", options.script, "JSON: sequences and steps")->required();
  app.add_option("--logits", options.logits, "Write f32 [rows, vocabulary] to this .npy file")
      ->required();
  app.add_option("--activations", options.activations,
                 "Write what every op of every step gave to this .safetensors file; the model is "
                 "compiled with --no-reuse");
  app.add_flag("--no-graph", noGraph, "On a GPU: start every kernel on its own");
  app.add_flag("--no-pdl", noPdl, "On a GPU: no kernel starts before the one before has ended");
  return toolMain(app, argc, argv, [&] {
    options.cuda.graphs = !noGraph;
    options.cuda.programmaticLaunch = !noPdl;
    return runScript(options);
  });
}
