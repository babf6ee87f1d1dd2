//===- Serve.cpp ----------------------------------------------------------===//
#include "Serve.h"

#include "runtime/cli/KeyFile.h"
#include "runtime/cli/ModelText.h"
#include "runtime/cli/Quantity.h"
#include "runtime/engine/EngineService.h"
#include "runtime/server/Server.h"

#include <algorithm>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <future>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sinter {
namespace {

constexpr std::chrono::milliseconds kWatch{100}; ///< for signals while loading

void say(const std::string &line) { std::fprintf(stderr, "-- %s\n", line.c_str()); }

void logRequest(const std::string &line) { std::fprintf(stderr, "%s\n", line.c_str()); }

/// Threads started later inherit that these signals are for whoever waits for them.
sigset_t blockSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

/// Whether one of the signals has come within `patience`.
bool signalled(const sigset_t &signals, std::chrono::milliseconds patience) {
  const timespec time = {patience.count() / 1000, patience.count() % 1000 * 1000000};
  return sigtimedwait(&signals, nullptr, &time) > 0;
}

/// Whether nobody outside this machine reaches `host`, whatever its name.
bool isLoopback(const std::string &host) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0)
    return false; // binding says why
  bool all = true;
  for (const addrinfo *it = found; it; it = it->ai_next) {
    if (it->ai_family == AF_INET) {
      const auto *v4 = reinterpret_cast<const sockaddr_in *>(it->ai_addr);
      all &= ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    } else {
      const in6_addr &v6 = reinterpret_cast<const sockaddr_in6 *>(it->ai_addr)->sin6_addr;
      all &= IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    }
  }
  freeaddrinfo(found);
  return all;
}

Result<ServerOptions> makeServerOptions(const ServeOptions &options) {
  ServerOptions server;
  server.host = options.host;
  server.port = options.port;
  server.maxConnections = options.maxConnections;
  SINTER_ASSIGN_OR_RETURN(server.api.maxBodyBytes, parseBytes(options.maxBody, "--max-body"));
  if (server.api.maxBodyBytes == 0)
    return invalidArgument("--max-body 0: expected a size above zero");
  server.api.apiKey = options.apiKey;
  if (!options.apiKeyFile.empty()) {
    SINTER_ASSIGN_OR_RETURN(server.api.apiKey, readKeyFile(options.apiKeyFile));
  }
  SINTER_RETURN_IF_ERROR(
      checkKey(server.api.apiKey, options.apiKeyFile.empty() ? "--api-key" : options.apiKeyFile));
  // A name that leads here from elsewhere may be a web page's: a key keeps those out, too.
  if (server.api.apiKey.empty() && isLoopback(options.host))
    server.api.onlyHost = options.host;
  if (!options.quiet)
    server.api.log = logRequest;
  return server;
}

/// Where nobody has named the size of the page pool: on a GPU 90 % of what is left of its memory,
/// else room for 16 contexts, but at most half of the free memory.
void chooseMemory(const Manifest &manifest, uint64_t context, uint32_t maxSequences,
                  SessionOptions &session) {
  session.positions = context;
  session.sequences = maxSequences;
  constexpr double kShareOfGpu = 0.9;
  session.kvShare = kShareOfGpu;
  if (session.kvBytes || manifest.target == kCudaTarget)
    return;
  constexpr uint64_t kContexts = 16;
  const uint64_t wanted = pagesFor(manifest, context) * kContexts * manifest.kv.pageBytes;
  const uint64_t free = uint64_t(sysconf(_SC_AVPHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
  const uint64_t least = pagesFor(manifest, 1) * manifest.kv.pageBytes;
  session.kvBytes = std::clamp(wanted, least, std::max(least, free / 2));
}

RequestDefaults makeDefaults(const ServeOptions &options, const Manifest &manifest) {
  RequestDefaults defaults;
  const GenerationDefaults &generation = manifest.model.generation;
  defaults.model = options.name;
  if (defaults.model.empty()) {
    std::string path = options.model;
    while (path.size() > 1 && path.back() == '/')
      path.pop_back();
    const std::filesystem::path name = std::filesystem::path(path).filename();
    defaults.model = name.extension() == ".sinter" ? name.stem().string() : name.string();
  }
  defaults.greedy = !generation.doSample;
  defaults.sampling.temperature = generation.temperature;
  defaults.sampling.topK = generation.topK;
  defaults.sampling.topP = generation.topP;
  defaults.sampling.minP = generation.minP;
  defaults.sampling.repetitionPenalty = generation.repetitionPenalty;
  defaults.vocab = manifest.model.vocab;
  defaults.maxContext = options.maxContext;
  defaults.promptLookup = options.promptLookup;
  defaults.maxSamples = std::min<uint32_t>(defaults.maxSamples, options.maxSequences);
  return defaults;
}

Result<EngineOptions> makeEngineOptions(const ServeOptions &options) {
  if (options.tokensPerStep && options.promptTokensPerStep > options.tokensPerStep)
    return invalidArgument(
        "--prompt-tokens-per-step " + std::to_string(options.promptTokensPerStep) +
        " is more than --tokens-per-step " + std::to_string(options.tokensPerStep));
  EngineOptions engine;
  engine.maxSequences = options.maxSequences;
  engine.tokensPerStep = options.tokensPerStep;
  engine.promptTokensPerStep = options.promptTokensPerStep;
  engine.maxRequests = options.maxRequests;
  engine.prefixCache = !options.noPrefixCache;
  if (!options.swapMemory.empty()) {
    SINTER_ASSIGN_OR_RETURN(engine.swapBytes, parseBytes(options.swapMemory, "--swap-memory"));
  }
  return engine;
}

/// Swap space holds whole pages and is memory of this machine.
Status checkSwap(const ServeOptions &options, uint64_t bytes, const Manifest &manifest) {
  const uint64_t memory = uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
  const std::string given = "--swap-memory " + options.swapMemory + ": ";
  if (options.swapMemory.empty() || bytes == 0)
    return Status::ok();
  if (bytes < manifest.kv.pageBytes)
    return invalidArgument(given + "a page of the cache has " + formatBytes(manifest.kv.pageBytes) +
                           " (0: no swapping)");
  if (bytes > memory)
    return invalidArgument(given + "this machine has " + formatBytes(memory));
  return Status::ok();
}

/// A model that is loaded, and what serves it. The session outlives the engine.
struct Loaded {
  std::unique_ptr<Session> session;
  std::shared_ptr<ServedModel> model;
};

/// `announce` is called when nothing can be wrong any more but the weights' values.
Result<Loaded> load(const ServeOptions &options, const std::function<void()> &announce) {
  SINTER_ASSIGN_OR_RETURN(const EngineOptions engine, makeEngineOptions(options));
  SINTER_ASSIGN_OR_RETURN(SessionOptions session, makeSessionOptions(options, say, true));
  session.weights.begin = announce;
  SINTER_ASSIGN_OR_RETURN(std::optional<ChatTemplate> chat, readChatTemplate(options.chatTemplate));
  SINTER_ASSIGN_OR_RETURN(ArtifactFile file, openModel(options, say));
  SINTER_ASSIGN_OR_RETURN(const std::optional<Tokenizer> tokenizer, openTokenizer(file));
  if (!tokenizer)
    return unsupported(file.path() + ": has no tokenizer, which a server needs");
  if (!chat) {
    SINTER_ASSIGN_OR_RETURN(chat, openChatTemplate(file));
  }
  const Manifest &manifest = file.manifest();
  SINTER_RETURN_IF_ERROR(checkSwap(options, engine.swapBytes, manifest));
  uint64_t context = manifest.model.maxPosition;
  if (options.maxContext > context)
    return invalidArgument("--max-context " + std::to_string(options.maxContext) +
                           ": the model has " + std::to_string(context) + " positions");
  context = options.maxContext ? options.maxContext : context;
  chooseMemory(manifest, context, options.maxSequences, session);
  const RequestDefaults defaults = makeDefaults(options, manifest);
  const std::vector<int32_t> endIds = manifest.model.eos;
  const std::string build = manifest.compilerBuild;

  Loaded loaded;
  SINTER_ASSIGN_OR_RETURN(Session opened, openSession(std::move(file), session));
  loaded.session = std::make_unique<Session>(std::move(opened));
  SINTER_ASSIGN_OR_RETURN(std::unique_ptr<EngineService> service,
                          EngineService::create(*loaded.session->executor, engine));
  loaded.model = std::make_shared<ServedModel>(
      ServedModel{*tokenizer, std::move(chat), defaults, endIds, std::move(service),
                  int64_t(std::time(nullptr)), loaded.session->device->name(), build});
  return loaded;
}

/// Loads while the server answers 503. A signal ends the process: nothing has to be finished.
Result<Loaded> loadOrEnd(const ServeOptions &options, const std::function<void()> &announce,
                         const sigset_t &signals) {
  auto loading = std::async(std::launch::async, [&] { return load(options, announce); });
  while (loading.wait_for(std::chrono::milliseconds(0)) != std::future_status::ready)
    if (signalled(signals, kWatch))
      _exit(0);
  return loading.get();
}

std::string addressOf(const ServeOptions &options, int port) {
  const bool v6 = options.host.find(':') != std::string::npos;
  return "http://" + (v6 ? "[" + options.host + "]" : options.host) + ":" + std::to_string(port);
}

} // namespace

Result<int> serveModel(const ServeOptions &options) {
  const sigset_t signals = blockSignals();
  SINTER_ASSIGN_OR_RETURN(const ServerOptions serverOptions, makeServerOptions(options));
  Loaded loaded; // outlives the server
  Server server(serverOptions);
  SINTER_RETURN_IF_ERROR(server.start());
  const auto announce = [&] {
    std::printf("listening at %s\n", addressOf(options, server.port()).c_str());
    std::fflush(stdout);
  };
  SINTER_ASSIGN_OR_RETURN(loaded, loadOrEnd(options, announce, signals));
  server.serve(loaded.model);
  say("serving " + loaded.model->defaults.model + ": contexts of up to " +
      std::to_string(loaded.model->context()) + " tokens, a KV cache of " +
      std::to_string(uint64_t(loaded.session->executor->numPages()) *
                     loaded.session->manifest().kv.pageSize) +
      " (" + formatBytes(double(loaded.session->executor->cacheBytes())) + ")");
  SINTER_RETURN_IF_ERROR(server.run(signals, std::chrono::seconds(options.drainSeconds)));
  return 0;
}

} // namespace sinter
