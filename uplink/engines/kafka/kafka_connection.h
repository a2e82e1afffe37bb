// How Spillway reaches a Kafka cluster, for its sink and its source alike: handles that free themselves,
// the settings that both ends share, and librdkafka's errors in words that say what to do.
//
// A KafkaClient's callbacks run in the thread that polls it; librdkafka's own threads stay in there.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "spillway/core/result.h"
#include "spillway/core/tls_config.h"

namespace spillway::uplink::kafka {

/// One function of librdkafka as a deleter.
template <auto kDestroy>
struct Destroy {
  template <typename T>
  void operator()(T* object) const {
    kDestroy(object);
  }
};

using Handle = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using KafkaError = std::unique_ptr<rd_kafka_error_t, Destroy<rd_kafka_error_destroy>>;
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t,
                                      Destroy<rd_kafka_topic_partition_list_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
using GroupMetadata = std::unique_ptr<rd_kafka_consumer_group_metadata_t,
                                      Destroy<rd_kafka_consumer_group_metadata_destroy>>;

/// Where the cluster is, and who we are there.
struct Connection {
  std::string brokers;              // host:port[,host:port...]
  std::string user;                 // empty: nobody is asked for
  std::string password_file;        // of the user
  std::string mechanism = "PLAIN";  // of SASL
  bool secure = false;              // TLS
  core::TlsConfig tls;
  std::string client_id = "spillway";
};

/// The settings' word for a mechanism of SASL in librdkafka's.
[[nodiscard]] std::string mechanism_of(std::string word);

/// The word for an error, and what a person can do about it: "topic spillway: ...".
[[nodiscard]] core::Error explain(rd_kafka_resp_err_t error, const std::string& on,
                                  const std::string& detail = {});
[[nodiscard]] core::Error explain(const rd_kafka_error_t& error, const std::string& on);

/// librdkafka's settings under construction; the first refusal is kept and reported by take().
class Settings {
 public:
  Settings();

  Settings& set(const char* key, const std::string& value);
  /// Reads the password, so that it stands in no argument and no log.
  Settings& reach(const Connection& connection);
  [[nodiscard]] rd_kafka_conf_t* get() { return conf_.get(); }
  /// The settings, which the caller owns from now on.
  [[nodiscard]] core::Result<rd_kafka_conf_t*> take();

 private:
  std::unique_ptr<rd_kafka_conf_t, Destroy<rd_kafka_conf_destroy>> conf_;
  std::optional<core::Error> refused_;
};

/// One client of the library, and what it has said of the cluster.
class Client {
 public:
  /// How a message fared; only failures, if the settings say delivery.report.only.error.
  using Delivered = std::function<void(const rd_kafka_message_t& message)>;

  [[nodiscard]] static core::Result<std::unique_ptr<Client>> open(rd_kafka_type_t type,
                                                                  Settings settings,
                                                                  Delivered delivered = {});
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() = default;

  [[nodiscard]] rd_kafka_t* get() const { return handle_.get(); }
  /// For callbacks that are not its own: their opaque is the client.
  void set_owner(void* owner) { owner_ = owner; }
  [[nodiscard]] void* owner() const { return owner_; }
  /// Serves callbacks, waiting up to `wait_ms` for the first.
  void poll(int wait_ms) { rd_kafka_poll(handle_.get(), wait_ms); }
  /// What the cluster's last trouble is, until forget_trouble(): no broker answers, a certificate or
  /// a password is wrong.
  [[nodiscard]] const std::optional<core::Error>& trouble() const { return trouble_; }
  void forget_trouble() {
    trouble_.reset();
    all_down_ = false;
  }
  [[nodiscard]] bool all_brokers_down() const { return all_down_; }
  /// Trouble that no waiting heals: rather the certificate or the password has to change.
  [[nodiscard]] bool hopeless() const { return hopeless_; }
  /// How long the brokers had a request of ours wait, the last time that they did ...
  [[nodiscard]] int throttled_ms() const { return throttled_ms_; }
  /// ... and until when (now_ns() of kafka_admin.h) that is worth telling: they may say it afterwards.
  [[nodiscard]] std::uint64_t throttled_until_ns() const { return throttled_until_ns_; }

 private:
  Client() = default;
  static void on_error(rd_kafka_t* handle, int error, const char* reason, void* self);
  static void on_throttle(rd_kafka_t* handle, const char* name, std::int32_t id, int throttle_ms,
                          void* self);
  static void on_delivery(rd_kafka_t* handle, const rd_kafka_message_t* message, void* self);

  Delivered delivered_;
  void* owner_ = nullptr;
  std::optional<core::Error> trouble_;
  bool all_down_ = false;
  bool hopeless_ = false;
  int throttled_ms_ = 0;
  std::uint64_t throttled_until_ns_ = 0;
  Handle handle_;  // last: goes first, and its callbacks with it
};

}  // namespace spillway::uplink::kafka
