//===- Metrics.cpp --------------------------------------------------------===//
#include "runtime/server/Metrics.h"

#include <cstdio>

namespace sinter {
namespace {

class Exposition {
public:
  template <typename Number>
  void add(const char *name, const char *type, const char *help, Number value) {
    head(name, type, help);
    line(name, "", double(value));
  }

  void add(const char *name, const char *help, const Histogram &histogram) {
    head(name, "histogram", help);
    const std::string bucket = std::string(name) + "_bucket";
    uint64_t below = 0;
    for (size_t i = 0; i < histogram.counts.size(); ++i) {
      below += histogram.counts[i];
      const bool last = i == Histogram::kBounds.size();
      line(bucket.c_str(), "{le=\"" + (last ? "+Inf" : number(Histogram::kBounds[i])) + "\"}",
           double(below));
    }
    line((std::string(name) + "_sum").c_str(), "", histogram.sum);
    line((std::string(name) + "_count").c_str(), "", double(histogram.count));
  }

  std::string take() { return std::move(text_); }

private:
  static std::string number(double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.15g", value);
    return text;
  }
  void head(const char *name, const char *type, const char *help) {
    text_ += std::string("# HELP ") + name + ' ' + help + "\n# TYPE " + name + ' ' + type + '\n';
  }
  void line(const char *name, const std::string &labels, double value) {
    text_ += name + labels + ' ' + number(value) + '\n';
  }

  std::string text_;
};

} // namespace

std::string metricsText(const EngineFigures &e, const ServerFigures &s) {
  constexpr const char *kGauge = "gauge", *kCounter = "counter";
  Exposition out;
  out.add("sinter_requests_queued", kGauge, "Requests that wait for pages.", e.queued);
  out.add("sinter_samples_running", kGauge, "Samples that hold pages.", e.running);
  out.add("sinter_samples_preempted", kGauge, "Samples that gave their pages up.", e.preempted);
  out.add("sinter_requests_finished_total", kCounter, "Requests that ran to their end.",
          e.finished);
  out.add("sinter_requests_cancelled_total", kCounter, "Requests that were cancelled.",
          e.cancelled);
  out.add("sinter_requests_failed_total", kCounter, "Requests that failed.", e.failed);
  out.add("sinter_prompt_tokens_total", kCounter, "Prompt tokens computed.", e.promptTokens);
  out.add("sinter_generated_tokens_total", kCounter, "Tokens generated.", e.generatedTokens);
  out.add("sinter_prefix_lookup_tokens_total", kCounter, "Prompt tokens looked for in the cache.",
          e.prefixLookups);
  out.add("sinter_prefix_hit_tokens_total", kCounter, "Prompt tokens found there.", e.prefixHits);
  out.add("sinter_guessed_tokens_total", kCounter, "Tokens guessed by prompt lookup.",
          e.guessedTokens);
  out.add("sinter_accepted_guesses_total", kCounter, "Guesses that were right.", e.acceptedGuesses);
  out.add("sinter_preemptions_total", kCounter, "Samples that had to give their pages up.",
          e.preemptions);
  out.add("sinter_pages", kGauge, "Pages of the KV cache.", e.pagesTotal);
  out.add("sinter_pages_free", kGauge, "Pages that hold nothing.", e.pagesFree);
  out.add("sinter_pages_used", kGauge, "Pages of running samples.", e.pagesUsed);
  out.add("sinter_pages_cached", kGauge, "Pages kept for their prefix only.", e.pagesCached);
  out.add("sinter_swapped_pages_total", kCounter, "Pages that were copied to host memory.",
          e.pagesEverSwapped);
  out.add("sinter_pages_swapped", kGauge, "Pages in host memory.", e.pagesSwapped);
  out.add("sinter_steps_total", kCounter, "Steps of the model.", e.steps);
  out.add("sinter_step_seconds_total", kCounter, "Time in steps.", e.stepSeconds);
  out.add("sinter_host_seconds_total", kCounter, "The engine's own share of it.", e.hostSeconds);
  out.add("sinter_time_to_first_token_seconds", "From request to first token.", e.timeToFirstToken);
  out.add("sinter_inter_token_seconds", "Between tokens of a sample.", e.interToken);
  out.add("sinter_queue_seconds", "From request to first pages.", e.queueTime);
  out.add("sinter_http_requests_total", kCounter, "HTTP requests answered.", s.requests);
  out.add("sinter_http_client_errors_total", kCounter, "Of them with status 4xx.", s.clientErrors);
  out.add("sinter_http_server_errors_total", kCounter, "Of them with status 5xx.", s.serverErrors);
  out.add("sinter_http_disconnects_total", kCounter, "Clients that left before the end.",
          s.disconnects);
  out.add("sinter_http_connections", kGauge, "Open connections.", s.connections);
  return out.take();
}

} // namespace sinter
