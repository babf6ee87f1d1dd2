//===- Run.cpp ------------------------------------------------------------===//
#include "Run.h"

#include "Chat.h"
#include "Guessing.h"
#include "Prompt.h"
#include "Report.h"
#include "Sampling.h"
#include "TextOutput.h"

#include "runtime/cli/ModelText.h"
#include "runtime/cli/ProfileTable.h"
#include "runtime/text/StreamDecoder.h"
#include "sinter/Support/Npy.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <sstream>
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
std::atomic<int> signalNumber{0}; ///< of what interrupted
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "they are set by a signal handler");

/// While text is generated the first Ctrl-C ends the generation, a second one the program.
void handleSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int number) {
    signalNumber = number;
    interrupted = true;
  };
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void say(const std::string &line) { std::fprintf(stderr, "-- %s\n", line.c_str()); }

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
    const uint64_t tokens = manifest.kv.tokensIn(kvBytes / manifest.kv.pageBytes);
    if (tokens < capacity) {
      capacity = tokens;
      limit = "the " + std::to_string(tokens) + " positions of --kv-memory " + options.kvMemory;
    }
  }
  if (prompt > capacity)
    return invalidArgument("the prompt has " + std::to_string(prompt) + " tokens, more than " +
                           limit);
  // The last token is not run itself, but the engine, which guesses, keeps a place for it.
  const uint64_t room = capacity - prompt + (options.promptLookup ? 0 : 1);
  Lengths lengths;
  uint64_t wanted = options.maxTokens.value_or(0);
  if (!options.maxTokens && options.logits.empty()) {
    SINTER_ASSIGN_OR_RETURN(wanted, defaultTokens(manifest.model.generation, prompt, room));
  }
  if (wanted > room)
    return invalidArgument("--max-tokens " + std::to_string(wanted) + " after a prompt of " +
                           std::to_string(prompt) + " tokens does not fit " + limit);
  lengths.maxTokens = uint32_t(wanted);
  lengths.positions =
      options.maxContext ? capacity : prompt + wanted - (wanted && !options.promptLookup ? 1 : 0);
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

/// One token at a time; writes the logits that were asked for.
Status generatePlainly(const RunOptions &options, const DebugOptions &debug, Session &session,
                       const GenerationRequest &request, uint32_t chunk,
                       const std::function<bool(int32_t)> &onToken, RunResult &result) {
  Executor &executor = *session.executor;
  PageAllocator allocator = debug.shuffleSeed
                                ? PageAllocator(executor.numPages(), *debug.shuffleSeed)
                                : PageAllocator(executor.numPages());
  Generator generator(executor, allocator, {chunk, &interrupted, debug.sharePages});
  std::optional<NpyWriter> npy;
  Generator::OnLogits onLogits;
  if (!options.logits.empty()) {
    SINTER_ASSIGN_OR_RETURN(npy, NpyWriter::create(options.logits, session.manifest().model.vocab));
    onLogits = [&](const float *rows, size_t count) { return npy->append(rows, count); };
  }
  SINTER_ASSIGN_OR_RETURN(
      std::vector<Generation> generations,
      generator.run(
          {&request, 1}, [&](size_t, int32_t token) { return onToken(token); }, onLogits));
  result.generation = std::move(generations[0]);
  result.measured.steps = generator.steps();
  if (npy && result.generation.finish != FinishReason::Cancelled)
    SINTER_RETURN_IF_ERROR(npy->close());
  return allocator.checkIntegrity();
}

/// The generation itself: streams text, fills the result.
Status generate(const RunOptions &options, const DebugOptions &debug, Session &session,
                const GenerationRequest &request, std::optional<StreamDecoder> decoder,
                TextOutput &output, RunResult &result) {
  auto emit = [&](const std::string &piece) {
    result.text += piece;
    return output.write(piece);
  };
  auto onToken = [&](int32_t token) {
    if (result.measured.firstTokenSeconds == 0)
      result.measured.firstTokenSeconds = secondsSinceStart();
    return emit(decoder ? decoder->push(token) : std::to_string(token) + " ");
  };
  const uint32_t chunk = options.prefillChunk ? options.prefillChunk : defaultPrefillChunk(session);
  if (options.promptLookup && request.maxTokens > 0) {
    SINTER_ASSIGN_OR_RETURN(
        GuessingResult guessing,
        generateGuessing(*session.executor, request,
                         {options.promptLookup, chunk, &interrupted, debug.shuffleSeed}, onToken));
    result.generation = std::move(guessing.generation);
    result.measured.steps = std::move(guessing.steps);
    result.guesses = {guessing.guessed, guessing.accepted};
  } else {
    SINTER_RETURN_IF_ERROR(
        generatePlainly(options, debug, session, request, chunk, onToken, result));
  }
  if (decoder)
    emit(decoder->flush());
  return result.generation.status;
}

/// The machine's ceilings, as far as the output will mention them. The text is out: a signal ends
/// the program at once, and who has sent one waits for nothing more.
Status measureMachine(const RunOptions &options, Session &session, Measured &measured) {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  if (interrupted || (options.quiet && !options.profile))
    return Status::ok();
  SINTER_ASSIGN_OR_RETURN(measured.readBandwidth, session.device->measureReadBandwidth());
  measured.tooBusy = measured.readBandwidth == 0;
  if (options.profile) {
    SINTER_ASSIGN_OR_RETURN(measured.fmaPeak, session.device->measureFmaPeak());
  }
  return Status::ok();
}

} // namespace

Result<int> runModel(const RunOptions &options) {
  if (options.chat)
    return runChat(options);
  std::signal(SIGPIPE, SIG_IGN); // a closed pipe shows as a failed write
  SINTER_ASSIGN_OR_RETURN(const DebugOptions debug, parseDebug(options.debug));
  if (options.promptLookup && (debug.sharePages || !options.logits.empty()))
    return invalidArgument("--prompt-lookup goes with neither --logits nor --debug share-pages");
  const Say tell = options.quiet ? Say(sayNothing) : Say(say);
  SINTER_ASSIGN_OR_RETURN(SessionOptions sessionOptions,
                          makeSessionOptions(options, tell, !options.quiet));
  sessionOptions.cuda.syncLaunches = debug.sync;
  sessionOptions.poison = debug.poison;
  SINTER_RETURN_IF_ERROR(checkSampling(options));
  SINTER_RETURN_IF_ERROR(checkPromptFlags(options));
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
  handleSignals();
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
    std::fputs(profileTable(profile, session.manifest(),
                            {result.measured.readBandwidth, result.measured.fmaPeak})
                   .c_str(),
               stderr);
  if (!options.quiet)
    std::fprintf(stderr, "%s\n", closingLine(result).c_str());
  return interrupted ? 128 + signalNumber : 0;
}

} // namespace sinter
