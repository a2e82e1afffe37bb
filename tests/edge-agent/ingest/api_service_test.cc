#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstring>
#include <map>

#include "tests/edge-agent/ingest/api_world.h"

namespace spillway::agent::api {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::string_view kRecords = "/v1/topics/sensor/boiler/records";
constexpr std::string_view kGood = R"({"sensor": "a", "value": 1.5})";

class ApiService : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.schemas->put("sensor/boiler", std::as_bytes(std::span(kReadingSchema))));
  }
  std::uint64_t ask(Request request, std::map<int, Answer>& answers, int name) {
    return world_.service.handle(request, now_, [&answers, name](const Answer& answer) {
      EXPECT_FALSE(answers.contains(name)) << "answered twice";
      answers[name] = answer;
    });
  }
  Answer ask(Request request) {
    std::map<int, Answer> answers;
    ask(request, answers, 0);
    return answers.contains(0) ? answers[0] : Answer{0, "no answer yet", "", 0};
  }
  static Request post(std::string_view body, std::string_view target = kRecords,
                      std::string_view type = "application/json") {
    Request request;
    request.method = Method::kPost;
    request.target = target;
    request.content_type = type;
    request.body = body;
    return request;
  }
  static boost::json::object parsed(const Answer& answer) {
    return boost::json::parse(answer.body).as_object();
  }

  ApiWorld world_;
  std::uint64_t now_ = kSecond;
};

TEST_F(ApiService, json_becomes_records_of_the_schema) {
  const Answer answer = ask(post(R"([{"sensor":"a","value":2,"unit":"Kelvin"},{"sensor":"b"}])"));
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(parsed(answer)["accepted"], 2);
  ASSERT_EQ(world_.lanes.records.size(), 2U);
  const auto schema = world_.schemas->find("sensor/boiler");
  for (const std::string& record : world_.lanes.records) {
    std::vector<std::uint64_t> aligned(record.size() / 8 + 1);
    std::memcpy(aligned.data(), record.data(), record.size());
    EXPECT_TRUE(schema->verify(std::as_bytes(std::span(aligned)).first(record.size())));
  }
}

TEST_F(ApiService, each_bad_record_is_named_and_the_others_are_accepted) {
  const Answer answer = ask(
      post("{\"sensor\":\"a\"}\n{\"value\":1}\nrubbish\n\n{\"sensor\":\"b\"}\n",
           "/v1/topics/sensor/boiler/records?verdicts=all", "application/x-ndjson; charset=utf-8"));
  EXPECT_EQ(answer.status, 200) << answer.body;
  auto body = parsed(answer);
  EXPECT_EQ(body["accepted"], 2);
  EXPECT_EQ(body["invalid"], 2);
  const auto& records = body["records"].as_array();
  ASSERT_EQ(records.size(), 4U);
  EXPECT_TRUE(records[0].at("ok").as_bool());
  EXPECT_FALSE(records[1].at("ok").as_bool());
  EXPECT_NE(records[1].at("error").as_string().find("sensor"), std::string::npos) << answer.body;
  EXPECT_FALSE(records[2].at("ok").as_bool());
  EXPECT_TRUE(records[3].at("ok").as_bool());
}

TEST_F(ApiService, flatbuffers_are_taken_as_they_are_if_the_schema_verifies_them) {
  const auto schema = world_.schemas->find("sensor/boiler");
  const auto built = schema->build(kGood);
  ASSERT_TRUE(built);
  const std::string record(reinterpret_cast<const char*>(built->data()), built->size());
  EXPECT_EQ(ask(post(record, kRecords, "application/x-flatbuffers")).status, 200);
  ASSERT_EQ(world_.lanes.records.size(), 1U);
  EXPECT_EQ(world_.lanes.records[0], record);
  EXPECT_EQ(ask(post("not a flatbuffer, by far", kRecords, "application/octet-stream")).status,
            422);
  std::string sequence;
  for (int i = 0; i < 3; ++i) {
    const auto size = static_cast<std::uint32_t>(record.size());
    sequence.append(reinterpret_cast<const char*>(&size), sizeof size);
    sequence += record;
  }
  const Answer many = ask(post(sequence, kRecords, "application/x-flatbuffers-sequence"));
  EXPECT_EQ(parsed(many)["accepted"], 3);
  EXPECT_EQ(
      ask(post(sequence.substr(0, 50), kRecords, "application/x-flatbuffers-sequence")).status,
      422);
  EXPECT_EQ(ask(post("anything", "/v1/topics/other/records", "application/x-flatbuffers")).status,
            200)
      << "a topic without a schema takes bytes";
  EXPECT_EQ(ask(post(kGood, "/v1/topics/other/records")).status, 422) << "but no JSON";
}

TEST_F(ApiService, answers_only_when_the_level_is_reached) {
  world_.lanes.late = true;
  std::map<int, Answer> answers;
  ask(post(kGood, "/v1/topics/sensor/boiler/records?level=power-safe"), answers, 1);
  EXPECT_TRUE(answers.empty());
  world_.lanes.reach();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(parsed(answers[1])["level"], "power-safe");
  EXPECT_EQ(ask(post(kGood, "/v1/topics/sensor/boiler/records?level=forever")).status, 400);
}

TEST_F(ApiService, a_level_that_does_not_come_is_told_in_time) {
  world_.lanes.late = true;
  std::map<int, Answer> answers;
  ask(post(kGood, "/v1/topics/sensor/boiler/records?level=process-safe"), answers, 1);
  world_.service.expire(now_ + world_.config.level_timeout_ns - 1);
  EXPECT_TRUE(answers.empty());
  world_.service.expire(now_ + world_.config.level_timeout_ns);
  EXPECT_EQ(answers[1].status, 504);
  world_.lanes.reach();
  EXPECT_EQ(answers.size(), 1U);
}

TEST_F(ApiService, a_full_lane_is_429_and_nothing_is_accepted) {
  world_.lanes.full = true;
  Request request = post(kGood);
  request.idempotency_key = "k";
  const Answer answer = ask(request);
  EXPECT_EQ(answer.status, 429);
  EXPECT_GT(answer.retry_after_s, 0U);
  EXPECT_EQ(parsed(answer)["accepted"], 0);
  world_.lanes.full = false;
  EXPECT_EQ(ask(request).status, 200) << "the key is free, for nothing was done";
  EXPECT_EQ(world_.lanes.records.size(), 1U);
}

TEST_F(ApiService, a_key_makes_twice_the_same_as_once) {
  Request request = post(kGood);
  request.idempotency_key = "key-1";
  const Answer first = ask(request);
  const Answer second = ask(request);
  EXPECT_EQ(first.body, second.body);
  EXPECT_EQ(world_.lanes.records.size(), 1U);
  request.body = R"({"sensor": "other"})";
  EXPECT_EQ(ask(request).status, 422) << "another request with the same key";
}

TEST_F(ApiService, a_key_in_flight_waits_for_the_first_ones_answer) {
  world_.lanes.late = true;
  Request request = post(kGood, "/v1/topics/sensor/boiler/records?level=process-safe");
  request.idempotency_key = "key-1";
  std::map<int, Answer> answers;
  ask(request, answers, 1);
  world_.service.expire(now_ + world_.config.level_timeout_ns);
  EXPECT_EQ(answers[1].status, 504);
  now_ += world_.config.level_timeout_ns;
  ask(request, answers, 2);
  const std::uint64_t third = ask(request, answers, 3);
  world_.service.forget(third);
  EXPECT_EQ(answers.size(), 1U);
  world_.lanes.reach();
  ASSERT_EQ(answers.size(), 2U) << "who has gone gets none";
  EXPECT_EQ(answers[2].status, 200);
  EXPECT_EQ(world_.lanes.records.size(), 1U) << "done once";
}

TEST_F(ApiService, schemas_change_compatibly_or_not_at_all) {
  Request put;
  put.method = Method::kPut;
  put.target = "/v1/schemas/sensor%2Fboiler";
  const std::string appended =
      "enum Unit : ubyte { Celsius, Kelvin, Fahrenheit }\n"
      "table Reading { sensor:string (required); value:double; unit:Unit; tags:[string]; at:ulong; "
      "}\n"
      "root_type Reading;\n";
  put.body = appended;
  EXPECT_EQ(ask(put).status, 200);
  EXPECT_EQ(ask(post(R"({"sensor":"a","at":5,"unit":"Fahrenheit"})")).status, 200);
  std::string changed = appended;
  changed.replace(changed.find("value:double"), 12, "value:float");
  put.body = changed;
  const Answer refused = ask(put);
  EXPECT_EQ(refused.status, 409);
  EXPECT_NE(refused.body.find("field value was Double and is now Float"), std::string::npos)
      << refused.body;
  put.body = "include \"/etc/passwd\"; table T { a:int; } root_type T;";
  EXPECT_EQ(ask(put).status, 422) << "no file of this machine is read";
  Request get;
  get.method = Method::kGet;
  get.target = "/v1/schemas/sensor/boiler";
  EXPECT_EQ(ask(get).status, 200);
  const auto again = SchemaStore::open(core::env::posix_env(), world_.folder.path());
  ASSERT_TRUE((*again)->find("sensor/boiler")) << "kept over a restart";
  EXPECT_EQ((*again)->find("sensor/boiler")->bfbs(), world_.schemas->find("sensor/boiler")->bfbs());
}

TEST_F(ApiService, tokens_open_their_topics_and_no_others) {
  world_.tokens = *Tokens::parse("0123456789abcdef sensor/#\nfedcba9876543210 # +schema\n");
  Request request = post(kGood);
  EXPECT_EQ(ask(request).status, 401);
  request.authorization = "Bearer 0123456789abcdeX";
  EXPECT_EQ(ask(request).status, 401);
  request.authorization = "Bearer 0123456789abcdef";
  EXPECT_EQ(ask(request).status, 200);
  request.target = "/v1/topics/other/records";
  EXPECT_EQ(ask(request).status, 403);
  request.method = Method::kPut;
  request.target = "/v1/schemas/sensor/boiler";
  request.body = kReadingSchema;
  EXPECT_EQ(ask(request).status, 403) << "it may put records, and change no schema";
  request.authorization = "Bearer fedcba9876543210";
  EXPECT_EQ(ask(request).status, 200);
  Request status;
  status.method = Method::kGet;
  status.target = "/v1/status";
  EXPECT_EQ(ask(status).status, 401);
}

TEST_F(ApiService, strange_requests_are_told_what_is_wrong) {
  EXPECT_EQ(ask(post(kGood, "/v1/topics/a%2/records")).status, 400);
  EXPECT_EQ(ask(post(kGood, "/v1/topics/a+b/records")).status, 400);
  EXPECT_EQ(ask(post(kGood, "/nothing")).status, 404);
  EXPECT_EQ(ask(post(kGood, kRecords, "text/html")).status, 415);
  EXPECT_EQ(ask(post("", kRecords)).status, 422);
  EXPECT_EQ(ask(post("[{\"sensor\":\"a\"}", kRecords)).status, 422);
  EXPECT_EQ(ask(post("{\"sensor\":\"a\"} {}", kRecords)).status, 422);
  world_.config.records_max = 2;
  EXPECT_EQ(ask(post("[{},{},{}]", kRecords)).status, 413);
  Request get;
  get.method = Method::kGet;
  get.target = kRecords;
  EXPECT_EQ(ask(get).status, 405);
  for (const char* path : {"/v1/status", "/metrics", "/openapi.json"}) {
    get.target = path;
    EXPECT_EQ(ask(get).status, 200);
  }
  get.target = "/openapi.json";
  EXPECT_NO_THROW(parsed(ask(get)));
}

}  // namespace
}  // namespace spillway::agent::api
