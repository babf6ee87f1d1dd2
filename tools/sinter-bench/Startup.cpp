//===- Startup.cpp --------------------------------------------------------===//
#include "Startup.h"

#include "Bench.h"
#include "Probes.h"
#include "RandomCheckpoint.h"

#include "runtime/cli/ChildProcess.h"
#include "runtime/cli/Quantity.h"
#include "sinter/Support/Json.h"

#include <chrono>
#include <cstdio>
#include <unistd.h>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kPromptTokens = 8;

void say(const std::string &line) { std::fprintf(stderr, "-- %s\n", line.c_str()); }

/// What both measurements are of.
struct Subject {
  std::string name; ///< of the device
  std::string commit;
  std::vector<double> uploads;     ///< seconds
  std::vector<double> firstTokens; ///< seconds
  uint64_t bytes = 0;              ///< that an upload reads
};

/// Bytes of the checkpoint that a load reads.
uint64_t bytesRead(const Manifest &manifest) {
  uint64_t bytes = 0;
  for (const WeightPlan &weight : manifest.weights)
    for (const WeightSource &source : weight.sources) {
      uint64_t row = dtypeBytes(source.dtype);
      for (size_t i = 1; i < source.shape.size(); ++i)
        row *= uint64_t(source.shape[i]);
      bytes += source.rows() * row;
    }
  return bytes;
}

/// The first load, which may wait for a disk, is the session's own.
Status timeUploads(const StartOptions &options, ArtifactFile file, const std::string &directory,
                   Subject &subject) {
  SessionOptions opened;
  opened.weights.directory = directory;
  opened.cpu.threads = options.threads;
  opened.cuda.device = options.device;
  opened.positions = kPromptTokens;
  opened.say = say;
  SINTER_ASSIGN_OR_RETURN(Session session, openSession(std::move(file), opened));
  subject.name = session.device->name();
  WeightOptions weights = opened.weights;
  weights.positions = session.weights.positions;
  Clock::time_point begin;
  weights.begin = [&] { begin = Clock::now(); };
  session.executor.reset();
  session.weights = {};
  for (uint32_t i = 0; i < options.repeats; ++i) {
    SINTER_RETURN_IF_ERROR(loadWeights(session.manifest(), *session.device, weights).status());
    subject.uploads.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return Status::ok();
}

/// Seconds from before the program is started to its report, which follows its only token.
Result<double> timeFirstToken(const StartOptions &options, const std::string &program,
                              const std::string &directory) {
  std::string prompt = "0";
  for (uint32_t i = 1; i < kPromptTokens; ++i)
    prompt += "," + std::to_string(i);
  std::vector<std::string> arguments = {options.model,  "--token-ids", prompt,
                                        "--max-tokens", "1",           "--greedy",
                                        "--ignore-eos", "--json",      "--quiet"};
  if (!directory.empty())
    arguments.insert(arguments.end(), {"--weights", directory});
  if (options.threads)
    arguments.insert(arguments.end(), {"--threads", std::to_string(options.threads)});
  if (options.device)
    arguments.insert(arguments.end(), {"--device", std::to_string(options.device)});
  SINTER_ASSIGN_OR_RETURN(const ChildResult child, runChild(program, arguments));
  if (child.exitCode != 0)
    return unavailable(program + " failed (exit status " + std::to_string(child.exitCode) +
                       "): " + child.message.substr(0, child.message.find('\n')));
  SINTER_ASSIGN_OR_RETURN(const nlohmann::json report, parseJson(child.output, program));
  if (!report.contains("ids") || report["ids"].size() != 1)
    return internalError(program + ": its report has not one token");
  return child.firstOutputSeconds;
}

void print(const std::string &name, const std::vector<double> &values, const char *unit) {
  std::printf("%-26s %10.3f %-5s %.3f to %.3f\n", name.c_str(), quantile(values, 0.5), unit,
              quantile(values, 0), quantile(values, 1));
}

} // namespace

Result<int> benchStart(const StartOptions &options) {
  if (options.weights.starts_with("random:"))
    return invalidArgument(
        "--weights " + options.weights +
        ": what is made on the host is not uploaded from a file: leave --weights "
        "out, and a file of random weights is made");
  const std::string program = siblingProgram("sinter-run");
  if (access(program.c_str(), X_OK) != 0)
    return notFound("no sinter-run beside this program: it is what is timed");
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(checkRecords(options.json));
  SINTER_ASSIGN_OR_RETURN(ArtifactFile file, ArtifactFile::open(options.model));
  const Manifest manifest = file.manifest();
  if (manifest.model.vocab < kPromptTokens)
    return unsupported(options.model + ": its vocabulary is smaller than the prompt");
  std::string directory = options.weights;
  std::optional<RandomCheckpoint> checkpoint;
  if (directory.empty() && manifest.sourceFiles.empty()) {
    SINTER_ASSIGN_OR_RETURN(checkpoint, RandomCheckpoint::write(manifest));
    directory = checkpoint->directory();
  }
  Subject subject;
  subject.commit = manifest.compilerBuild;
  subject.bytes = bytesRead(manifest);
  // The session ends before the first program starts: nothing of it may help there.
  SINTER_RETURN_IF_ERROR(timeUploads(options, std::move(file), directory, subject));
  for (uint32_t i = 0; i < options.repeats + 1; ++i) {
    SINTER_ASSIGN_OR_RETURN(const double seconds, timeFirstToken(options, program, directory));
    if (i > 0) // the first may have read programs and libraries from a disk
      subject.firstTokens.push_back(seconds);
  }

  std::vector<double> rates;
  for (const double seconds : subject.uploads)
    rates.push_back(double(subject.bytes) / seconds * 1e-9);
  const std::string upload = rowName("upload", manifest), first = rowName("first-token", manifest);
  std::printf("%s: %s, %s, %s of weights\n", manifest.model.name.c_str(), typesOf(manifest).c_str(),
              subject.name.c_str(), formatBytes(double(subject.bytes)).c_str());
  print(upload, rates, "GB/s");
  print(first, subject.firstTokens, "s");
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(mergeRecords(
        options.json,
        {{upload, quantile(rates, 0.5), "GB/s", {}, {}, subject.name, subject.commit},
         {first, quantile(subject.firstTokens, 0.5), "s", {}, {}, subject.name, subject.commit}}));
  return 0;
}

} // namespace sinter
