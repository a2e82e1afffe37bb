// Service: what the API answers. It holds no socket, thread or clock: requests and time are passed in.
//
//   POST /v1/topics/{topic}/records    records
//   PUT, GET /v1/schemas/{topic}       the topic's schema
//   GET /v1/status, /metrics, /openapi.json
//
// One thread. Invariants:
//  1. Each request is answered once, by its `respond`, at the latest `level_timeout` after it came.
//  2. An answer that says a level was reached is given only after it was.
//  3. A batch is accepted whole or not at all, but for the records in it that are none (they are
//     named, each with its reason).
#pragma once

#include <map>
#include <set>

#include "edge-agent/ingest/api/answer_book.h"
#include "edge-agent/ingest/api/lanes.h"
#include "edge-agent/ingest/api/schema_store.h"
#include "edge-agent/ingest/api/tokens.h"
#include "spillway/core/ingest_config.h"

namespace spillway::agent::api {

enum class Method : std::uint8_t { kGet, kPut, kPost, kOther };

struct Request {
  Method method = Method::kOther;
  std::string_view target;  // path and query
  std::string_view content_type;
  std::string_view authorization;
  std::string_view idempotency_key;
  std::string_view body;
};

struct ServiceCounters {
  std::uint64_t requests = 0;
  std::uint64_t accepted = 0;  // records
  std::uint64_t invalid = 0;   // records
  std::uint64_t full = 0;      // requests
  std::uint64_t denied = 0;    // requests
  std::uint64_t repeated = 0;  // requests, by their key
  std::uint64_t late = 0;      // requests whose level was not reached in time
  std::uint64_t schema_changes = 0;
};

class Service {
 public:
  Service(const core::ApiConfig& config, SchemaStore& schemas, const Tokens& tokens, Lanes& lanes);

  /// The request's views need to last only for the call. `respond` may be called within it. Returns a
  /// number by which forget() names the request, 0 if it is answered.
  std::uint64_t handle(const Request& request, std::uint64_t now_ns, Respond respond);
  /// Its connection has gone: nobody waits. What was accepted stays accepted.
  void forget(std::uint64_t waiter);
  /// Answers those whose time is up. Call a few times a second.
  void expire(std::uint64_t now_ns);

  [[nodiscard]] const ServiceCounters& counters() const { return counters_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

 private:
  struct Waiting {
    Respond respond;
    std::string key;  // of the answer book; empty: none
    std::uint64_t until_ns = 0;
    std::string topic;
    Level level = Level::kAccepted;
    std::size_t accepted = 0;
  };
  struct Post {
    std::string topic;
    Level level = Level::kAccepted;
    bool all_verdicts = false;
  };
  struct Built;

  void route(const Request& request, std::uint64_t now_ns, std::uint64_t id);
  void post_records(const Request& request, Post post, std::uint64_t now_ns, std::uint64_t id);
  void put_schema(const Request& request, const std::string& topic, std::uint64_t id);
  void get_schema(const std::string& topic, std::uint64_t id);
  [[nodiscard]] bool admit(const Request& request, const std::string& topic, Tokens::Right right,
                           std::uint64_t id);
  [[nodiscard]] core::Result<Built> build(const Request& request, const Post& post);
  void submit(Built built, const Post& post, const std::string& key, std::uint64_t now_ns,
              std::uint64_t id);
  void on_outcome(const Built& built, const Post& post, const std::string& key, std::uint64_t id,
                  const Outcome& outcome);
  /// To who waits by this number; once.
  void respond(std::uint64_t id, const Answer& answer);

  const core::ApiConfig& config_;
  SchemaStore& schemas_;
  const Tokens& tokens_;
  Lanes& lanes_;
  AnswerBook answers_;
  ServiceCounters counters_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::uint64_t next_id_ = 1;
  std::uint64_t now_ns_ = 0;  // the latest that was passed in
};

/// {"error": text}
[[nodiscard]] Answer error_answer(int status, const std::string& text);
/// The whole API as OpenAPI 3.
[[nodiscard]] std::string_view openapi_text();
[[nodiscard]] std::string status_json(const Service& service, const Lanes& lanes,
                                      std::size_t schemas);
[[nodiscard]] std::string metrics_text(const Service& service, const Lanes& lanes);

}  // namespace spillway::agent::api
