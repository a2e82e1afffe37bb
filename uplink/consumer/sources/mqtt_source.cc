#include "uplink/consumer/sources/mqtt_source.h"

#include <algorithm>
#include <utility>

#include "spillway/core/log.h"
#include "spillway/core/mqtt/mqtt_reader.h"
#include "spillway/core/secret_file.h"
#include "uplink/protocol/messages.h"

namespace spillway::consumer {

namespace {

using core::Result;

/// The largest message that could be taken, and room for its properties.
constexpr std::size_t kPacketBytesMax = uplink::kMessageBytesMax + (1U << 20);
/// In the inbox: the broker had a session for this consumer.
constexpr const char* kSessionMark = "session";

core::MqttReaderConfig reader_config(const core::SourceConfig& config, std::string password) {
  core::MqttReaderConfig reader;
  reader.address = {config.url, std::move(password), config.tls, "[consumer.source.tls]"};
  reader.client_id = config.client_id;
  for (const std::string& filter : config.filters) reader.filters.push_back({filter});
  reader.session_expiry_ns = config.session_expiry_ns;
  reader.keep_alive_ns = config.keep_alive_ns;
  reader.receive_maximum = config.receive_maximum;
  reader.packet_bytes_max = static_cast<std::uint32_t>(kPacketBytesMax);
  reader.property_prefix = "spillway-";
  return reader;
}

class MqttSource final : public BrokerSource {
 public:
  MqttSource(const core::SourceConfig& config, std::string password)
      : name_(config.url.scheme + "://" + config.url.hosts_text() + " client " + config.client_id),
        reader_(reader_config(config, std::move(password))) {}

  const std::string& name() const override { return name_; }
  Result<void> connect(std::uint64_t timeout_ns, const ReadMarks& read_marks) override;
  Result<void> fetch(std::uint64_t wait_ns, std::size_t messages_max,
                     const OnMessage& on_message) override;
  Result<void> settle(std::uint64_t tag) override { return reader_.settle(tag); }
  Result<void> refuse(std::uint64_t tag, const std::string& why) override;
  std::vector<InboxMark> marks(std::uint64_t tag) override;
  void disconnect() override { reader_.disconnect(); }

 private:
  [[nodiscard]] Result<void> recall_session(const ReadMarks& read_marks);
  void tell_of_session() const;

  std::string name_;
  core::MqttReader reader_;
  bool had_session_ = false;    // at the broker, some time before
  bool mark_is_given_ = false;  // of this connection
};

Result<void> MqttSource::connect(std::uint64_t timeout_ns, const ReadMarks& read_marks) {
  SPILLWAY_CHECKED(recall_session(read_marks));
  SPILLWAY_CHECKED(reader_.connect(timeout_ns));
  tell_of_session();
  had_session_ = true;
  mark_is_given_ = false;
  return {};
}

Result<void> MqttSource::recall_session(const ReadMarks& read_marks) {
  if (had_session_) return {};
  SPILLWAY_TRY(marks, read_marks());
  had_session_ = std::any_of(marks.begin(), marks.end(),
                             [](const InboxMark& mark) { return mark.partition == kSessionMark; });
  return {};
}

void MqttSource::tell_of_session() const {
  if (had_session_ && reader_.session_is_new()) {
    spdlog::warn(
        "source {}: the broker has lost this consumer's session, and with it what it had kept for "
        "it: records that it acknowledged to a gateway may be gone (holes: docs/engines.md)",
        name_);
  }
  if (const auto cut_s = reader_.session_cut_s()) {
    spdlog::warn("source {}: the broker keeps the session of a consumer that is away for {} s only",
                 name_, *cut_s);
  }
}

Result<void> MqttSource::fetch(std::uint64_t wait_ns, std::size_t messages_max,
                               const OnMessage& on_message) {
  return reader_.fetch(wait_ns, messages_max, [&](const core::MqttMessage& message) {
    const uplink::HeaderLookup header =
        [&message](std::string_view name) -> std::optional<std::string_view> {
      const auto found = std::find_if(message.properties->begin(), message.properties->end(),
                                      [&](const auto& property) { return property.first == name; });
      if (found == message.properties->end()) return std::nullopt;
      return found->second;
    };
    return on_message({message.tag, &header, message.payload});
  });
}

Result<void> MqttSource::refuse(std::uint64_t tag, const std::string& why) {
  static_cast<void>(tag);  // settled with its neighbours
  static_cast<void>(why);  // the log has it
  return {};
}

std::vector<InboxMark> MqttSource::marks(std::uint64_t tag) {
  static_cast<void>(tag);
  if (std::exchange(mark_is_given_, true)) return {};
  return {{name_, kSessionMark, 1}};
}

}  // namespace

Result<std::unique_ptr<BrokerSource>> make_mqtt_source(const core::SourceConfig& config) {
  SPILLWAY_TRY(password, core::read_password(config.password_file));
  return std::unique_ptr<BrokerSource>(std::make_unique<MqttSource>(config, std::move(password)));
}

}  // namespace spillway::consumer
