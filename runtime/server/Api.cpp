//===- Api.cpp ------------------------------------------------------------===//
#include "runtime/server/Api.h"

#include "runtime/server/ChatPage.h"
#include "runtime/server/Connection.h"
#include "runtime/server/Generate.h"
#include "runtime/server/RequestHead.h"
#include "sinter/Support/Json.h"

#include <ctime>

namespace sinter {
namespace {

constexpr const char *kJson = "application/json";
constexpr std::chrono::milliseconds kBodyTime{60000};
constexpr const char *kRetrySeconds = "1";

void answer(httplib::Response &response, const OrderedJson &object) {
  response.set_content(object.dump(-1, ' ', false, OrderedJson::error_handler_t::replace), kJson);
}

void answer(httplib::Response &response, const ApiError &error) {
  response.status = error.status;
  if (error.status == 429 || error.status == 503)
    response.set_header("Retry-After", kRetrySeconds);
  if (error.status == 401)
    response.set_header("WWW-Authenticate", "Bearer");
  response.set_content(error.body(), kJson);
}

/// Takes the same time wherever the texts differ.
bool equalInConstantTime(const std::string &a, const std::string &b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned char>(a[i] ^ (b.empty() ? 0 : b[i % b.size()]));
  return difference == 0;
}

/// What httplib itself refused.
ApiError errorFor(int status) {
  switch (status) {
  case 404:
    return {404, "there is no such page", {}, "not_found"};
  case 413:
    return {413, "the body is too large", {}, "body_too_large"};
  case 414:
    return {414, "the address is too long", {}, "uri_too_long"};
  default:
    if (status >= 500)
      return {500, "internal error", {}, "internal_error"};
    return {status, "the request is malformed", {}, "invalid_request"};
  }
}

std::string timeNow() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

} // namespace

void Api::serve(Model model) {
  const std::lock_guard lock(mutex_);
  model_ = std::move(model);
  refusal_.clear();
}

void Api::refuse(std::string why) {
  const std::lock_guard lock(mutex_);
  refusal_ = std::move(why);
}

Api::Model Api::model(FirstError &error) const {
  const std::lock_guard lock(mutex_);
  std::string why = refusal_;
  if (const Status status = model_ ? model_->service->health() : Status::ok(); !status)
    why = status.message();
  if (why.empty())
    return model_;
  if (!error)
    error = ApiError{503, why, {}, "unavailable"};
  return nullptr;
}

bool Api::authorised(const Request &request) const {
  if (options_.apiKey.empty() || request.path == "/" || request.path == "/health")
    return true;
  return equalInConstantTime(rawHeader(Connection::current().head(), "Authorization"),
                             "Bearer " + options_.apiKey);
}

/// Why nobody looks at more of a request.
std::optional<ApiError> Api::refusalOf(const Request &request) const {
  if (!options_.onlyHost.empty() &&
      !isLocalName(rawHeader(Connection::current().head(), "Host"), options_.onlyHost))
    return ApiError{403,
                    "this server is for programs of this machine, which call it " +
                        options_.onlyHost + " or localhost; with an API key others may, too",
                    {},
                    "host_not_allowed"};
  if (!authorised(request))
    return ApiError{401, "the API key is missing or wrong", {}, "invalid_api_key"};
  return std::nullopt;
}

/// Before a request's body is read. False: `response` is its answer.
bool Api::admit(const Request &request, Response &response) {
  const std::optional<ApiError> unclear = checkFraming(request, Connection::current().head());
  // Whatever follows a head that contradicts itself is no request.
  const bool mayFollow =
      unclear || (announcesBody(request) && request.get_header_value("Content-Length") != "0");
  Connection::current().headDone(mayFollow, kBodyTime);
  std::optional<ApiError> error = unclear ? unclear : refusalOf(request);
  // httplib would read, however long, what nobody asked for, and wait for bodies that do not come.
  if (!error && request.method != "GET" && request.method != "HEAD") {
    error = otherMethod(request, response);
    if (!error && !announcesBody(request))
      error = ApiError{400, "the request has no body", {}, "invalid_request"};
  }
  if (error)
    answer(response, *error);
  return !error;
}

std::string Api::readBody(const Request &request, const Reader &reader, FirstError &error) const {
  error = checkBodyType(request);
  if (error)
    return {};
  const ApiError tooLarge = {413,
                             "the body has more than " + std::to_string(options_.maxBodyBytes) +
                                 " bytes",
                             {},
                             "body_too_large"};
  if (request.get_header_value<uint64_t>("Content-Length") > options_.maxBodyBytes) {
    error = tooLarge;
    return {};
  }
  std::string body;
  const bool whole = reader([&](const char *data, size_t size) {
    if (body.size() + size > options_.maxBodyBytes) {
      error = tooLarge;
      return false;
    }
    body.append(data, size);
    return true;
  });
  if (whole)
    Connection::current().bodyDone();
  else if (!error)
    error = ApiError{400,
                     request.has_header("Content-Encoding")
                         ? "the body is incomplete or not of its Content-Encoding"
                         : "the body is incomplete",
                     {},
                     "invalid_request"};
  return body;
}

/// 405 where a path answers others than this method, 404 where there is none.
std::optional<ApiError> Api::otherMethod(const Request &request, Response &response) const {
  for (const auto &[path, methods] : methods_) {
    if (!std::regex_match(request.path, path))
      continue;
    if (std::string_view(methods).find(request.method) != std::string_view::npos)
      return std::nullopt;
    response.set_header("Allow", methods);
    return ApiError{405, request.path + " answers " + methods + " only", {}, "method_not_allowed"};
  }
  return errorFor(404);
}

/// An answer that is an error without a body: one of httplib's, which knows no 405.
void Api::explain(const Request &request, Response &response) const {
  if (!response.body.empty() || response.status == 499)
    return;
  const std::optional<ApiError> other =
      response.status == 404 ? otherMethod(request, response) : std::nullopt;
  answer(response, other ? *other : errorFor(response.status));
}

void Api::get(HttpListener &listener, const char *path, httplib::Server::Handler handler) {
  methods_.emplace_back(path, "GET, HEAD");
  listener.Get(path, std::move(handler));
}

void Api::post(HttpListener &listener, const char *path, Endpoint endpoint) {
  methods_.emplace_back(path, "POST");
  listener.Post(path,
                [this, endpoint](const Request &request, Response &response, const Reader &reader) {
                  FirstError error;
                  const std::string text = readBody(request, reader, error);
                  const Model served = error ? nullptr : model(error);
                  if (served) {
                    const OrderedJson body = parseBody(text, error);
                    if (!error)
                      (this->*endpoint)(served, body, response, error);
                  }
                  if (error)
                    answer(response, *error);
                });
}

void Api::chat(const Model &model, const OrderedJson &body, Response &response, FirstError &error) {
  const ChatRequest chat = parseChatRequest(body, model->defaults, error);
  if (error)
    return;
  generate(
      model, prepareChat(chat, *model, error), chat.generation,
      std::make_unique<ChatFormat>(*model, chat.generation.logprobs >= 0, chat.generation.samples),
      response, error);
}

void Api::completion(const Model &model, const OrderedJson &body, Response &response,
                     FirstError &error) {
  const CompletionRequest completion = parseCompletionRequest(body, model->defaults, error);
  if (error)
    return;
  generate(model, prepareCompletion(completion, *model, error), completion.generation,
           std::make_unique<CompletionFormat>(*model, completion.generation.logprobs >= 0),
           response, error);
}

void Api::tokenize(const Model &model, const OrderedJson &body, Response &response,
                   FirstError &error) {
  const TokenizeRequest request = parseTokenizeRequest(body, model->defaults, error);
  if (error)
    return;
  const auto ids = model->tokenizer.encode(request.text, {request.allowSpecial});
  if (ids)
    answer(
        response,
        OrderedJson{{"tokens", *ids}, {"count", ids->size()}, {"max_model_len", model->context()}});
  else
    error = toApiError(ids.status(), "prompt");
}

void Api::detokenize(const Model &model, const OrderedJson &body, Response &response,
                     FirstError &error) {
  const DetokenizeRequest request = parseDetokenizeRequest(body, model->defaults, error);
  if (!error)
    answer(response,
           OrderedJson{{"prompt", model->tokenizer.decode(request.tokens, request.skipSpecial)}});
}

void Api::models(const Request &request, Response &response) {
  FirstError error;
  const Model served = model(error);
  if (!served)
    return answer(response, *error);
  const OrderedJson object = {
      {"id", served->defaults.model},       {"object", "model"},
      {"created", served->created},         {"owned_by", "sinter"},
      {"max_model_len", served->context()}, {"vocab_size", served->defaults.vocab},
      {"device", served->device},           {"compiler_build", served->compilerBuild}};
  constexpr std::string_view kList = "/v1/models";
  if (request.path == kList)
    return answer(response, OrderedJson{{"object", "list"}, {"data", {object}}});
  if (request.path.substr(kList.size() + 1) != served->defaults.model)
    return answer(response, ApiError{404, "no such model", "model", "model_not_found"});
  answer(response, object);
}

void Api::health(Response &response) {
  FirstError error;
  if (model(error))
    answer(response, OrderedJson{{"status", "ok"}});
  else
    answer(response, *error);
}

void Api::metrics(const HttpListener &listener, Response &response) {
  Model served;
  {
    const std::lock_guard lock(mutex_);
    served = model_;
  }
  const ServerFigures figures = {requests_, clientErrors_, serverErrors_, disconnects_,
                                 listener.connections()};
  response.set_content(metricsText(served ? served->service->figures() : EngineFigures(), figures),
                       "text/plain; version=0.0.4");
}

void Api::logRequest(const Request &request, const Response &response) {
  const RequestRecord &record = Connection::current().record;
  ++requests_;
  if (record.clientLeft)
    ++disconnects_;
  else if (response.status >= 500)
    ++serverErrors_;
  else if (response.status >= 400)
    ++clientErrors_;
  if (!options_.log)
    return;
  const auto time = std::chrono::steady_clock::now() - record.begin;
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
  std::string line = timeNow() + " " + request.remote_addr + " " +
                     quoteForMessage(request.method + " " + request.path) + " " +
                     std::to_string(response.status) + " " + std::to_string(spent) + " ms";
  if (record.promptTokens > 0)
    line += ", " + std::to_string(record.promptTokens) + " + " +
            std::to_string(record.completionTokens) + " tokens";
  options_.log(line + (record.clientLeft ? ", client left" : ""));
}

void Api::install(HttpListener &listener) {
  using Handled = httplib::Server::HandlerResponse;
  listener.set_pre_routing_handler([this](const Request &request, Response &response) {
    return admit(request, response) ? Handled::Unhandled : Handled::Handled;
  });
  listener.set_error_handler(
      [this](const Request &request, Response &response) { explain(request, response); });
  listener.set_exception_handler([](const Request &, Response &response, std::exception_ptr) {
    answer(response, errorFor(500));
  });
  listener.set_logger(
      [this](const Request &request, const Response &response) { logRequest(request, response); });
  get(listener, "/", [](const Request &, Response &response) {
    // The page is all there is: no script of anybody else's may run in it.
    response.set_header("Content-Security-Policy",
                        "default-src 'none'; style-src 'unsafe-inline'; script-src "
                        "'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
                        "form-action 'none'; frame-ancestors 'none'");
    response.set_content(kChatPage.data(), kChatPage.size(), "text/html; charset=utf-8");
  });
  get(listener, "/health", [this](const Request &, Response &response) { health(response); });
  get(listener, "/metrics",
      [this, &listener](const Request &, Response &response) { metrics(listener, response); });
  const auto listModels = [this](const Request &request, Response &response) {
    models(request, response);
  };
  get(listener, "/v1/models", listModels);
  get(listener, "/v1/models/.+", listModels);
  post(listener, "/v1/chat/completions", &Api::chat);
  post(listener, "/v1/completions", &Api::completion);
  post(listener, "/tokenize", &Api::tokenize);
  post(listener, "/detokenize", &Api::detokenize);
}

} // namespace sinter
