//===- Run.cpp ------------------------------------------------------------===//
#include "Run.h"

#include "Prompt.h"
#include "Report.h"

#include "runtime/cli/ModelText.h"
#include "runtime/text/StreamDecoder.h"
#include "sinter/Support/Npy.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <random>
#include <sstream>
#include <stdio_ext.h>
#include <sys/resource.h>
#include <unistd.h>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;

const Clock::time_point processStart = Clock::now();

double secondsSinceStart() {
  return std::chrono::duration<double>(Clock::now() - processStart).count();
}

uint64_t peakResidentBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return uint64_t(usage.ru_maxrss) * 1024;
}

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "it is set by a signal handler");

/// The first Ctrl-C ends the generation, a second one the program.
void installSignalHandlers() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = true; };
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN); // a closed pipe shows as a failed write
}

void say(const std::string &line) { std::fprintf(stderr, "-- %s\n", line.c_str()); }

/// Standard output, one piece of text at a time.
class TextOutput {
public:
  explicit TextOutput(bool enabled) : enabled_(enabled) {}

  /// False once the reader has gone or the text cannot be written.
  bool write(const std::string &text) {
    if (!enabled_ || text.empty() || !open_)
      return open_;
    open_ =
        std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    if (!open_)
      close(errno);
    endsLine_ = text.back() == '\n';
    return open_;
  }
  void endLine() {
    if (!endsLine_)
      write("\n");
  }
  bool isOpen() const { return open_; }
  /// Whoever closed a pipe has what they wanted: that is no error.
  const Status &status() const { return status_; }

private:
  void close(int error) {
    if (error != EPIPE)
      status_ = unavailable(std::string("standard output: cannot write: ") + std::strerror(error));
    __fpurge(stdout);
    std::clearerr(stdout);
  }

  Status status_;
  bool enabled_;
  bool open_ = true;
  bool endsLine_ = true;
};

struct DebugOptions {
  bool poison = false;
  bool sync = false;
  bool sharePages = false;
  std::optional<uint64_t> shuffleSeed;
};

Result<DebugOptions> parseDebug(const std::string &text) {
  DebugOptions debug;
  std::stringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    constexpr std::string_view kShuffle = "shuffle-pages=";
    if (part == "poison") {
      debug.poison = true;
    } else if (part == "sync") {
      debug.sync = true;
    } else if (part == "share-pages") {
      debug.sharePages = true;
    } else if (part.compare(0, kShuffle.size(), kShuffle) == 0) {
      uint64_t seed = 0;
      const char *end = part.data() + part.size();
      const auto parsed = std::from_chars(part.data() + kShuffle.size(), end, seed);
      if (parsed.ec != std::errc() || parsed.ptr != end)
        return invalidArgument("--debug " + part + ": expected a number");
      debug.shuffleSeed = seed;
    } else {
      return invalidArgument("--debug " + part +
                             ": expected poison, sync, share-pages or shuffle-pages=SEED");
    }
  }
  return debug;
}

Result<SamplingParams> checked(const SamplingParams &params) {
  if (const Status status = params.check(); !status)
    return invalidArgument("--" + status.message());
  return params;
}

Result<SamplingParams> chooseSampling(const RunOptions &options,
                                      const GenerationDefaults &defaults) {
  const bool asked = options.temperature || options.topK || options.topP || options.minP;
  SamplingParams params;
  params.repetitionPenalty = options.repetitionPenalty.value_or(defaults.repetitionPenalty);
  const bool cold = options.temperature && *options.temperature == 0;
  if (options.greedy || cold || (!defaults.doSample && !asked)) {
    if (options.greedy && options.temperature)
      return invalidArgument("--greedy and sampling options exclude each other");
    if (options.topK || options.topP || options.minP)
      return invalidArgument(std::string(cold ? "--temperature 0" : "--greedy") +
                             " and sampling options exclude each other");
    if (options.seed)
      return invalidArgument("--seed: decoding is greedy, which draws nothing; give --temperature");
    params.temperature = 0;
    return checked(params);
  }
  params.temperature = options.temperature.value_or(defaults.temperature);
  params.topK = options.topK.value_or(defaults.topK);
  params.topP = options.topP.value_or(defaults.topP);
  params.minP = options.minP.value_or(defaults.minP);
  std::random_device device;
  params.seed = options.seed ? *options.seed : uint64_t(device()) << 32 | device();
  return checked(params);
}

/// How many tokens to generate and how many positions the page pool needs.
struct Lengths {
  uint32_t maxTokens = 0;
  uint64_t positions = 0;
};

/// Tokens to generate where nobody said how many: like transformers, max_new_tokens before
/// max_length; no more than there is room for.
Result<uint64_t> defaultTokens(const GenerationDefaults &defaults, uint64_t prompt, uint64_t room) {
  constexpr uint64_t kDefaultTokens = 256;
  if (defaults.maxNewTokens)
    return std::min(defaults.maxNewTokens, room);
  if (!defaults.maxLength)
    return std::min(kDefaultTokens, room);
  if (prompt >= defaults.maxLength)
    return invalidArgument("the prompt has " + std::to_string(prompt) +
                           " tokens, and generation_config.json's max_length is " +
                           std::to_string(defaults.maxLength) + ": give --max-tokens");
  return std::min(defaults.maxLength - prompt, room);
}

Result<Lengths> chooseLengths(const RunOptions &options, const Manifest &manifest, uint64_t prompt,
                              uint64_t kvBytes) {
  uint64_t capacity = manifest.model.maxPosition;
  std::string limit = "the model's " + std::to_string(capacity) + " positions";
  if (options.maxContext) {
    if (*options.maxContext == 0 || *options.maxContext > capacity)
      return invalidArgument("--max-context " + std::to_string(*options.maxContext) +
                             ": expected 1 to " + limit);
    capacity = *options.maxContext;
    limit = "--max-context " + std::to_string(capacity);
  }
  if (kvBytes) {
    const uint64_t tokens = kvBytes / manifest.kv.pageBytes * manifest.kv.pageSize;
    if (tokens < capacity) {
      capacity = tokens;
      limit = "the " + std::to_string(tokens) + " positions of --kv-memory " + options.kvMemory;
    }
  }
  if (prompt > capacity)
    return invalidArgument("the prompt has " + std::to_string(prompt) + " tokens, more than " +
                           limit);
  const uint64_t room = capacity - prompt + 1; // the last token is not run itself
  Lengths lengths;
  uint64_t wanted = options.maxTokens.value_or(0);
  if (!options.maxTokens && options.logits.empty()) {
    SINTER_ASSIGN_OR_RETURN(wanted, defaultTokens(manifest.model.generation, prompt, room));
  }
  if (wanted > room)
    return invalidArgument("--max-tokens " + std::to_string(wanted) + " after a prompt of " +
                           std::to_string(prompt) + " tokens does not fit " + limit);
  lengths.maxTokens = uint32_t(wanted);
  lengths.positions = options.maxContext ? capacity : prompt + (wanted ? wanted - 1 : 0);
  return lengths;
}

/// Where nobody wants to hear anything.
void sayNothing(const std::string &) {}

/// The prompt as text; of token ids without a tokenizer, the ids.
std::string echoedPrompt(const Prompt &prompt, const std::optional<Tokenizer> &tokenizer) {
  if (!prompt.text.empty())
    return prompt.text;
  std::string text;
  std::optional<StreamDecoder> decoder;
  if (tokenizer)
    decoder.emplace(*tokenizer, /*skipSpecial=*/false);
  for (const int32_t id : prompt.ids)
    text += decoder ? decoder->push(id) : std::to_string(id) + " ";
  return decoder ? text + decoder->flush() : text;
}

/// The generation itself: streams text, writes logits, fills the result.
Status generate(const RunOptions &options, const DebugOptions &debug, Session &session,
                const GenerationRequest &request, std::optional<StreamDecoder> decoder,
                TextOutput &output, RunResult &result) {
  Executor &executor = *session.executor;
  PageAllocator allocator = debug.shuffleSeed
                                ? PageAllocator(executor.numPages(), *debug.shuffleSeed)
                                : PageAllocator(executor.numPages());
  const uint32_t chunk = options.prefillChunk ? options.prefillChunk : defaultPrefillChunk(session);
  Generator generator(executor, allocator, {chunk, &interrupted, debug.sharePages});
  std::optional<NpyWriter> npy;
  Generator::OnLogits onLogits;
  if (!options.logits.empty()) {
    SINTER_ASSIGN_OR_RETURN(npy, NpyWriter::create(options.logits, session.manifest().model.vocab));
    onLogits = [&](const float *rows, size_t count) { return npy->append(rows, count); };
  }
  auto emit = [&](const std::string &piece) {
    result.text += piece;
    return output.write(piece);
  };
  auto onToken = [&](size_t, int32_t token) {
    if (result.measured.firstTokenSeconds == 0)
      result.measured.firstTokenSeconds = secondsSinceStart();
    return emit(decoder ? decoder->push(token) : std::to_string(token) + " ");
  };
  SINTER_ASSIGN_OR_RETURN(const std::vector<Generation> generations,
                          generator.run({&request, 1}, onToken, onLogits));
  if (decoder)
    emit(decoder->flush());
  result.generation = generations[0];
  result.measured.steps = generator.steps();
  if (npy && result.generation.finish != FinishReason::Cancelled)
    SINTER_RETURN_IF_ERROR(npy->close());
  SINTER_RETURN_IF_ERROR(allocator.checkIntegrity());
  return result.generation.status;
}

/// The machine's ceilings, as far as the output will mention them.
Status measureMachine(const RunOptions &options, Session &session, Measured &measured) {
  if (options.quiet && !options.profile)
    return Status::ok();
  SINTER_ASSIGN_OR_RETURN(measured.readBandwidth, session.device->measureReadBandwidth());
  if (options.profile) {
    SINTER_ASSIGN_OR_RETURN(measured.fmaPeak, session.device->measureFmaPeak());
  }
  return Status::ok();
}

} // namespace

Result<int> runModel(const RunOptions &options) {
  installSignalHandlers();
  SINTER_ASSIGN_OR_RETURN(const DebugOptions debug, parseDebug(options.debug));
  const Say tell = options.quiet ? Say(sayNothing) : Say(say);
  SINTER_ASSIGN_OR_RETURN(SessionOptions sessionOptions,
                          makeSessionOptions(options, tell, !options.quiet));
  sessionOptions.cuda.syncLaunches = debug.sync;
  sessionOptions.poison = debug.poison;
  SINTER_ASSIGN_OR_RETURN(ArtifactFile file, openModel(options, tell));
  SINTER_ASSIGN_OR_RETURN(const std::optional<Tokenizer> tokenizer, openTokenizer(file));
  SINTER_ASSIGN_OR_RETURN(const Prompt prompt, readPrompt(options, tokenizer));
  RunResult result;
  result.artifactPath = file.path();
  result.promptTokens = prompt.ids.size();
  SINTER_ASSIGN_OR_RETURN(result.sampling,
                          chooseSampling(options, file.manifest().model.generation));
  SINTER_ASSIGN_OR_RETURN(
      const Lengths lengths,
      chooseLengths(options, file.manifest(), prompt.ids.size(), sessionOptions.kvBytes));
  sessionOptions.positions = lengths.positions;
  SINTER_ASSIGN_OR_RETURN(Session session, openSession(std::move(file), sessionOptions));
  result.measured.loadSeconds = secondsSinceStart();
  if (session.cuda && !options.quiet)
    say("running on " + session.device->name());

  Profile profile;
  if (options.profile)
    session.executor->setProfile(&profile);
  TextOutput output(!options.json);
  if (options.echo)
    output.write(echoedPrompt(prompt, tokenizer));
  std::optional<StreamDecoder> decoder;
  if (tokenizer)
    decoder.emplace(*tokenizer, /*skipSpecial=*/true);
  const GenerationRequest request = {prompt.ids, lengths.maxTokens, result.sampling,
                                     options.ignoreEos};
  const Status status = generate(options, debug, session, request, decoder, output, result);
  result.measured.totalSeconds = secondsSinceStart();
  result.measured.peakResidentBytes = peakResidentBytes();
  output.endLine();
  SINTER_RETURN_IF_ERROR(status);
  SINTER_RETURN_IF_ERROR(output.status());
  if (!output.isOpen())
    return 0;
  SINTER_RETURN_IF_ERROR(measureMachine(options, session, result.measured));
  if (options.json) {
    TextOutput report(true);
    report.write(jsonReport(result, session));
    SINTER_RETURN_IF_ERROR(report.status());
  }
  if (options.profile)
    std::fputs(profileTable(profile, session.manifest(), result.measured).c_str(), stderr);
  if (!options.quiet)
    std::fprintf(stderr, "%s\n", closingLine(result).c_str());
  return interrupted ? 130 : 0;
}

} // namespace sinter
