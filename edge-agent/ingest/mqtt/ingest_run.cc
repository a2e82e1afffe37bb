#include "edge-agent/ingest/mqtt/ingest_run.h"

#include <algorithm>
#include <thread>

#include "edge-agent/ingest/lane_parts.h"
#include "spillway/core/log.h"
#include "spillway/core/secret_file.h"
#include "spillway/core/topic.h"

namespace spillway::agent::mqtt {

using core::ErrorCode;
using core::Result;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::uint64_t kConnectNs = 5'000'000'000;
constexpr std::uint64_t kFetchNs = 100'000'000;
constexpr std::chrono::milliseconds kQueueLook{100};
/// The largest message that is looked at; what is larger a broker passes over by itself.
constexpr std::uint32_t kPacketBytesMax = 64U << 20;
/// Rounds in which what was read is settled at the end.
constexpr int kGoodbyeRounds = 4;

std::vector<std::string> session_filters(const core::MqttIngestConfig& mqtt) {
  std::vector<std::string> filters;
  const std::string prefix = mqtt.share.empty() ? "" : "$share/" + mqtt.share + "/";
  for (const core::MqttMapConfig& map : mqtt.maps) filters.push_back(prefix + map.filter);
  return filters;
}

core::MqttReaderConfig reader_config(const core::MqttIngestConfig& mqtt, std::string password,
                                     const std::vector<std::string>& filters,
                                     std::vector<std::string> former) {
  core::MqttReaderConfig reader;
  reader.address = {mqtt.url, std::move(password), mqtt.tls, "[mqtt.tls]"};
  reader.client_id = mqtt.client_id;
  for (std::size_t i = 0; i < filters.size(); ++i) {
    const core::MqttMapConfig& map = mqtt.maps[i];
    reader.filters.push_back({filters[i], static_cast<int>(map.qos), map.retained});
  }
  reader.former_filters = std::move(former);
  reader.session_expiry_ns = mqtt.session_expiry_ns;
  reader.keep_alive_ns = mqtt.keep_alive_ns;
  reader.receive_maximum = mqtt.receive_maximum;
  reader.packet_bytes_max = kPacketBytesMax;
  reader.wants_redelivered = true;
  return reader;
}

}  // namespace

IngestRun::IngestRun(core::env::Env& env, const core::Config& config, Status& status,
                     const std::atomic<bool>& stop)
    : env_(env),
      config_(config),
      mqtt_(*config.mqtt),
      status_(status),
      stop_(stop),
      filters_(session_filters(mqtt_)),
      lanes_(config.gateway.queue_dir, mqtt_.lanes_max, lane_hooks()) {
  counts_.maps.resize(mqtt_.maps.size());
}

TopicLanes::Hooks IngestRun::lane_hooks() {
  const auto on_refused = [this](const Route& route, const std::string& topic,
                                 std::uint64_t records) {
    auto& fates = counts_.maps.at(route.index).fates;
    fates.at(static_cast<std::size_t>(Fate::kTooLarge)) += records;
    fates.at(static_cast<std::size_t>(Fate::kEnqueued)) -= records;
    refusals_.say(Fate::kTooLarge, topic, "raise segment_bytes of its stream", records);
  };
  return {[this] { return go_on(); }, on_refused, [this] { redeliveries_.forget(); }};
}

Result<void> IngestRun::run() {
  auto ended = live();
  reader_.reset();
  if (!ended) counts_.error = ended.error().message;
  say(ended ? "stopped" : "resting after a failure");
  if (!ended && stop_.load(std::memory_order_relaxed)) {
    spdlog::warn("{}", ended.error().message);
    return {};
  }
  return ended;
}

Result<void> IngestRun::live() {
  if (!routes_) {
    SPILLWAY_TRY(routes, Routes::make(mqtt_));
    routes_ = std::move(routes);
  }
  SPILLWAY_TRY(ready, wait_for_queue());
  if (!ready) return {};
  SPILLWAY_CHECKED(connect());
  while (!stop_.load(std::memory_order_relaxed)) SPILLWAY_CHECKED(turn());
  for (int i = 0; i < kGoodbyeRounds && !reader_->all_settled(); ++i) SPILLWAY_CHECKED(turn());
  return {};
}

Result<bool> IngestRun::wait_for_queue() {
  bool said = false;
  while (!stop_.load(std::memory_order_relaxed)) {
    SPILLWAY_TRY(there, env_.exists(config_.gateway.queue_dir + "/lanes"));
    if (there) {
      SPILLWAY_CHECKED(lock_queue());
      return true;
    }
    if (!std::exchange(said, true)) {
      spdlog::info("there is no queue in {} yet: waits for the agent to make it",
                   config_.gateway.queue_dir);
    }
    say("waiting for the agent");
    std::this_thread::sleep_for(kQueueLook);
  }
  return false;
}

Result<void> IngestRun::lock_queue() {
  if (lock_) return {};
  const std::string path = config_.gateway.queue_dir + "/mqtt.lock";
  SPILLWAY_TRY(file, env_.open(path, core::env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(locked, file->try_lock());
  if (!locked) {
    return core::fail(ErrorCode::kBusy, "another spillway-mqtt holds " + path +
                                            ": two would throw each other out at the broker; stop "
                                            "the other one first");
  }
  lock_ = std::move(file);
  return {};
}

Result<void> IngestRun::connect() {
  say("connecting");
  if (!note_) {
    SPILLWAY_TRY(note, SessionNote::read(env_, mqtt_));
    note_ = std::move(note);
  }
  SPILLWAY_TRY(password, core::read_password(mqtt_.password_file));
  const bool had_session = note_->had_session();
  reader_ = std::make_unique<core::MqttReader>(
      reader_config(mqtt_, std::move(password), filters_, note_->former(filters_)));
  SPILLWAY_CHECKED(note_->add(env_, filters_));
  batch_tag_ = 0;
  SPILLWAY_CHECKED(reader_->connect(kConnectNs));
  ++counts_.connections;
  // Packet ids of a session that is gone mean nothing.
  if (reader_->session_is_new()) redeliveries_.forget();
  if (had_session && reader_->session_is_new()) ++counts_.sessions_lost;
  reads_ = false;
  tell_of_session(had_session);
  return {};
}

void IngestRun::tell_of_session(bool had_session) {
  if (had_session && reader_->session_is_new()) {
    spdlog::warn(
        "the broker has lost this client's session, and with it what it had kept for it: messages "
        "that it acknowledged to their publishers may be gone");
  }
  if (const auto cut_s = reader_->session_cut_s()) {
    spdlog::warn("the broker keeps the session of a client that is away for {} s only", *cut_s);
  }
}

/// Not before a turn has worked: who fails at each first one says that once, and no more.
void IngestRun::tell_that_it_reads() {
  counts_.error.clear();
  spdlog::info("reads {} filters from the MQTT broker at {} as {}", filters_.size(),
               mqtt_.url.hosts_text(), mqtt_.client_id);
}

Result<void> IngestRun::turn() {
  say(reads_ ? "reading" : "connecting");
  batch_confirmed_ = 0;
  std::optional<core::Error> failure;
  SPILLWAY_CHECKED(reader_->fetch(kFetchNs, mqtt_.receive_maximum, [&](const auto& message) {
    auto taken = take(message);
    if (!taken) failure = std::move(taken).error();
    return !failure;
  }));
  if (reader_->subscribed()) SPILLWAY_CHECKED(note_->settle(env_, filters_));
  if (failure) return tl::unexpected(std::move(*failure));
  SPILLWAY_CHECKED(lanes_.flush());
  auto settled = reader_->settle(batch_tag_);
  // Acknowledgements may have left, even if the connection broke over them.
  if (reader_->all_settled()) redeliveries_.forget();
  SPILLWAY_CHECKED(std::move(settled));
  counts_.acknowledged += batch_confirmed_;
  if (!std::exchange(reads_, true)) tell_that_it_reads();
  return {};
}

Result<void> IngestRun::take(const core::MqttMessage& message) {
  const Route* const route = routes_->find(message.topic);
  if (route == nullptr) {
    ++counts_.unmapped;
  } else {
    MapCounts& counts = counts_.maps.at(route->index);
    SPILLWAY_TRY(fate, put(*route, message));
    ++counts.taken;
    if (message.redelivered) ++counts.redelivered;
    ++counts.fates.at(static_cast<std::size_t>(fate));
    if (fate != Fate::kEnqueued && fate != Fate::kAlreadyThere) {
      refusals_.say(fate, std::string(message.topic), std::exchange(detail_, {}));
    }
  }
  if (message.qos > 0) ++batch_confirmed_;
  batch_tag_ = message.tag;
  return {};
}

Result<Fate> IngestRun::put(const Route& route, const core::MqttMessage& message) {
  if (message.payload.empty()) return Fate::kEmpty;
  const std::string topic = core::mqtt_topic(*route.map, message.topic);
  if (!core::is_valid_topic(topic)) return Fate::kBadTopic;
  if (message.redelivered &&
      redeliveries_.knows(message.packet_id, message.topic, message.payload)) {
    return Fate::kAlreadyThere;
  }
  auto record = record_of(route, message.payload);
  if (!record) {
    detail_ = record.error().message;
    return Fate::kInvalid;
  }
  SPILLWAY_TRY(lane, lanes_.lane_of(route, topic));
  if (record->size() > lane->producer.record_bytes_max()) return Fate::kTooLarge;
  if (!has_room(lane->producer, record->size())) {
    if (message.qos == 0) return Fate::kOverflowed;
    ++counts_.maps.at(route.index).held_up;
  }
  SPILLWAY_CHECKED(lanes_.put(*lane, *record, message.qos > 0));
  if (message.qos > 0) redeliveries_.on_put(message.packet_id, message.topic, message.payload);
  return Fate::kEnqueued;
}

/// Asked again and again while the agent is waited for.
Result<void> IngestRun::go_on() {
  say("waiting for the agent to take what was put");
  if (!stop_.load(std::memory_order_relaxed)) return {};
  if (!stop_by_) stop_by_ = Clock::now() + kGrace;
  if (Clock::now() < *stop_by_) return {};
  return core::fail(ErrorCode::kUnavailable,
                    "told to stop, and the agent does not take what was put: what was not "
                    "acknowledged comes again at the next start");
}

void IngestRun::say(const std::string& state) {
  counts_.state = state;
  counts_.lanes = lanes_.open_lanes();
  status_.edit([this](Counts& shown) { shown = counts_; });
}

}  // namespace spillway::agent::mqtt
