// What the API says of itself: status, metrics, and its own description.
#include <unistd.h>

#include <boost/json.hpp>

#include "edge-agent/cli/exposition.h"
#include "edge-agent/ingest/api/service.h"

namespace spillway::agent::api {
namespace {

namespace json = boost::json;

struct Count {
  std::string_view key;
  std::uint64_t ServiceCounters::*value;
  std::string_view metric;
  std::string_view help;
};
constexpr Count kCounts[] = {
    {"requests", &ServiceCounters::requests, "spillway_api_requests_total", "Requests."},
    {"accepted", &ServiceCounters::accepted, "spillway_api_records_accepted_total",
     "Records that reached the level that was asked for."},
    {"invalid", &ServiceCounters::invalid, "spillway_api_records_invalid_total",
     "Records that were none of their topic's schema, or too large."},
    {"full", &ServiceCounters::full, "spillway_api_full_total",
     "Requests refused because the lane was full."},
    {"denied", &ServiceCounters::denied, "spillway_api_denied_total",
     "Requests without the right token."},
    {"repeated", &ServiceCounters::repeated, "spillway_api_repeated_total",
     "Requests answered by their Idempotency-Key."},
    {"late", &ServiceCounters::late, "spillway_api_late_total",
     "Requests whose level was not reached in time."},
    {"schema_changes", &ServiceCounters::schema_changes, "spillway_api_schema_changes_total",
     "Schemas that were put or changed."},
};

constexpr std::string_view kOpenapi = R"json({
"openapi": "3.0.3",
"info": {"title": "Spillway", "version": "1", "description": "Puts records into this gateway's queue."},
"components": {
 "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
 "parameters": {"topic": {"name": "topic", "in": "path", "required": true, "schema": {"type": "string", "maxLength": 255},
   "description": "such as sensor/boiler/temperature; slashes may stand as they are or as %2F"}},
 "schemas": {
  "Verdicts": {"type": "object", "properties": {
   "topic": {"type": "string"}, "accepted": {"type": "integer"}, "invalid": {"type": "integer"},
   "level": {"enum": ["none", "accepted", "process-safe", "power-safe"]}, "error": {"type": "string"},
   "records": {"type": "array", "description": "those that are not ok; all of them with verdicts=all", "items": {"type": "object",
    "properties": {"index": {"type": "integer"}, "ok": {"type": "boolean"}, "error": {"type": "string"}}}}}},
  "Error": {"type": "object", "properties": {"error": {"type": "string"}}}}},
"security": [{"token": []}],
"paths": {
 "/v1/topics/{topic}/records": {"post": {"summary": "Enqueue records",
  "parameters": [{"$ref": "#/components/parameters/topic"},
   {"name": "level", "in": "query", "schema": {"enum": ["accepted", "process-safe", "power-safe"], "default": "accepted"},
    "description": "the answer comes when the records have reached it"},
   {"name": "verdicts", "in": "query", "schema": {"enum": ["all"]}},
   {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 128}}],
  "requestBody": {"required": true, "content": {
   "application/json": {"schema": {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}},
   "application/x-ndjson": {"schema": {"type": "string"}},
   "application/x-flatbuffers": {"schema": {"type": "string", "format": "binary"}},
   "application/x-flatbuffers-sequence": {"schema": {"type": "string", "format": "binary"}}}},
  "responses": {
   "200": {"description": "accepted, and the level is reached", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Verdicts"}}}},
   "401": {"description": "no token"}, "403": {"description": "not this token's topic"},
   "413": {"description": "too large, or too many"}, "415": {"description": "another Content-Type"},
   "422": {"description": "no record is valid", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Verdicts"}}}},
   "429": {"description": "the lane is full, nothing was accepted: send it again after Retry-After"},
   "503": {"description": "no queue, or too busy: after Retry-After"},
   "504": {"description": "not known to have reached the level: ask again with the same Idempotency-Key"}}}},
 "/v1/schemas/{topic}": {
  "get": {"summary": "The topic's schema, as .bfbs", "parameters": [{"$ref": "#/components/parameters/topic"}],
   "responses": {"200": {"description": "FlatBuffers binary schema", "content": {"application/octet-stream": {}}}, "404": {"description": "it has none"}}},
  "put": {"summary": "Give the topic a schema, or a compatible change of it", "parameters": [{"$ref": "#/components/parameters/topic"}],
   "requestBody": {"required": true, "description": "a .fbs text or a .bfbs", "content": {"application/octet-stream": {}}},
   "responses": {"200": {"description": "it is in force"}, "201": {"description": "new"},
    "409": {"description": "not a compatible change: the answer names the field"}, "422": {"description": "it cannot be used"}}}},
 "/v1/status": {"get": {"summary": "What the API has done", "responses": {"200": {"description": "counters", "content": {"application/json": {}}}}}},
 "/metrics": {"get": {"summary": "The same for Prometheus", "responses": {"200": {"description": "text exposition", "content": {"text/plain": {}}}}}},
 "/openapi.json": {"get": {"summary": "This", "security": [], "responses": {"200": {"description": "OpenAPI", "content": {"application/json": {}}}}}}}
})json";

}  // namespace

std::string_view openapi_text() { return kOpenapi; }

std::string status_json(const Service& service, const Lanes& lanes, std::size_t schemas) {
  json::object out{{"adapter", "api"},   {"pid", ::getpid()},
                   {"state", "serving"}, {"lanes", lanes.open_lanes()},
                   {"schemas", schemas}, {"waiting", service.waiting()}};
  for (const Count& count : kCounts) out[count.key] = service.counters().*count.value;
  return json::serialize(out);
}

std::string metrics_text(const Service& service, const Lanes& lanes) {
  cli::Exposition out;
  out.add({"spillway_api_lanes", cli::MetricType::kGauge, "Lanes that are open."}, {},
          std::uint64_t{lanes.open_lanes()});
  out.add({"spillway_api_waiting", cli::MetricType::kGauge, "Requests that wait for their level."},
          {}, std::uint64_t{service.waiting()});
  for (const Count& count : kCounts) {
    out.add({count.metric, cli::MetricType::kCounter, count.help}, {},
            service.counters().*count.value);
  }
  return out.text();
}

}  // namespace spillway::agent::api
