#include "uplink/consumer/sources/kafka_source.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <random>

#include "spillway/core/log.h"
#include "uplink/engines/kafka/kafka_admin.h"

namespace spillway::consumer {

namespace {

using core::Error;
using core::Result;
using uplink::kafka::Client;
using uplink::kafka::explain;
using uplink::kafka::left_ms;
using uplink::kafka::now_ns;
using uplink::kafka::PartitionList;
using uplink::kafka::Settings;

/// The mark in which the inbox's own number stands.
constexpr std::string_view kReaderMark = "reader";
constexpr std::string_view kNotePrefix = "spillway inbox ";
constexpr int kCommittedMs = 5000;
constexpr std::size_t kHeadersMax = 64;

bool is_pattern(const std::string& topic) { return topic.starts_with('^'); }

std::string mark_name(const std::string& topic, std::int32_t partition) {
  return topic + "/" + std::to_string(partition);
}

std::uint64_t random_number() {
  std::random_device device;
  // Positive in a database's signed integers.
  return ((static_cast<std::uint64_t>(device()) << 31U) ^ device()) | 1U;
}

bool passes_by_itself(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
         error == RD_KAFKA_RESP_ERR__TIMED_OUT || error == RD_KAFKA_RESP_ERR__PARTITION_EOF ||
         error == RD_KAFKA_RESP_ERR__RESOLVE;
}

std::string joined(const std::vector<std::string>& topics) {
  std::string text;
  for (const std::string& topic : topics) text += (text.empty() ? "" : ",") + topic;
  return text;
}

}  // namespace

Result<std::unique_ptr<BrokerSource>> make_kafka_source(const core::SourceConfig& config) {
  KafkaSourceSettings settings;
  settings.connection.brokers = config.url.hosts_text();
  settings.connection.user = config.url.user;
  settings.connection.password_file = config.password_file;
  settings.connection.mechanism = uplink::kafka::mechanism_of(config.sasl);
  settings.connection.secure = config.has_tls;
  settings.connection.tls = config.tls;
  settings.connection.client_id = "spillway-consumer";
  settings.topics = config.topics;
  settings.group = config.group;
  settings.instance = config.instance;
  return std::make_unique<KafkaSource>(std::move(settings));
}

KafkaSource::KafkaSource(KafkaSourceSettings settings)
    : settings_(std::move(settings)),
      name_("kafka://" + settings_.connection.brokers + " topic " + joined(settings_.topics) +
            " group " + settings_.group),
      lookup_([this](std::string_view name) -> std::optional<std::string_view> {
        for (const auto& [key, value] : headers_) {
          if (key == name) return value;
        }
        return std::nullopt;
      }) {}

// ---- the connection ----------------------------------------------------------------------------------

Result<void> KafkaSource::connect(std::uint64_t timeout_ns, const ReadMarks& read_marks) {
  disconnect();
  const std::uint64_t until_ns = now_ns() + timeout_ns;
  read_marks_ = &read_marks;
  Settings settings;
  settings.reach(settings_.connection).set("group.id", settings_.group);
  settings.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
  settings.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
  settings.set("partition.assignment.strategy", "cooperative-sticky");
  settings.set("session.timeout.ms", kSessionTimeoutMs).set("heartbeat.interval.ms", "1500");
  settings.set("queued.max.messages.kbytes", "16384").set("fetch.wait.max.ms", "100");
  if (!settings_.instance.empty()) settings.set("group.instance.id", settings_.instance);
  rd_kafka_conf_set_rebalance_cb(settings.get(), on_rebalance);
  SPILLWAY_TRY(client, Client::open(RD_KAFKA_CONSUMER, std::move(settings)));
  client_ = std::move(client);
  client_->set_owner(this);
  rd_kafka_poll_set_consumer(client_->get());
  SPILLWAY_CHECKED(check_topics(until_ns));
  polled_ns_ = committed_ns_ = now_ns();
  return subscribe();
}

Result<void> KafkaSource::check_topics(std::uint64_t until_ns) {
  for (const std::string& topic : settings_.topics) {
    if (is_pattern(topic)) continue;
    SPILLWAY_CHECKED(uplink::kafka::find_topic(*client_, topic, until_ns));
  }
  return {};
}

Result<void> KafkaSource::subscribe() {
  const PartitionList topics(
      rd_kafka_topic_partition_list_new(static_cast<int>(settings_.topics.size())));
  for (const std::string& topic : settings_.topics) {
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  }
  const auto error = rd_kafka_subscribe(client_->get(), topics.get());
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return tl::unexpected(explain(error, name_));
}

void KafkaSource::disconnect() {
  held_.clear();
  if (client_) {
    commit(true);
    rd_kafka_consumer_close(client_->get());
  }
  client_.reset();
  partitions_.clear();
  pending_.clear();
  headers_.clear();
  failure_.reset();
  paused_ = false;
  tag_ = 0;
}

// ---- which partitions are ours -----------------------------------------------------------------------

void KafkaSource::on_rebalance(rd_kafka_t* handle, rd_kafka_resp_err_t event,
                               rd_kafka_topic_partition_list_t* partitions, void* client) {
  auto& self = *static_cast<KafkaSource*>(static_cast<Client*>(client)->owner());
  switch (event) {
    case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
      return self.assign(*partitions);
    case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
      return self.revoke(*partitions);
    default:
      self.failure_ = explain(event, self.name_);
      rd_kafka_assign(handle, nullptr);
  }
}

void KafkaSource::assign(rd_kafka_topic_partition_list_t& partitions) {
  auto found = find_starts(partitions);
  if (!found) {
    // Nothing is read from a place that nobody knows: the connection begins anew.
    if (!failure_) failure_ = std::move(found).error();
    for (int i = 0; i < partitions.cnt; ++i) partitions.elems[i].offset = RD_KAFKA_OFFSET_END;
  }
  const uplink::kafka::KafkaError error(rd_kafka_incremental_assign(client_->get(), &partitions));
  if (error && !failure_) failure_ = explain(*error, name_);
  for (int i = 0; i < partitions.cnt && !failure_; ++i) {
    const rd_kafka_topic_partition_t& partition = partitions.elems[i];
    partitions_[{partition.topic, partition.partition}] = {};
  }
}

void KafkaSource::revoke(rd_kafka_topic_partition_list_t& partitions) {
  if (rd_kafka_assignment_lost(client_->get()) == 0) commit(true);
  for (int i = 0; i < partitions.cnt; ++i) {
    partitions_.erase({partitions.elems[i].topic, partitions.elems[i].partition});
  }
  std::erase_if(held_, [this](const Message& message) {
    return !partitions_.contains({rd_kafka_topic_name(message->rkt), message->partition});
  });
  const uplink::kafka::KafkaError error(rd_kafka_incremental_unassign(client_->get(), &partitions));
  if (error && !failure_) failure_ = explain(*error, name_);
}

Result<void> KafkaSource::find_starts(rd_kafka_topic_partition_list_t& partitions) {
  if (partitions.cnt == 0) return {};
  SPILLWAY_TRY(marks, (*read_marks_)());
  for (const InboxMark& mark : marks) {
    if (mark.partition == kReaderMark) reader_ = mark.position;
  }
  if (reader_ == 0) reader_ = random_number();
  const auto error = rd_kafka_committed(client_->get(), &partitions, kCommittedMs);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return tl::unexpected(explain(error, name_));
  for (int i = 0; i < partitions.cnt; ++i) {
    rd_kafka_topic_partition_t& partition = partitions.elems[i];
    if (partition.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return tl::unexpected(explain(partition.err, name_));
    }
    partition.offset = start_of(partition, marks);
  }
  return {};
}

/// The table in the header.
std::int64_t KafkaSource::start_of(const rd_kafka_topic_partition_t& partition,
                                   const std::vector<InboxMark>& marks) const {
  const std::string name = mark_name(partition.topic, partition.partition);
  const auto mark = std::find_if(marks.begin(), marks.end(),
                                 [&](const InboxMark& one) { return one.partition == name; });
  const bool is_marked = mark != marks.end();
  const std::int64_t marked = is_marked ? static_cast<std::int64_t>(mark->position) : 0;
  if (partition.offset < 0) return is_marked ? marked : RD_KAFKA_OFFSET_BEGINNING;
  const std::string_view said =
      partition.metadata == nullptr
          ? std::string_view()
          : std::string_view(static_cast<const char*>(partition.metadata), partition.metadata_size);
  if (said == note() && is_marked) return marked;
  return std::max(marked, partition.offset);
}

std::string KafkaSource::note() const { return std::string(kNotePrefix) + std::to_string(reader_); }

// ---- messages ----------------------------------------------------------------------------------------

Result<void> KafkaSource::fetch(std::uint64_t wait_ns, std::size_t messages_max,
                                const OnMessage& on_message) {
  if (now_ns() - committed_ns_ >= kCommitEveryNs) commit(false);
  if (messages_max == 0) {
    keep_alive();
  } else {
    if (paused_) pause(false);
    const std::uint64_t until_ns = now_ns() + wait_ns;
    for (std::size_t count = 0; count < messages_max && !failure_; ++count) {
      Message message;
      if (!held_.empty()) {
        message = std::move(held_.front());
        held_.pop_front();
      } else {
        const bool first = count == 0 && wait_ns != 0;
        message.reset(rd_kafka_consumer_poll(client_->get(), first ? left_ms(until_ns) : 0));
        polled_ns_ = now_ns();
      }
      if (!message) break;
      SPILLWAY_TRY(more, hand_over(*message, on_message));
      if (!more) break;
    }
  }
  note_trouble();
  if (failure_) return tl::unexpected(*failure_);
  return {};
}

Result<bool> KafkaSource::hand_over(const rd_kafka_message_t& message,
                                    const OnMessage& on_message) {
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (passes_by_itself(message.err)) return true;
    return tl::unexpected(explain(message.err, name_, rd_kafka_message_errstr(&message)));
  }
  read_headers(message);
  const auto* const payload = static_cast<const std::byte*>(message.payload);
  pending_.push_back({++tag_,
                      {rd_kafka_topic_name(message.rkt), message.partition},
                      static_cast<std::uint64_t>(message.offset) + 1});
  client_->forget_trouble();
  return on_message({tag_, &lookup_, {payload, payload == nullptr ? 0 : message.len}});
}

void KafkaSource::read_headers(const rd_kafka_message_t& message) {
  headers_.clear();
  rd_kafka_headers_t* list = nullptr;
  if (rd_kafka_message_headers(&message, &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < kHeadersMax; ++i) {
    if (rd_kafka_header_get_all(list, i, &name, &value, &bytes) != RD_KAFKA_RESP_ERR_NO_ERROR)
      return;
    headers_.emplace_back(
        name, std::string_view(static_cast<const char*>(value), value == nullptr ? 0 : bytes));
  }
}

/// The group takes a member that does not ask for messages for dead, so it asks, and keeps what comes.
void KafkaSource::keep_alive() {
  if (now_ns() - polled_ns_ < kKeepAliveNs) return;
  if (!paused_) pause(true);
  polled_ns_ = now_ns();
  Message message(rd_kafka_consumer_poll(client_->get(), 0));
  if (message) held_.push_back(std::move(message));
}

void KafkaSource::pause(bool paused) {
  paused_ = paused;
  const PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions_.size())));
  for (const auto& [id, partition] : partitions_) {
    rd_kafka_topic_partition_list_add(list.get(), id.first.c_str(), id.second);
  }
  if (paused) {
    rd_kafka_pause_partitions(client_->get(), list.get());
  } else {
    rd_kafka_resume_partitions(client_->get(), list.get());
  }
}

/// librdkafka goes on trying by itself; a person should know what it tries.
void KafkaSource::note_trouble() {
  const auto& trouble = client_->trouble();
  if (trouble && client_->hopeless() && !failure_) failure_ = *trouble;
  const std::string text = trouble ? trouble->message : "";
  if (text == logged_) return;
  logged_ = text;
  if (!text.empty()) spdlog::warn("source {}: {}", name_, text);
}

// ---- what is done ------------------------------------------------------------------------------------

Result<void> KafkaSource::settle(std::uint64_t tag) {
  while (!pending_.empty() && pending_.front().tag <= tag) {
    const Pending& done = pending_.front();
    const auto found = partitions_.find(done.partition);
    if (found != partitions_.end()) {
      found->second = {std::max(found->second.settled, done.next_offset), false};
    }
    pending_.pop_front();
  }
  return {};
}

Result<void> KafkaSource::refuse(std::uint64_t /*tag*/, const std::string& /*why*/) { return {}; }

std::vector<InboxMark> KafkaSource::marks(std::uint64_t /*tag*/) {
  std::vector<InboxMark> marks;
  for (auto& [id, partition] : partitions_) {
    if (partition.settled == 0) continue;
    marks.push_back({name_, mark_name(id.first, id.second), partition.settled});
  }
  if (!marks.empty() && reader_ != 0) marks.push_back({name_, std::string(kReaderMark), reader_});
  return marks;
}

/// To the group: what has been settled since the last time.
void KafkaSource::commit(bool waits) {
  committed_ns_ = now_ns();
  const PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions_.size())));
  const std::string text = note();
  for (auto& [id, partition] : partitions_) {
    if (partition.committed || partition.settled == 0) continue;
    partition.committed = true;
    auto* offset = rd_kafka_topic_partition_list_add(list.get(), id.first.c_str(), id.second);
    offset->offset = static_cast<std::int64_t>(partition.settled);
    offset->metadata = strdup(text.c_str());  // the list frees it
    offset->metadata_size = text.size();
  }
  if (list->cnt == 0) return;
  // Where it fails the inbox's marks say as much, and the next one says it again.
  static_cast<void>(rd_kafka_commit(client_->get(), list.get(), waits ? 0 : 1));
}

}  // namespace spillway::consumer
