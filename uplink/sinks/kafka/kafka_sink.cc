#include "uplink/sinks/kafka/kafka_sink.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "uplink/engines/kafka/kafka_admin.h"
#include "uplink/sinks/kafka/topic_template.h"

namespace spillway::uplink::kafka {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

constexpr std::uint64_t kMillisecond = 1'000'000;
/// How long brokers wait for a silent sink before they void its transaction; until then a reader with
/// read_committed does not get past it. A sink that starts again ends it at once.
constexpr const char* kTransactionTimeoutMs = "30000";
/// What librdkafka and Kafka allow a message by default; the topic's own setting comes at connect().
constexpr std::size_t kMessageBytesDefault = 1'000'000;
constexpr std::size_t kBatchBytesMax = 1'000'000;
/// A message's own overhead in a batch, and each header's, at most.
constexpr std::size_t kMessageOverhead = 128;
constexpr std::size_t kHeaderOverhead = 10;
/// One step of a commit waits at least so long for its answer, and all of them together at most so
/// long before the connection is given up.
constexpr int kStepMs = 200;
constexpr std::uint64_t kClosingNsMax = 20'000'000'000;
constexpr int kAbortMs = 1000;
constexpr std::uint64_t kReconnectNs = 5'000'000'000;
/// What waits in librdkafka is sent after so long, or with a full batch.
constexpr const char* kLingerMs = "5";

std::size_t bytes_of(const SinkMessage& message, const std::vector<EnvelopeHeader>& headers) {
  std::size_t bytes = message.key.size() + message.payload.size() + kMessageOverhead;
  for (const EnvelopeHeader& header : headers) {
    bytes += header.first.size() + header.second.size() + kHeaderOverhead;
  }
  return bytes;
}

/// Behind the message all below this is told; 0: it moves nothing.
std::uint64_t behind(const Envelope& envelope) {
  switch (envelope.kind) {
    case EnvelopeKind::kRecord:
      return envelope.offset + 1;
    case EnvelopeKind::kBlocks:
    case EnvelopeKind::kGap:
      return envelope.next_offset;
    default:
      return 0;
  }
}

/// The brokers' word on one record, or on its batch: sending it again would change nothing.
bool is_verdict(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
         error == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE || error == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
         error == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP ||
         error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE || error == RD_KAFKA_RESP_ERR__BAD_MSG;
}

/// librdkafka copies what it is given, and takes it as something that could be changed.
auto memory(const void* bytes, std::size_t size) {
  decltype(rd_kafka_vu_t::u.mem) memory{};
  memory.ptr = const_cast<void*>(bytes);
  memory.size = size;
  return memory;
}

SinkOutcome stored(std::uint64_t ticket) { return {ticket, SinkOutcome::Kind::kStored, {}}; }

SinkOutcome refused(std::uint64_t ticket, std::string reason) {
  return {ticket, SinkOutcome::Kind::kRefused, std::move(reason)};
}

}  // namespace

KafkaSink::KafkaSink(KafkaSettings settings)
    : settings_(std::move(settings)),
      pacer_(settings_.commit_interval_ns, {settings_.window_messages, settings_.window_bytes}) {}

// ---- the connection ----------------------------------------------------------------------------------

void KafkaSink::introduce(const Origin& gateway) {
  settings_.gateway = gateway.gateway.text();
  settings_.gateway_name = gateway.gateway_name.empty() ? settings_.gateway : gateway.gateway_name;
}

Result<void> KafkaSink::connect(std::uint64_t timeout_ns) {
  disconnect();
  const std::uint64_t until_ns = now_ns() + timeout_ns;
  if (settings_.message_bytes_max != 0) message_bytes_max_ = settings_.message_bytes_max;
  if (message_bytes_max_ == 0) message_bytes_max_ = kMessageBytesDefault;
  SPILLWAY_CHECKED(open_client());
  SPILLWAY_CHECKED(check_topic(until_ns));
  if (settings_.transactions) SPILLWAY_CHECKED(take_over(until_ns));
  client_->forget_trouble();
  return {};
}

Result<void> KafkaSink::open_client() {
  Settings settings;
  settings.reach(settings_.connection);
  settings.set("enable.idempotence", "true").set("acks", "all");
  settings.set("partitioner", "murmur2_random");  // as Kafka's own clients place a key
  settings.set("compression.codec", settings_.compression).set("linger.ms", kLingerMs);
  settings.set("message.max.bytes", std::to_string(message_bytes_max_));
  settings.set("batch.size", std::to_string(std::min(message_bytes_max_, kBatchBytesMax)));
  settings.set("queue.buffering.max.kbytes", std::to_string(settings_.queue_bytes >> 10U));
  settings.set("queue.buffering.max.messages", std::to_string(kOwedMax));
  settings.set("topic.metadata.propagation.max.ms", "5000");
  settings.set("message.timeout.ms", kTransactionTimeoutMs).set("request.timeout.ms", "10000");
  if (singles_left_ > 0) settings.set("batch.num.messages", "1");
  if (settings_.transactions) {
    settings.set("transactional.id", settings_.identity());
    settings.set("transaction.timeout.ms", kTransactionTimeoutMs);
    // The commit answers for all of them.
    settings.set("delivery.report.only.error", "true");
  }
  SPILLWAY_TRY(client, Client::open(RD_KAFKA_PRODUCER, std::move(settings),
                                    [this](const auto& message) { delivered(message); }));
  client_ = std::move(client);
  return {};
}

Result<void> KafkaSink::check_topic(std::uint64_t until_ns) {
  const std::string topic = settings_.home_topic();
  SPILLWAY_TRY(facts, find_topic(*client_, topic, until_ns));
  (void)facts;
  if (settings_.message_bytes_max != 0) return {};
  SPILLWAY_TRY(settings, topic_settings(*client_, topic, until_ns));
  const std::string& text = settings["max.message.bytes"];
  std::size_t limit = kMessageBytesDefault;
  std::from_chars(text.data(), text.data() + text.size(), limit);
  limit = std::clamp<std::size_t>(limit, 1000, 1'000'000'000);
  if (limit == message_bytes_max_) return {};
  // The client's own limit is set when it is made.
  message_bytes_max_ = limit;
  return open_client();
}

Result<void> KafkaSink::take_over(std::uint64_t until_ns) {
  const std::string on = "transactional id " + settings_.identity();
  const KafkaError error(rd_kafka_init_transactions(client_->get(), left_ms(until_ns)));
  client_->poll(0);
  if (error && client_->hopeless()) return tl::unexpected(*client_->trouble());
  if (error) return tl::unexpected(explain(*error, on));
  SPILLWAY_TRY(text, group_text(settings_.connection, settings_.identity(), settings_.home_topic(),
                                until_ns));
  stored_ = StoredPositions(text);
  reached_ = stored_;
  return {};
}

void KafkaSink::disconnect() {
  if (client_ && stage_ != Stage::kIdle) {
    // So that no reader waits until the brokers void it by themselves.
    rd_kafka_purge(client_->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    if (!failure_) {
      const KafkaError error(rd_kafka_abort_transaction(client_->get(), kAbortMs));
    }
  }
  pacer_.aborted();
  stage_ = Stage::kIdle;
  failure_.reset();
  hindrance_.clear();
  ready_.clear();
  owed_.clear();
  topics_.clear();
  client_.reset();
}

// ---- offering ----------------------------------------------------------------------------------------

Result<Offered> KafkaSink::offer(const SinkMessage& message) {
  SPILLWAY_CHECKED(check_health());
  const bool closing = stage_ == Stage::kPositions || stage_ == Stage::kCommit;
  if (closing || owed_.size() >= kOwedMax) return Offered::kFull;
  if (pacer_.open() && pacer_.full()) return Offered::kFull;
  const Envelope& envelope = *message.envelope;
  const std::vector<EnvelopeHeader> headers = write_envelope(envelope);
  const std::size_t bytes = bytes_of(message, headers);
  const Identity identity{StoredPositions::key_of(envelope), envelope.offset};
  if (auto outcome = foretell(message, identity, bytes)) {
    ready_.push_back(std::move(*outcome));
    return Offered::kTaken;
  }
  if (settings_.transactions) SPILLWAY_CHECKED(open_transaction());
  owed_.push_back({message.ticket, identity});
  auto produced = produce(message, headers);
  if (!produced || !*produced) owed_.pop_back();
  if (!produced) return tl::unexpected(std::move(produced).error());
  if (!*produced) return Offered::kFull;
  pacer_.took(bytes);
  if (const std::uint64_t next = behind(envelope); next != 0)
    reached_.advance(identity.first, next);
  return Offered::kTaken;
}

std::optional<SinkOutcome> KafkaSink::foretell(const SinkMessage& message, Identity identity,
                                               std::size_t bytes) const {
  const Envelope& envelope = *message.envelope;
  if (bytes > message_bytes_max_) {
    return refused(message.ticket, "with its headers it has " + std::to_string(bytes) +
                                       " bytes, and the topic takes max.message.bytes = " +
                                       std::to_string(message_bytes_max_));
  }
  const bool is_content =
      envelope.kind == EnvelopeKind::kRecord || envelope.kind == EnvelopeKind::kBlocks;
  if (!is_content) return std::nullopt;
  if (refused_.contains(identity)) return refused(message.ticket, refusal_);
  if (!settings_.transactions || behind(envelope) > stored_.find(identity.first)) {
    return std::nullopt;
  }
  return stored(message.ticket);
}

Result<void> KafkaSink::open_transaction() {
  if (stage_ == Stage::kOpen) return {};
  const KafkaError error(rd_kafka_begin_transaction(client_->get()));
  if (error) return tl::unexpected(explain(*error, "a transaction"));
  stage_ = Stage::kOpen;
  pacer_.opened(now_ns());
  return {};
}

Result<rd_kafka_topic_t*> KafkaSink::topic_of(const Envelope& envelope) {
  const std::string& gateway =
      envelope.gateway_name.empty() ? settings_.gateway_name : envelope.gateway_name;
  const std::string name =
      is_plain(settings_.topic)
          ? settings_.topic
          : expand_topic(settings_.topic, gateway, envelope.stream,
                         envelope.topic.empty() ? kNoTopic : std::string_view(envelope.topic));
  const auto found = topics_.find(name);
  if (found != topics_.end()) return found->second.get();
  if (topics_.size() >= kTopicsMax) topics_.clear();
  TopicHandle topic(rd_kafka_topic_new(client_->get(), name.c_str(), nullptr));
  if (!topic) return tl::unexpected(explain(rd_kafka_last_error(), "topic " + name));
  return topics_.emplace(name, std::move(topic)).first->second.get();
}

/// False: librdkafka's queue is full.
Result<bool> KafkaSink::produce(const SinkMessage& message,
                                const std::vector<EnvelopeHeader>& headers) {
  SPILLWAY_TRY(topic, topic_of(*message.envelope));
  rd_kafka_headers_t* list = rd_kafka_headers_new(headers.size() + 1);
  for (const auto& [name, value] : headers) {
    rd_kafka_header_add(list, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                        static_cast<ssize_t>(value.size()));
  }
  if (!message.content_type.empty()) {
    rd_kafka_header_add(list, "content-type", -1, message.content_type.data(),
                        static_cast<ssize_t>(message.content_type.size()));
  }
  const std::int64_t time_ms =
      message.envelope->utc_ns ? static_cast<std::int64_t>(*message.envelope->utc_ns / kMillisecond)
                               : 0;
  const std::uintptr_t number = owed_first_ + owed_.size() - 1;
  std::array<rd_kafka_vu_t, 7> parts{};
  parts[0] = {.vtype = RD_KAFKA_VTYPE_RKT, .u = {.rkt = topic}};
  parts[1] = {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u = {.i = RD_KAFKA_MSG_F_COPY}};
  parts[2] = {.vtype = RD_KAFKA_VTYPE_KEY,
              .u = {.mem = memory(message.key.data(), message.key.size())}};
  parts[3] = {.vtype = RD_KAFKA_VTYPE_VALUE,
              .u = {.mem = memory(message.payload.data(), message.payload.size())}};
  parts[4] = {.vtype = RD_KAFKA_VTYPE_HEADERS, .u = {.headers = list}};
  parts[5] = {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u = {.i64 = time_ms}};
  parts[6] = {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u = {.ptr = reinterpret_cast<void*>(number)}};
  const KafkaError error(rd_kafka_produceva(client_->get(), parts.data(), parts.size()));
  if (!error) return true;
  rd_kafka_headers_destroy(list);
  if (rd_kafka_error_code(error.get()) == RD_KAFKA_RESP_ERR__QUEUE_FULL) return false;
  return tl::unexpected(explain(*error, std::string("topic ") + rd_kafka_topic_name(topic)));
}

// ---- what becomes of it ------------------------------------------------------------------------------

void KafkaSink::delivered(const rd_kafka_message_t& message) {
  const auto number = reinterpret_cast<std::uintptr_t>(message._private);
  const std::uintptr_t index = number - owed_first_;
  if (index >= owed_.size() || failure_) return;
  Owed& owed = owed_[index];
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    failed(owed, message);
    if (failure_) return;
  } else {
    client_->forget_trouble();
    ready_.push_back(stored(owed.ticket));
  }
  owed.done = true;
  while (!owed_.empty() && owed_.front().done) {
    owed_.pop_front();
    ++owed_first_;
  }
}

void KafkaSink::failed(Owed& owed, const rd_kafka_message_t& message) {
  const std::string on =
      std::string("topic ") + (message.rkt == nullptr ? "?" : rd_kafka_topic_name(message.rkt));
  if (!is_verdict(message.err)) {
    failure_ = explain(message.err, on);
    return;
  }
  refusal_ = std::string("the brokers refuse it: ") + rd_kafka_err2str(message.err);
  if (singles_left_ > 0 && !settings_.transactions) {
    ready_.push_back(refused(owed.ticket, refusal_));
    return;
  }
  // Alone in its batch it is the bad one itself; and a transaction with it cannot be committed.
  if (singles_left_ > 0) refused_.insert(owed.identity);
  if (refused_.size() > kRefusedMax) refused_.erase(refused_.begin());
  singles_left_ = kSingleRecords;
  failure_ = {ErrorCode::kUnavailable,
              on + ": a batch was refused (" + rd_kafka_err2str(message.err) +
                  "); its records are sent one by one, so that only the bad one is refused"};
}

Result<void> KafkaSink::check_health() const {
  if (failure_) return tl::unexpected(*failure_);
  if (!client_) return fail(ErrorCode::kUnavailable, "not connected");
  std::array<char, 512> reason{};
  const auto fatal = rd_kafka_fatal_error(client_->get(), reason.data(), reason.size());
  if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return tl::unexpected(explain(fatal, "the producer", reason.data()));
  }
  // Without transactions only this very producer can repeat what is on its way without doubles: it
  // waits until its messages are too old.
  const bool give_up = client_->hopeless() || settings_.transactions || owed_.empty();
  if (client_->all_brokers_down() && give_up) return tl::unexpected(*client_->trouble());
  return {};
}

Result<void> KafkaSink::collect(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) {
  SPILLWAY_CHECKED(check_health());
  client_->poll(0);
  if (ready_.empty()) {
    const std::uint64_t until_ns = now_ns() + wait_ns;
    if (settings_.transactions) {
      SPILLWAY_CHECKED(close_transaction(until_ns));
    } else {
      do {
        client_->poll(wait_ns == 0 ? 0 : left_ms(until_ns));
      } while (ready_.empty() && !failure_ && now_ns() < until_ns);
    }
  }
  SPILLWAY_CHECKED(check_health());
  hand_out(outcomes);
  note_hindrance();
  return leave_single_records();
}

/// Until the time is over or the open transaction has been committed.
Result<void> KafkaSink::close_transaction(std::uint64_t until_ns) {
  while (true) {
    client_->poll(0);
    SPILLWAY_CHECKED(check_health());
    const bool delivered = rd_kafka_outq_len(client_->get()) == 0;
    const std::uint64_t now = now_ns();
    if (stage_ == Stage::kOpen && pacer_.close_due(now, delivered)) {
      stage_ = Stage::kPositions;
      closing_since_ns_ = now;
    }
    if (stage_ == Stage::kPositions && delivered) SPILLWAY_CHECKED(send_positions());
    if (stage_ == Stage::kCommit) SPILLWAY_CHECKED(commit());
    if (!ready_.empty() || now_ns() >= until_ns) return {};
    client_->poll(wait_ms(until_ns));
  }
}

/// Until something may have to be done.
int KafkaSink::wait_ms(std::uint64_t until_ns) const {
  constexpr int kDeliveryCheckMs = 2;
  const bool waits_for_delivery = stage_ != Stage::kIdle && rd_kafka_outq_len(client_->get()) > 0;
  if (waits_for_delivery) return std::min(kDeliveryCheckMs, left_ms(until_ns));
  if (stage_ != Stage::kOpen) return left_ms(until_ns);
  const std::uint64_t now = now_ns();
  return left_ms(std::min(until_ns, now + pacer_.close_in_ns(now)));
}

Result<void> KafkaSink::send_positions() {
  const std::string text = reached_.text();
  const std::string topic = settings_.home_topic();
  const PartitionList offsets(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_t* offset =
      rd_kafka_topic_partition_list_add(offsets.get(), topic.c_str(), 0);
  offset->offset = static_cast<std::int64_t>(reached_.highest());
  // The list frees it with free().
  offset->metadata = strdup(text.c_str());
  offset->metadata_size = text.size();
  const GroupMetadata group(rd_kafka_consumer_group_metadata_new(settings_.identity().c_str()));
  const KafkaError error(
      rd_kafka_send_offsets_to_transaction(client_->get(), offsets.get(), group.get(), kStepMs));
  SPILLWAY_TRY(done, step_done(error, "group " + settings_.identity()));
  if (done) stage_ = Stage::kCommit;
  return {};
}

Result<void> KafkaSink::commit() {
  const KafkaError error(rd_kafka_commit_transaction(client_->get(), kStepMs));
  SPILLWAY_TRY(done, step_done(error, "transaction of " + settings_.identity()));
  if (!done) return {};
  stage_ = Stage::kIdle;
  pacer_.committed(now_ns());
  client_->forget_trouble();
  for (const Owed& owed : owed_) ready_.push_back(stored(owed.ticket));
  owed_first_ += owed_.size();
  owed_.clear();
  return {};
}

/// False: the brokers have not answered yet, the same step again.
Result<bool> KafkaSink::step_done(const KafkaError& error, const std::string& on) const {
  if (failure_) return tl::unexpected(*failure_);
  if (!error) return true;
  const bool again = rd_kafka_error_is_retriable(error.get()) != 0 &&
                     rd_kafka_error_txn_requires_abort(error.get()) == 0;
  if (again && now_ns() - closing_since_ns_ < kClosingNsMax) return false;
  return tl::unexpected(explain(*error, on));
}

/// Why nothing is confirmed, though nothing has failed yet.
void KafkaSink::note_hindrance() {
  if (now_ns() < client_->throttled_until_ns()) {
    hindrance_ = "the brokers throttle this client: a request waits " +
                 std::to_string(client_->throttled_ms()) + " ms";
  } else if (client_->all_brokers_down() && !owed_.empty()) {
    hindrance_ = client_->trouble()->message;
  } else {
    hindrance_.clear();
  }
}

void KafkaSink::hand_out(std::vector<SinkOutcome>& outcomes) {
  if (singles_left_ > 0) singles_left_ -= std::min(singles_left_ - 1, ready_.size());
  outcomes.insert(outcomes.end(), std::make_move_iterator(ready_.begin()),
                  std::make_move_iterator(ready_.end()));
  ready_.clear();
}

/// Nothing is owed at this moment, and the bad records are behind: batches again.
Result<void> KafkaSink::leave_single_records() {
  if (singles_left_ != 1 || !owed_.empty() || stage_ != Stage::kIdle) return {};
  singles_left_ = 0;
  refused_.clear();
  return connect(kReconnectNs);
}

}  // namespace spillway::uplink::kafka
