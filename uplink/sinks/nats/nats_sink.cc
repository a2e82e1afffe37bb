#include "uplink/sinks/nats/nats_sink.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "spillway/core/secret_file.h"
#include "uplink/engines/nats/nats_connection.h"
#include "uplink/sinks/message_name.h"
#include "uplink/sinks/nats/nats_subject.h"

namespace spillway::uplink {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

/// So long nothing may be acknowledged while something is on its way.
constexpr std::chrono::seconds kAckTimeout{30};

using Clock = std::chrono::steady_clock;

class NatsSink final : public Sink {
 public:
  NatsSink(NatsAddress address, const core::NatsConfig& config, std::uint64_t window_messages)
      : address_(std::move(address)), config_(config), window_(window_messages) {}
  ~NatsSink() override { disconnect(); }

  Result<void> connect(std::uint64_t timeout_ns) override;
  Result<Offered> offer(const SinkMessage& message) override;
  Result<void> collect(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) override;
  void disconnect() override;

 private:
  [[nodiscard]] std::string what() const { return "NATS at " + address_.url.hosts_text(); }
  [[nodiscard]] Result<void> find_stream();
  [[nodiscard]] Result<NatsPointer<natsMsg>> make_message(const SinkMessage& message) const;
  [[nodiscard]] Result<void> take(const NatsAck& ack, std::vector<SinkOutcome>& outcomes);
  [[nodiscard]] Result<void> check_patience() const;
  [[nodiscard]] core::Error explain(core::Error error) const;
  void refuse(const SinkMessage& message, std::string reason);

  NatsAddress address_;
  core::NatsConfig config_;
  std::uint64_t window_;
  NatsSession session_;
  std::unordered_map<const natsMsg*, std::uint64_t> on_way_;  // their tickets
  Clock::time_point heard_;           // when the last one was acknowledged, or the first was sent
  std::vector<SinkOutcome> refused_;  // without having been sent
};

Result<void> NatsSink::connect(std::uint64_t timeout_ns) {
  disconnect();
  SPILLWAY_TRY(session, connect_nats(address_, timeout_ns));
  session_ = std::move(session);
  auto found = find_stream();
  if (!found) disconnect();
  return found;
}

/// A subject that no stream takes would be acknowledged by nobody.
Result<void> NatsSink::find_stream() {
  jsStreamInfo* raw = nullptr;
  jsErrCode code{};
  const natsStatus status =
      js_GetStreamInfo(&raw, session_.context.get(), config_.stream.c_str(), nullptr, &code);
  const NatsPointer<jsStreamInfo> info(raw);
  if (status == NATS_OK) return {};
  return tl::unexpected(explain(nats_error(what() + ": stream " + config_.stream, status, code)));
}

core::Error NatsSink::explain(core::Error error) const {
  if (error.code == ErrorCode::kNotFound) {
    error.message += "; `spillway sink setup` makes the stream " + config_.stream +
                     ", and the server needs JetStream (-js)";
  }
  if (error.code == ErrorCode::kFull) {
    error.message += "; the stream takes no more: consume, or raise its limits";
  }
  return error;
}

Result<NatsPointer<natsMsg>> NatsSink::make_message(const SinkMessage& message) const {
  natsMsg* raw = nullptr;
  const std::string subject = fill_in(config_.subject, *message.envelope, write_subject_tokens);
  const auto* bytes = reinterpret_cast<const char*>(message.payload.data());
  natsStatus status = natsMsg_Create(&raw, subject.c_str(), nullptr, bytes,
                                     static_cast<int>(message.payload.size()));
  NatsPointer<natsMsg> made(raw);
  const auto set = [&](const char* name, const std::string& value) {
    if (status == NATS_OK) status = natsMsgHeader_Set(raw, name, value.c_str());
  };
  set("Nats-Msg-Id", message_id(*message.envelope));
  set("Content-Type", std::string(message.content_type));
  for (const auto& [name, value] : write_envelope(*message.envelope)) {
    set(std::string(name).c_str(), value);
  }
  if (status != NATS_OK) return tl::unexpected(nats_error(what(), status));
  return made;
}

void NatsSink::refuse(const SinkMessage& message, std::string reason) {
  refused_.push_back({message.ticket, SinkOutcome::Kind::kRefused, std::move(reason)});
}

Result<Offered> NatsSink::offer(const SinkMessage& message) {
  if (session_.context == nullptr) return fail(ErrorCode::kUnavailable, what() + ": not connected");
  if (const auto failure = session_.events->failure()) return tl::unexpected(explain(*failure));
  if (on_way_.size() + refused_.size() >= window_) return Offered::kFull;
  const std::int64_t bytes_max = natsConnection_GetMaxPayload(session_.connection.get());
  if (static_cast<std::int64_t>(message.payload.size()) > bytes_max) {
    refuse(message, "larger than the server takes (max_payload " + std::to_string(bytes_max) + ")");
    return Offered::kTaken;
  }
  SPILLWAY_TRY(made, make_message(message));
  natsMsg* raw = made.get();
  if (on_way_.empty()) heard_ = Clock::now();
  on_way_.emplace(raw, message.ticket);
  const natsStatus status = js_PublishMsgAsync(session_.context.get(), &raw, nullptr);
  if (status == NATS_OK) {
    static_cast<void>(made.release());  // it is the library's until it is acknowledged
    return Offered::kTaken;
  }
  on_way_.erase(made.get());
  if (status != NATS_MAX_PAYLOAD) return tl::unexpected(explain(nats_error(what(), status)));
  refuse(message, "with its headers larger than the server takes (max_payload " +
                      std::to_string(bytes_max) + ")");
  return Offered::kTaken;
}

Result<void> NatsSink::take(const NatsAck& ack, std::vector<SinkOutcome>& outcomes) {
  const auto found = on_way_.find(ack.message.get());
  if (found == on_way_.end()) return {};  // of a connection that was given up
  const std::uint64_t ticket = found->second;
  heard_ = Clock::now();
  if (ack.status == NATS_OK) {
    on_way_.erase(found);
    outcomes.push_back({ticket, SinkOutcome::Kind::kStored, {}});
    return {};
  }
  auto error =
      nats_error(what() + ": stream " + config_.stream, ack.status, ack.code, ack.text.c_str());
  if (error.code != ErrorCode::kRefused) return tl::unexpected(explain(std::move(error)));
  on_way_.erase(found);
  outcomes.push_back({ticket, SinkOutcome::Kind::kRefused, std::move(error.message)});
  return {};
}

Result<void> NatsSink::collect(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) {
  if (session_.events == nullptr) return fail(ErrorCode::kUnavailable, what() + ": not connected");
  const bool some = !refused_.empty();
  std::move(refused_.begin(), refused_.end(), std::back_inserter(outcomes));
  refused_.clear();
  for (const NatsAck& ack : session_.events->take(some ? 0 : wait_ns)) {
    SPILLWAY_CHECKED(take(ack, outcomes));
  }
  if (const auto failure = session_.events->failure()) return tl::unexpected(explain(*failure));
  return check_patience();
}

/// The server says nothing where it has lost a message on its way into the stream.
Result<void> NatsSink::check_patience() const {
  if (on_way_.empty() || Clock::now() - heard_ < kAckTimeout) return {};
  return fail(ErrorCode::kUnavailable, what() + ": no acknowledgement for " +
                                           std::to_string(kAckTimeout.count()) +
                                           " s: does the stream " + config_.stream +
                                           " take the subject " + config_.subject + "?");
}

void NatsSink::disconnect() {
  session_ = {};
  on_way_.clear();
  refused_.clear();
}

}  // namespace

Result<NatsAddress> nats_address(const core::UplinkConfig& uplink) {
  SPILLWAY_TRY(password, core::read_password(uplink.engine.password_file));
  return NatsAddress{uplink.engine.url, uplink.tls, std::move(password)};
}

Result<std::unique_ptr<Sink>> make_nats_sink(const core::UplinkConfig& uplink) {
  SPILLWAY_TRY(address, nats_address(uplink));
  return std::unique_ptr<Sink>(std::make_unique<NatsSink>(std::move(address), uplink.engine.nats,
                                                          uplink.engine.window_messages));
}

}  // namespace spillway::uplink
