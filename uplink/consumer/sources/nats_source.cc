#include "uplink/consumer/sources/nats_source.h"

#include <algorithm>
#include <deque>

#include "spillway/core/secret_file.h"
#include "uplink/engines/nats/nats_connection.h"

namespace spillway::consumer {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;
using uplink::NatsPointer;

constexpr std::uint64_t kMsNs = 1'000'000;
/// One request to the server.
constexpr std::size_t kFetchMax = 1000;
/// Brought to all consumers of the durable and not acknowledged, at most.
constexpr std::int64_t kUnacknowledgedMax = 20'000;
/// A poll that waits longer keeps the caller from its other work.
constexpr std::int64_t kFetchMsMax = 1000;

class NatsSource final : public BrokerSource {
 public:
  NatsSource(uplink::NatsAddress address, core::SourceConfig config)
      : address_(std::move(address)),
        config_(std::move(config)),
        name_("nats://" + address_.url.hosts_text() + " stream " + config_.stream + " durable " +
              config_.durable) {}

  const std::string& name() const override { return name_; }
  Result<void> connect(std::uint64_t timeout_ns, const ReadMarks& read_marks) override;
  Result<void> fetch(std::uint64_t wait_ns, std::size_t messages_max,
                     const OnMessage& on_message) override;
  Result<void> settle(std::uint64_t tag) override;
  Result<void> refuse(std::uint64_t tag, const std::string& why) override;
  void disconnect() override;

 private:
  struct Unsettled {
    std::uint64_t tag = 0;
    NatsPointer<natsMsg> message;  // null: refused
  };

  [[nodiscard]] Result<void> make_durable();
  [[nodiscard]] Result<void> subscribe();
  [[nodiscard]] Result<void> fill(std::uint64_t wait_ns, std::size_t messages_max);
  [[nodiscard]] bool hand_over(const OnMessage& on_message);

  uplink::NatsAddress address_;
  core::SourceConfig config_;
  std::string name_;
  uplink::NatsSession session_;
  NatsPointer<natsSubscription> subscription_;
  std::deque<NatsPointer<natsMsg>> fetched_;  // and not handed over
  std::deque<Unsettled> unsettled_;           // tags ascend
  std::uint64_t last_tag_ = 0;
};

Result<void> NatsSource::connect(std::uint64_t timeout_ns, const ReadMarks& /*read_marks*/) {
  disconnect();
  SPILLWAY_TRY(session, uplink::connect_nats(address_, timeout_ns));
  session_ = std::move(session);
  auto subscribed = make_durable();
  if (subscribed) subscribed = subscribe();
  if (!subscribed) disconnect();
  return subscribed;
}

/// Made at the first time; one that is there stays as it is.
Result<void> NatsSource::make_durable() {
  jsConsumerConfig wanted;
  jsConsumerConfig_Init(&wanted);
  wanted.Durable = config_.durable.c_str();
  wanted.AckPolicy = js_AckExplicit;
  wanted.AckWait = static_cast<std::int64_t>(config_.ack_wait_ns);
  wanted.MaxAckPending = kUnacknowledgedMax;
  jsErrCode code{};
  const natsStatus status = js_AddConsumer(nullptr, session_.context.get(), config_.stream.c_str(),
                                           &wanted, nullptr, &code);
  if (status == NATS_OK || code == JSConsumerNameExistErr) return {};
  natsStatus detail = NATS_OK;
  auto error = uplink::nats_error(name_, status, code, nats_GetLastError(&detail));
  if (error.code == ErrorCode::kNotFound) {
    error.message += "; `spillway sink setup` at a gateway makes the stream";
  }
  return tl::unexpected(std::move(error));
}

Result<void> NatsSource::subscribe() {
  jsSubOptions wishes;
  jsSubOptions_Init(&wishes);
  wishes.Stream = config_.stream.c_str();
  wishes.Consumer = config_.durable.c_str();
  natsSubscription* raw = nullptr;
  jsErrCode code{};
  const natsStatus status = js_PullSubscribe(&raw, session_.context.get(), nullptr,
                                             config_.durable.c_str(), nullptr, &wishes, &code);
  subscription_.reset(raw);
  if (status == NATS_OK) return {};
  natsStatus detail = NATS_OK;
  return tl::unexpected(uplink::nats_error(name_, status, code, nats_GetLastError(&detail)));
}

Result<void> NatsSource::fill(std::uint64_t wait_ns, std::size_t messages_max) {
  const auto wait_ms =
      std::clamp<std::int64_t>(static_cast<std::int64_t>(wait_ns / kMsNs), 1, kFetchMsMax);
  natsMsgList list{};
  jsErrCode code{};
  const natsStatus status =
      natsSubscription_Fetch(&list, subscription_.get(),
                             static_cast<int>(std::min(messages_max, kFetchMax)), wait_ms, &code);
  for (int i = 0; i < list.Count; ++i) {
    fetched_.emplace_back(list.Msgs[i]);
    list.Msgs[i] = nullptr;  // it is ours
  }
  natsMsgList_Destroy(&list);
  if (status == NATS_OK || status == NATS_TIMEOUT) return {};
  return tl::unexpected(uplink::nats_error(name_, status, code));
}

bool NatsSource::hand_over(const OnMessage& on_message) {
  NatsPointer<natsMsg> message = std::move(fetched_.front());
  fetched_.pop_front();
  natsMsg* raw = message.get();
  const uplink::HeaderLookup header =
      [raw](std::string_view name) -> std::optional<std::string_view> {
    const char* value = nullptr;
    if (natsMsgHeader_Get(raw, std::string(name).c_str(), &value) != NATS_OK) return std::nullopt;
    return value == nullptr ? std::string_view() : std::string_view(value);
  };
  const auto* data = reinterpret_cast<const std::byte*>(natsMsg_GetData(raw));
  const std::span payload(data, static_cast<std::size_t>(natsMsg_GetDataLength(raw)));
  unsettled_.push_back({++last_tag_, std::move(message)});
  return on_message({last_tag_, &header, payload});
}

Result<void> NatsSource::fetch(std::uint64_t wait_ns, std::size_t messages_max,
                               const OnMessage& on_message) {
  if (subscription_ == nullptr) return fail(ErrorCode::kUnavailable, name_ + ": not connected");
  if (const auto failure = session_.events->failure()) return tl::unexpected(*failure);
  if (messages_max == 0) return {};  // the library's own thread keeps the connection alive
  if (fetched_.empty()) SPILLWAY_CHECKED(fill(wait_ns, messages_max));
  for (std::size_t i = 0; i < messages_max && !fetched_.empty(); ++i) {
    if (!hand_over(on_message)) break;
  }
  return {};
}

Result<void> NatsSource::settle(std::uint64_t tag) {
  while (!unsettled_.empty() && unsettled_.front().tag <= tag) {
    natsMsg* message = unsettled_.front().message.get();
    if (message != nullptr) {
      const natsStatus status = natsMsg_Ack(message, nullptr);
      if (status != NATS_OK) return tl::unexpected(uplink::nats_error(name_, status));
    }
    unsettled_.pop_front();
  }
  return {};
}

Result<void> NatsSource::refuse(std::uint64_t tag, const std::string& /*why*/) {
  const auto found =
      std::lower_bound(unsettled_.begin(), unsettled_.end(), tag,
                       [](const Unsettled& one, std::uint64_t wanted) { return one.tag < wanted; });
  if (found == unsettled_.end() || found->tag != tag || found->message == nullptr) return {};
  const natsStatus status = natsMsg_Term(found->message.get(), nullptr);
  found->message.reset();
  if (status == NATS_OK) return {};
  return tl::unexpected(uplink::nats_error(name_, status));
}

void NatsSource::disconnect() {
  fetched_.clear();
  unsettled_.clear();
  subscription_.reset();
  session_ = {};
}

}  // namespace

Result<std::unique_ptr<BrokerSource>> make_nats_source(const core::SourceConfig& config) {
  SPILLWAY_TRY(password, core::read_password(config.password_file));
  uplink::NatsAddress address{config.url, config.tls, std::move(password)};
  return std::unique_ptr<BrokerSource>(std::make_unique<NatsSource>(std::move(address), config));
}

}  // namespace spillway::consumer
