//===- Api.h - the endpoints ------------------------------------*- C++ -*-===//
#pragma once

#include "runtime/server/HttpListener.h"
#include "runtime/server/Metrics.h"
#include "runtime/server/ServedModel.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <regex>
#include <string>
#include <utility>
#include <vector>

namespace sinter {

struct ApiOptions {
  std::string apiKey; ///< empty: none is asked for
  /// Not empty: requests must name this host, localhost or an IP address as theirs.
  std::string onlyHost;
  size_t maxBodyBytes = size_t(4) << 20;
  std::function<void(const std::string &line)> log; ///< a line per request; may be empty
};

/// Answers requests. Any thread may call it.
class Api {
public:
  explicit Api(ApiOptions options) : options_(std::move(options)) {}

  /// Adds the endpoints; the listener must not outlive this.
  void install(HttpListener &listener);

  /// The model is ready.
  void serve(std::shared_ptr<const ServedModel> model);
  /// No request is taken any more; `why` is what clients hear.
  void refuse(std::string why);

private:
  using Request = httplib::Request;
  using Response = httplib::Response;
  using Reader = httplib::ContentReader;
  using Model = std::shared_ptr<const ServedModel>;
  using Endpoint = void (Api::*)(const Model &model, const OrderedJson &body, Response &response,
                                 FirstError &error);

  bool authorised(const Request &request) const;
  std::optional<ApiError> refusalOf(const Request &request) const;
  std::optional<ApiError> otherMethod(const Request &request, Response &response) const;
  bool admit(const Request &request, Response &response);
  void get(HttpListener &listener, const char *path, httplib::Server::Handler handler);
  void post(HttpListener &listener, const char *path, Endpoint endpoint);
  void explain(const Request &request, Response &response) const;
  std::string readBody(const Request &request, const Reader &reader, FirstError &error) const;
  Model model(FirstError &error) const;
  void logRequest(const Request &request, const Response &response);

  void health(Response &response);
  void metrics(const HttpListener &listener, Response &response);
  void models(const Request &request, Response &response);
  void chat(const Model &model, const OrderedJson &body, Response &response, FirstError &error);
  void completion(const Model &model, const OrderedJson &body, Response &response,
                  FirstError &error);
  void tokenize(const Model &model, const OrderedJson &body, Response &response, FirstError &error);
  void detokenize(const Model &model, const OrderedJson &body, Response &response,
                  FirstError &error);

  ApiOptions options_;
  std::vector<std::pair<std::regex, const char *>> methods_; ///< of each path
  mutable std::mutex mutex_;
  Model model_;                                  ///< under the mutex; null while loading
  std::string refusal_ = "the model is loading"; ///< under the mutex; empty: requests are taken
  std::atomic<uint64_t> requests_{0}, clientErrors_{0}, serverErrors_{0}, disconnects_{0};
};

} // namespace sinter
