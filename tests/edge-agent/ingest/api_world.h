// What the API's tests and fuzzers share: lanes that take, refuse and delay as they are told, and a
// service on a schema directory of its own.
#pragma once

#include <stdlib.h>

#include <deque>
#include <filesystem>
#include <string>

#include "edge-agent/ingest/api/service.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::agent::api {

class FakeLanes final : public Lanes {
 public:
  void submit(Job job) override {
    if (full) return job.done({Status::kFull, Level::kAccepted, "the lane is full"});
    for (std::size_t i = 0; i < job.batch->size(); ++i) {
      const auto record = job.batch->at(i);
      records.emplace_back(reinterpret_cast<const char*>(record.data()), record.size());
    }
    if (job.level == Level::kAccepted || !late) return job.done({Status::kOk, job.level, ""});
    waiting.push_back(std::move(job));
  }
  std::size_t record_bytes_max() const override { return 64 << 10; }
  std::size_t open_lanes() const override { return 1; }

  /// The level that they wait for is reached.
  void reach() {
    while (!waiting.empty()) {
      const Job job = std::move(waiting.front());
      waiting.pop_front();
      job.done({Status::kOk, job.level, ""});
    }
  }

  bool full = false;
  bool late = false;
  std::deque<std::string> records;
  std::deque<Job> waiting;
};

class ApiFolder {
 public:
  ApiFolder() {
    std::string name = "/tmp/spillway-api-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~ApiFolder() {
    std::error_code none;
    std::filesystem::remove_all(path_, none);
  }
  ApiFolder(const ApiFolder&) = delete;
  ApiFolder& operator=(const ApiFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline constexpr std::string_view kReadingSchema =
    "enum Unit : ubyte { Celsius, Kelvin }\n"
    "table Reading { sensor:string (required); value:double; unit:Unit; tags:[string]; }\n"
    "root_type Reading;\n";

struct ApiWorld {
  ApiFolder folder;
  core::ApiConfig config;
  FakeLanes lanes;
  Tokens tokens;
  std::unique_ptr<SchemaStore> schemas =
      std::move(*SchemaStore::open(core::env::posix_env(), folder.path()));
  Service service{config, *schemas, tokens, lanes};
};

}  // namespace spillway::agent::api
