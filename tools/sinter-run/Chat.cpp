//===- Chat.cpp -----------------------------------------------------------===//
#include "Chat.h"

#include "Guessing.h"
#include "Report.h"
#include "Sampling.h"
#include "TextOutput.h"

#include "runtime/cli/ModelText.h"
#include "runtime/text/StreamDecoder.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace sinter {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kDefaultContext = 4096;
constexpr const char *kHelp = "/reset starts anew, /quit or Ctrl-D ends, Ctrl-C stops an answer, a "
                              "\\ at the end of a line goes on in the next one";

std::atomic<bool> interrupted{false};
int interruptEvent = -1; ///< readable since a Ctrl-C; wakes who waits for a line

/// Ctrl-C sets a flag and wakes; no call is cut short.
Status installInterrupt() {
  interruptEvent = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (interruptEvent < 0)
    return unavailable(std::string("cannot watch for Ctrl-C: ") + std::strerror(errno));
  struct sigaction action = {};
  action.sa_handler = [](int) {
    const int before = errno;
    const uint64_t one = 1;
    interrupted = true;
    (void)!write(interruptEvent, &one, sizeof one);
    errno = before;
  };
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return Status::ok();
}

/// Whether there was a Ctrl-C; there is none afterwards.
bool takeInterrupt() {
  uint64_t count = 0;
  (void)!read(interruptEvent, &count, sizeof count); // nothing there: there was none
  return interrupted.exchange(false);
}

void say(const std::string &line) { std::fprintf(stderr, "-- %s\n", line.c_str()); }

/// A conversation, and what it takes to go on with it.
class Chat {
public:
  Chat(const RunOptions &options, Session &session, Tokenizer tokenizer, ChatTemplate chatTemplate,
       const SamplingParams &sampling)
      : options_(options), session_(session), tokenizer_(std::move(tokenizer)),
        template_(std::move(chatTemplate)), sampling_(sampling),
        context_(session.executor->longestSequence()) {
    // Pages are whole, the context need not be.
    context_ = std::min(context_, options.maxContext.value_or(context_));
    reset();
  }

  void reset() {
    messages_ = Json::array();
    if (!options_.system.empty())
      messages_.push_back({{"role", "system"}, {"content", options_.system}});
  }

  /// Says `text` and prints the answer. An error is one of the machinery.
  Status turn(const std::string &text, TextOutput &output) {
    messages_.push_back({{"role", "user"}, {"content", text}});
    std::vector<int32_t> prompt;
    if (const Status status = makePrompt(prompt); !status) {
      messages_.erase(messages_.size() - 1);
      fail(status);
      return Status::ok();
    }
    const auto begin = Clock::now();
    SINTER_ASSIGN_OR_RETURN(const Answer answer, generate(prompt, output));
    output.endLine();
    messages_.push_back({{"role", "assistant"}, {"content", answer.text}});
    if (!answer.generation.status)
      fail(answer.generation.status);
    if (!options_.quiet)
      sayFigures(prompt.size(), answer, begin);
    return Status::ok();
  }

  /// Whether a message went without an answer.
  bool failed() const { return failed_; }

private:
  void fail(const Status &status) {
    failed_ = true;
    say(status.message());
  }

  struct Answer {
    std::string text;
    Generation generation;
    Clock::time_point first; ///< token
    Guesses guesses;         ///< with --prompt-lookup
  };

  Result<std::vector<int32_t>> encode() const {
    ChatRenderOptions render;
    render.addGenerationPrompt = true;
    if (options_.noThinking)
      render.enableThinking = false;
    SINTER_ASSIGN_OR_RETURN(const std::string text, template_.render(messages_, nullptr, render));
    return tokenizer_.encode(text);
  }

  /// Forgets what was said first until the rest leaves room for an answer.
  Status makePrompt(std::vector<int32_t> &prompt) {
    const size_t first = options_.system.empty() ? 0 : 1;
    for (bool said = false;; said = true) {
      SINTER_ASSIGN_OR_RETURN(prompt, encode());
      const uint64_t wanted = std::min<uint64_t>(options_.maxTokens.value_or(UINT32_MAX),
                                                 std::max<uint64_t>(context_ / 4, 1));
      if (prompt.size() + wanted <= context_)
        return Status::ok();
      if (messages_.size() <= first + 1)
        return invalidArgument("that is " + std::to_string(prompt.size()) +
                               " tokens, too much for a context of " + std::to_string(context_));
      if (!said)
        say("the context is full: forgetting what was said first");
      // A question goes with its answer.
      messages_.erase(first);
      while (messages_.size() > first + 1 && messages_[first]["role"] != "user")
        messages_.erase(first);
    }
  }

  Result<Answer> generate(const std::vector<int32_t> &prompt, TextOutput &output) {
    GenerationRequest request = {prompt, 0, sampling_, options_.ignoreEos};
    request.maxTokens = uint32_t(
        std::min<uint64_t>(options_.maxTokens.value_or(UINT32_MAX), context_ - prompt.size()));
    StreamDecoder decoder(tokenizer_, /*skipSpecial=*/true);
    Answer answer;
    const auto emit = [&](const std::string &piece) {
      answer.text += piece;
      return output.write(piece);
    };
    const auto onToken = [&](int32_t token) {
      if (answer.first == Clock::time_point())
        answer.first = Clock::now();
      return emit(decoder.push(token));
    };
    takeInterrupt(); // one that came before the question is not for the answer
    SINTER_RETURN_IF_ERROR(run(request, onToken, answer));
    emit(decoder.flush());
    takeInterrupt();
    return answer;
  }

  Status run(const GenerationRequest &request, const std::function<bool(int32_t)> &onToken,
             Answer &answer) {
    const uint32_t chunk =
        options_.prefillChunk ? options_.prefillChunk : defaultPrefillChunk(session_);
    if (options_.promptLookup) {
      SINTER_ASSIGN_OR_RETURN(GuessingResult guessing,
                              generateGuessing(*session_.executor, request,
                                               {options_.promptLookup, chunk, &interrupted, {}},
                                               onToken));
      answer.generation = std::move(guessing.generation);
      answer.guesses = {guessing.guessed, guessing.accepted};
      return Status::ok();
    }
    PageAllocator allocator(session_.executor->numPages());
    Generator generator(*session_.executor, allocator, {chunk, &interrupted});
    SINTER_ASSIGN_OR_RETURN(
        std::vector<Generation> made,
        generator.run({&request, 1}, [&](size_t, int32_t token) { return onToken(token); }));
    answer.generation = std::move(made[0]);
    return Status::ok();
  }

  void sayFigures(size_t prompt, const Answer &answer, Clock::time_point begin) const {
    const size_t tokens = answer.generation.tokens.size();
    std::string line = std::to_string(tokens) + " tokens";
    const double seconds = std::chrono::duration<double>(Clock::now() - answer.first).count();
    if (tokens > 1 && seconds > 0)
      line += ", " + std::to_string(int(double(tokens - 1) / seconds)) + " tok/s";
    if (tokens > 0)
      line +=
          ", first after " +
          std::to_string(
              std::chrono::duration_cast<std::chrono::milliseconds>(answer.first - begin).count()) +
          " ms";
    if (options_.promptLookup)
      line += ", " + std::to_string(answer.guesses.right) + " of " +
              std::to_string(answer.guesses.made) + " guesses right";
    line += ", context " + std::to_string(prompt + tokens) + " of " + std::to_string(context_);
    if (answer.generation.finish == FinishReason::Cancelled)
      line += ", stopped";
    say(line);
  }

  const RunOptions &options_;
  Session &session_;
  Tokenizer tokenizer_;
  ChatTemplate template_;
  SamplingParams sampling_;
  uint64_t context_;
  bool failed_ = false;
  Json messages_;
};

/// Lines of standard input.
class LineReader {
public:
  enum class Outcome { Line, Interrupted, End };

  Outcome next(std::string &line) {
    for (;;) {
      if (const size_t end = pending_.find('\n'); end != std::string::npos || ended_) {
        line = pending_.substr(0, end);
        pending_.erase(0, end == std::string::npos ? end : end + 1);
        return end == std::string::npos && line.empty() ? Outcome::End : Outcome::Line;
      }
      pollfd both[] = {{interruptEvent, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
      if (poll(both, 2, -1) < 0 && errno != EINTR)
        return Outcome::End;
      if (takeInterrupt())
        return Outcome::Interrupted;
      if (both[1].revents != 0)
        fill();
    }
  }

private:
  void fill() {
    char chunk[4096];
    const ssize_t got = read(STDIN_FILENO, chunk, sizeof chunk);
    ended_ = got <= 0;
    if (got > 0)
      pending_.append(chunk, size_t(got));
  }

  std::string pending_;
  bool ended_ = false;
};

/// What the user says next, over several lines if need be. False: nothing more.
bool readMessage(LineReader &lines, bool terminal, std::string &text) {
  text.clear();
  for (std::string line;;) {
    if (terminal)
      std::fprintf(stderr, text.empty() ? "> " : ". ");
    switch (lines.next(line)) {
    case LineReader::Outcome::End:
      return false;
    case LineReader::Outcome::Interrupted:
      text.clear();
      if (terminal)
        std::fprintf(stderr, "\n-- /quit or Ctrl-D ends\n");
      continue;
    case LineReader::Outcome::Line:
      break;
    }
    const bool more = line.ends_with('\\');
    text += more ? line.substr(0, line.size() - 1) + "\n" : line;
    if (!more)
      return true;
  }
}

Status converse(Chat &chat, bool terminal) {
  TextOutput output(true);
  LineReader lines;
  for (std::string text; output.isOpen() && readMessage(lines, terminal, text);) {
    const size_t ink = text.find_first_not_of(" \t\r\n");
    if (ink == std::string::npos)
      continue;
    const std::string word = text.substr(ink, text.find_last_not_of(" \t\r\n") + 1 - ink);
    if (word == "/quit" || word == "/exit")
      break;
    if (word == "/reset") {
      chat.reset();
      say("a new conversation");
    } else if (word[0] == '/') {
      say((word == "/help" ? "" : "unknown command " + word.substr(0, 20) + ": ") + kHelp);
    } else {
      SINTER_RETURN_IF_ERROR(chat.turn(text, output));
    }
  }
  return output.status();
}

} // namespace

Result<int> runChat(const RunOptions &options) {
  if (!options.debug.empty())
    return invalidArgument("--debug and --chat exclude each other");
  const Say tell = options.quiet ? [](const std::string &) {} : Say(say);
  SINTER_ASSIGN_OR_RETURN(SessionOptions sessionOptions,
                          makeSessionOptions(options, tell, !options.quiet));
  SINTER_ASSIGN_OR_RETURN(std::optional<ChatTemplate> chatTemplate,
                          readChatTemplate(options.chatTemplate));
  SINTER_RETURN_IF_ERROR(checkSampling(options));
  SINTER_ASSIGN_OR_RETURN(ArtifactFile file, openModel(options, tell));
  SINTER_ASSIGN_OR_RETURN(std::optional<Tokenizer> tokenizer, openTokenizer(file));
  if (!tokenizer)
    return unsupported(file.path() + ": has no tokenizer, which a chat needs");
  if (!chatTemplate) {
    SINTER_ASSIGN_OR_RETURN(chatTemplate, openChatTemplate(file));
  }
  if (!chatTemplate)
    return unsupported(file.path() + ": the model has no chat template: give --chat-template");
  if (options.noThinking && !chatTemplate->mentions("enable_thinking"))
    return unsupported("--no-thinking: the model's chat template has no such switch");
  SINTER_ASSIGN_OR_RETURN(const SamplingParams sampling,
                          chooseSampling(options, file.manifest().model.generation));
  const uint64_t most = file.manifest().model.maxPosition;
  if (options.maxContext && (*options.maxContext == 0 || *options.maxContext > most))
    return invalidArgument("--max-context " + std::to_string(*options.maxContext) +
                           ": expected 1 to the model's " + std::to_string(most) + " positions");
  sessionOptions.positions = options.maxContext.value_or(std::min(most, kDefaultContext));
  SINTER_ASSIGN_OR_RETURN(Session session, openSession(std::move(file), sessionOptions));
  SINTER_RETURN_IF_ERROR(installInterrupt());
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal && !options.quiet)
    say(std::string("talking to ") + session.manifest().model.name + "; " + kHelp);
  Chat chat(options, session, *std::move(tokenizer), *std::move(chatTemplate), sampling);
  SINTER_RETURN_IF_ERROR(converse(chat, terminal));
  if (terminal)
    std::fprintf(stderr, "\n");
  return !terminal && chat.failed() ? 1 : 0; // a person has seen it
}

} // namespace sinter
