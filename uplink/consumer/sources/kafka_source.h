// KafkaSource: what gateways have put into Kafka topics, read as a member of a consumer group, so that
// several consumers share the partitions.
//
// Where a partition is read on is stored in the inbox (marks), and for Kafka's own tools and for other
// consumers' inboxes committed to the group, too, with a note that says which inbox it is of:
//
//   the group's offset is of this inbox      -> the inbox's mark, be it lower: a restored inbox reads again
//   of another inbox, or of somebody else    -> the higher of both
//   neither is there                         -> the partition's beginning
//
// One thread calls it, its SourceRunner's; callbacks of librdkafka run in fetch().
//
// Invariants:
//  1. Only what was settled is committed and marked, and only with all before it in its partition.
//  2. Only committed transactions are read.
//  3. A partition that was taken away is neither committed nor marked any more: its next reader's word
//     counts.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spillway/core/source_config.h"
#include "uplink/consumer/sources/broker_source.h"
#include "uplink/engines/kafka/kafka_connection.h"

namespace spillway::consumer {

struct KafkaSourceSettings {
  uplink::kafka::Connection connection;
  std::vector<std::string> topics;  // one that begins with ^ is a regular expression
  std::string group = "spillway-consumer";
  std::string instance;  // of the group: a restarted one gets its partitions back at once
};

[[nodiscard]] core::Result<std::unique_ptr<BrokerSource>> make_kafka_source(
    const core::SourceConfig& config);

class KafkaSource final : public BrokerSource {
 public:
  /// Members that are silent for so long lose their partitions.
  static constexpr const char* kSessionTimeoutMs = "6000";
  static constexpr std::uint64_t kCommitEveryNs = 1'000'000'000;
  /// While nothing is wanted the group is told so often that this member lives.
  static constexpr std::uint64_t kKeepAliveNs = 60'000'000'000;

  explicit KafkaSource(KafkaSourceSettings settings);
  ~KafkaSource() override { disconnect(); }

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] core::Result<void> connect(std::uint64_t timeout_ns,
                                           const ReadMarks& read_marks) override;
  [[nodiscard]] core::Result<void> fetch(std::uint64_t wait_ns, std::size_t messages_max,
                                         const OnMessage& on_message) override;
  [[nodiscard]] core::Result<void> settle(std::uint64_t tag) override;
  /// Passed over: it stands in its topic as long as that keeps it.
  [[nodiscard]] core::Result<void> refuse(std::uint64_t tag, const std::string& why) override;
  [[nodiscard]] std::vector<InboxMark> marks(std::uint64_t tag) override;
  void disconnect() override;

 private:
  using Message =
      std::unique_ptr<rd_kafka_message_t, uplink::kafka::Destroy<rd_kafka_message_destroy>>;
  using PartitionId = std::pair<std::string, std::int32_t>;
  struct Partition {
    std::uint64_t settled = 0;  // all below it
    bool committed = true;      // and the group knows
  };
  /// Handed over and not settled.
  struct Pending {
    std::uint64_t tag = 0;
    PartitionId partition;
    std::uint64_t next_offset = 0;
  };

  [[nodiscard]] core::Result<void> check_topics(std::uint64_t until_ns);
  [[nodiscard]] core::Result<void> subscribe();
  static void on_rebalance(rd_kafka_t* handle, rd_kafka_resp_err_t event,
                           rd_kafka_topic_partition_list_t* partitions, void* client);
  void assign(rd_kafka_topic_partition_list_t& partitions);
  void revoke(rd_kafka_topic_partition_list_t& partitions);
  [[nodiscard]] core::Result<void> find_starts(rd_kafka_topic_partition_list_t& partitions);
  [[nodiscard]] std::int64_t start_of(const rd_kafka_topic_partition_t& partition,
                                      const std::vector<InboxMark>& marks) const;

  /// False: no more in this call.
  [[nodiscard]] core::Result<bool> hand_over(const rd_kafka_message_t& message,
                                             const OnMessage& on_message);
  void read_headers(const rd_kafka_message_t& message);
  void keep_alive();
  void pause(bool paused);
  void commit(bool waits);
  void note_trouble();
  [[nodiscard]] std::string note() const;

  const KafkaSourceSettings settings_;
  std::string name_;
  std::unique_ptr<uplink::kafka::Client> client_;
  const ReadMarks* read_marks_ = nullptr;
  std::uint64_t reader_ = 0;                     // the inbox's own number, for the group's notes
  std::map<PartitionId, Partition> partitions_;  // those that are ours now
  std::deque<Pending> pending_;
  std::uint64_t tag_ = 0;
  std::optional<core::Error> failure_;
  std::string logged_;

  std::deque<Message> held_;  // came while nothing was wanted
  bool paused_ = false;
  std::uint64_t polled_ns_ = 0;
  std::uint64_t committed_ns_ = 0;

  std::vector<std::pair<std::string_view, std::string_view>> headers_;
  uplink::HeaderLookup lookup_;
};

}  // namespace spillway::consumer
