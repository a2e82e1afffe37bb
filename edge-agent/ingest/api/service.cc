#include "edge-agent/ingest/api/service.h"

#include <boost/json.hpp>

#include "edge-agent/ingest/api/body.h"
#include "edge-agent/ingest/api/target.h"
#include "spillway/core/schema.h"
#include "spillway/core/topic.h"

namespace spillway::agent::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kKeyBytesMax = 128;
constexpr std::uint64_t kRetryAfterS = 1;
constexpr int kOk = 200, kCreated = 201, kBadRequest = 400, kUnauthorized = 401, kForbidden = 403,
              kNotFound = 404, kNotAllowed = 405, kConflict = 409, kTooLarge = 413,
              kMediaType = 415, kUnprocessable = 422, kTooMany = 429, kFailed = 500,
              kUnavailable = 503, kTimeout = 504;

const char* name_of(Level level) {
  if (level == Level::kPowerSafe) return "power-safe";
  return level == Level::kProcessSafe ? "process-safe" : "accepted";
}

Answer text_answer(std::string body, std::string type) {
  Answer answer;
  answer.body = std::move(body);
  answer.content_type = std::move(type);
  return answer;
}

int code_of(Status status) {
  switch (status) {
    case Status::kFull:
      return kTooMany;
    case Status::kTooLarge:
      return kTooLarge;
    case Status::kNoQueue:
    case Status::kNoSpace:
    case Status::kSetAside:
    case Status::kClosed:
      return kUnavailable;
    default:
      return kFailed;
  }
}

int code_of(const core::Error& error) {
  if (error.code == core::ErrorCode::kInvalidArgument) return kUnprocessable;
  if (error.code == core::ErrorCode::kRefused) return kConflict;
  return error.code == core::ErrorCode::kFull ? kTooLarge : kFailed;
}

/// A request is the same if all that decides what becomes of it is.
std::uint64_t hash_of(const Request& request) {
  std::string whole(request.target);
  for (const std::string_view part : {request.content_type, request.authorization, request.body}) {
    whole += '\0';
    whole += part;
  }
  return core::schema_fingerprint(std::as_bytes(std::span(whole)));
}

}  // namespace

Answer error_answer(int status, const std::string& text) {
  Answer answer;
  answer.status = status;
  answer.body = json::serialize(json::object{{"error", text}});
  return answer;
}

/// What was made of a body: the records, and those that are none.
struct Service::Built {
  std::shared_ptr<Batch> batch = std::make_shared<Batch>();
  std::shared_ptr<TopicSchema> schema;
  std::size_t sent = 0;
  std::map<std::size_t, std::string> errors;  // by index

  [[nodiscard]] std::string body(const Post& post, std::size_t accepted, Level reached,
                                 const std::string& why) const {
    json::object out{{"topic", post.topic},
                     {"accepted", accepted},
                     {"invalid", errors.size()},
                     {"level", accepted == 0 ? "none" : name_of(reached)}};
    if (!why.empty()) out["error"] = why;
    json::array verdicts;
    if (post.all_verdicts) {
      for (std::size_t i = 0; i < sent; ++i) {
        const auto error = errors.find(i);
        json::object one{{"index", i}, {"ok", accepted != 0 && error == errors.end()}};
        if (error != errors.end()) one["error"] = error->second;
        verdicts.push_back(std::move(one));
      }
    } else {
      for (const auto& [index, error] : errors) {
        verdicts.push_back({{"index", index}, {"ok", false}, {"error", error}});
      }
    }
    out["records"] = std::move(verdicts);
    return json::serialize(out);
  }
};

Service::Service(const core::ApiConfig& config, SchemaStore& schemas, const Tokens& tokens,
                 Lanes& lanes)
    : config_(config),
      schemas_(schemas),
      tokens_(tokens),
      lanes_(lanes),
      answers_(config.keys_max, config.keep_keys_ns) {}

std::uint64_t Service::handle(const Request& request, std::uint64_t now_ns, Respond respond) {
  now_ns_ = now_ns;
  ++counters_.requests;
  const std::uint64_t id = next_id_++;
  Waiting& waiting = waiting_[id];
  waiting.respond = std::move(respond);
  waiting.until_ns = now_ns + config_.level_timeout_ns;
  route(request, now_ns, id);
  return waiting_.contains(id) ? id : 0;
}

void Service::respond(std::uint64_t id, const Answer& answer) {
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return;
  const Respond respond = std::move(found->second.respond);
  waiting_.erase(found);
  respond(answer);
}

void Service::forget(std::uint64_t waiter) {
  const auto found = waiting_.find(waiter);
  if (found == waiting_.end()) return;
  if (!found->second.key.empty()) answers_.forget_waiter(found->second.key, waiter);
  waiting_.erase(found);
}

void Service::expire(std::uint64_t now_ns) {
  now_ns_ = now_ns;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto here = it++;
    if (now_ns < here->second.until_ns) continue;
    ++counters_.late;
    const Waiting& waiting = here->second;
    // With a key the request goes on, and who comes again with it waits for its end.
    if (!waiting.key.empty()) answers_.forget_waiter(waiting.key, here->first);
    const bool may_come_again = !waiting.key.empty();
    Answer answer = error_answer(
        kTimeout, std::string("not known to be ") + name_of(waiting.level) +
                      " in time: is an agent running?" +
                      (may_come_again ? " Ask again with the same Idempotency-Key"
                                      : " The records may have been accepted all the same"));
    answer.retry_after_s = kRetryAfterS;
    respond(here->first, answer);
  }
}

void Service::route(const Request& request, std::uint64_t now_ns, std::uint64_t id) {
  const auto target = parse_target(request.target);
  if (!target) return respond(id, error_answer(kBadRequest, "the path is broken"));
  const bool get = request.method == Method::kGet;
  if (target->kind == TargetKind::kUnknown) {
    return respond(id, error_answer(kNotFound, "no such path; /openapi.json lists them"));
  }
  const auto not_allowed = [&] { respond(id, error_answer(kNotAllowed, "not by this method")); };
  if (target->kind == TargetKind::kOpenapi) {
    if (!get) return not_allowed();
    return respond(id, text_answer(std::string(openapi_text()), "application/json"));
  }
  if (target->kind == TargetKind::kStatus || target->kind == TargetKind::kMetrics) {
    if (!get) return not_allowed();
    if (!tokens_.knows(request.authorization)) {
      ++counters_.denied;
      return respond(id, error_answer(kUnauthorized, "a bearer token is needed"));
    }
    if (target->kind == TargetKind::kMetrics) {
      return respond(id, text_answer(metrics_text(*this, lanes_), "text/plain; version=0.0.4"));
    }
    return respond(id,
                   text_answer(status_json(*this, lanes_, schemas_.size()), "application/json"));
  }
  if (!core::is_valid_topic(target->topic)) {
    return respond(id, error_answer(kBadRequest,
                                    "a topic is 1 to 255 bytes of UTF-8 without '+' "
                                    "and '#'"));
  }
  if (target->kind == TargetKind::kSchema) {
    if (get) {
      if (admit(request, target->topic, Tokens::Right::kPut, id)) get_schema(target->topic, id);
    } else if (request.method != Method::kPut) {
      not_allowed();
    } else if (admit(request, target->topic, Tokens::Right::kSchema, id)) {
      put_schema(request, target->topic, id);
    }
    return;
  }
  if (request.method != Method::kPost) return not_allowed();
  if (!admit(request, target->topic, Tokens::Right::kPut, id)) return;
  const auto level = level_of(target->level);
  if (!level) {
    return respond(id, error_answer(kBadRequest, "level is accepted, process-safe or power-safe"));
  }
  post_records(request, {target->topic, *level, target->all_verdicts}, now_ns, id);
}

bool Service::admit(const Request& request, const std::string& topic, Tokens::Right right,
                    std::uint64_t id) {
  const auto verdict = tokens_.judge(request.authorization, topic, right);
  if (verdict == Tokens::Verdict::kAllowed) return true;
  ++counters_.denied;
  const bool unknown = verdict == Tokens::Verdict::kUnknown;
  respond(id, error_answer(unknown ? kUnauthorized : kForbidden,
                           unknown ? "a bearer token is needed"
                                   : "the token is not for this topic, or not for schemas"));
  return false;
}

core::Result<Service::Built> Service::build(const Request& request, const Post& post) {
  const auto kind = kind_of(request.content_type);
  Built built;
  built.schema = schemas_.find(post.topic);
  SPILLWAY_TRY(texts, split_body(*kind, request.body, config_.records_max));
  built.sent = texts.size();
  const bool is_json = *kind == BodyKind::kJson || *kind == BodyKind::kLines;
  if (is_json && !built.schema) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      "JSON needs the topic's schema: PUT /v1/schemas/" + post.topic);
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::span<const std::byte> record = std::as_bytes(std::span(texts[i]));
    std::vector<std::uint64_t> aligned;
    if (is_json) {
      auto made = built.schema->build(texts[i]);
      if (!made) {
        built.errors.emplace(i, std::move(made).error().message);
        continue;
      }
      record = *made;
    } else if (built.schema) {
      // The verifier looks at alignment by address.
      aligned.resize((record.size() + 7) / 8);
      std::memcpy(aligned.data(), record.data(), record.size());
      record = std::as_bytes(std::span(aligned)).first(record.size());
    }
    if (record.empty() || record.size() > lanes_.record_bytes_max()) {
      built.errors.emplace(i, "a record has 1 to " + std::to_string(lanes_.record_bytes_max()) +
                                  " bytes, this one " + std::to_string(record.size()));
    } else if (!is_json && built.schema && !built.schema->verify(record)) {
      built.errors.emplace(i, "not a record of the topic's schema");
    } else {
      built.batch->add(record);
    }
  }
  return built;
}

void Service::post_records(const Request& request, Post post, std::uint64_t now_ns,
                           std::uint64_t id) {
  if (!kind_of(request.content_type)) {
    return respond(id, error_answer(kMediaType,
                                    "Content-Type is application/json, application/x-ndjson, "
                                    "application/x-flatbuffers or "
                                    "application/x-flatbuffers-sequence"));
  }
  if (request.idempotency_key.size() > kKeyBytesMax) {
    return respond(id, error_answer(kBadRequest, "an Idempotency-Key has at most 128 bytes"));
  }
  Waiting& waiting = waiting_.at(id);
  waiting.level = post.level;
  waiting.topic = post.topic;
  std::string key;
  if (!request.idempotency_key.empty()) {
    // Each token's keys are its own.
    key = core::fingerprint_text(
              core::schema_fingerprint(std::as_bytes(std::span(request.authorization)))) +
          std::string(request.idempotency_key);
    waiting.key = key;
    const auto claim = answers_.claim(
        key, hash_of(request), id, [this, id](const Answer& answer) { respond(id, answer); },
        now_ns);
    if (claim == AnswerBook::Claim::kWaiting || claim == AnswerBook::Claim::kKnown) {
      ++counters_.repeated;
      return;
    }
    if (claim == AnswerBook::Claim::kOther) {
      return respond(
          id, error_answer(kUnprocessable, "this Idempotency-Key belongs to another request"));
    }
    if (claim == AnswerBook::Claim::kFull) {
      Answer answer = error_answer(kTooMany, "too many keys are in flight (keys_max)");
      answer.retry_after_s = kRetryAfterS;
      return respond(id, answer);
    }
  }
  auto built = build(request, post);
  if (built && built->batch->size() != 0) {
    return submit(std::move(*built), post, key, now_ns, id);
  }
  Answer answer;
  if (!built) {
    answer = error_answer(code_of(built.error()), built.error().message);
  } else {
    counters_.invalid += built->errors.size();
    answer.status = kUnprocessable;
    answer.body = built->body(post, 0, Level::kAccepted,
                              built->sent == 0 ? "the body holds no record" : "no record is valid");
  }
  if (key.empty()) return respond(id, answer);
  answers_.settle(key, answer, false, now_ns);
}

void Service::submit(Built built, const Post& post, const std::string& key,
                     std::uint64_t /*now_ns*/, std::uint64_t id) {
  Job job;
  job.topic = post.topic;
  job.schema = built.schema;
  job.batch = built.batch;
  job.level = post.level;
  built.sent = built.errors.size() + built.batch->size();
  job.done = [this, built, post, key, id](const Outcome& outcome) {
    on_outcome(built, post, key, id, outcome);
  };
  lanes_.submit(std::move(job));
}

void Service::on_outcome(const Built& built, const Post& post, const std::string& key,
                         std::uint64_t id, const Outcome& outcome) {
  const bool ok = outcome.status == Status::kOk;
  const std::size_t accepted = ok ? built.batch->size() : 0;
  counters_.accepted += accepted;
  counters_.invalid += built.errors.size();
  Answer answer;
  answer.status = ok ? kOk : code_of(outcome.status);
  answer.body = built.body(post, accepted, outcome.reached, outcome.detail);
  if (answer.status == kTooMany || answer.status == kUnavailable) {
    answer.retry_after_s = kRetryAfterS;
  }
  if (outcome.status == Status::kFull) ++counters_.full;
  if (key.empty()) return respond(id, answer);
  answers_.settle(key, answer, ok, now_ns_);
}

void Service::put_schema(const Request& request, const std::string& topic, std::uint64_t id) {
  const auto put = schemas_.put(topic, std::as_bytes(std::span(request.body)));
  if (!put) return respond(id, error_answer(code_of(put.error()), put.error().message));
  if (*put != SchemaStore::Put::kSame) ++counters_.schema_changes;
  const auto schema = schemas_.find(topic);
  Answer answer;
  answer.status = *put == SchemaStore::Put::kNew ? kCreated : kOk;
  answer.body = json::serialize(json::object{{"topic", topic},
                                             {"changed", *put != SchemaStore::Put::kSame},
                                             {"bytes", schema->bfbs().size()}});
  respond(id, answer);
}

void Service::get_schema(const std::string& topic, std::uint64_t id) {
  const auto schema = schemas_.find(topic);
  if (!schema) return respond(id, error_answer(kNotFound, "the topic has no schema"));
  const auto& bytes = schema->bfbs();
  respond(id, text_answer({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                          "application/octet-stream"));
}

}  // namespace spillway::agent::api
