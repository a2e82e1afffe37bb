// KafkaSink: records into Kafka by an idempotent producer with acks=all, in transactions.
//
// A transaction holds the records and, as the offset of a consumer group, how far each stream has come
// (StoredPositions). A sink that starts again takes over the transactional id: from then on nothing of
// its predecessor's can land any more, and what that one had in an open transaction is void. Then it
// reads the positions and leaves out what is stored already. So a reader with read_committed sees each
// record once, whatever is killed between a commit there and the cursor here.
//
//   disconnected ──connect()──▶ idle ──offer()──▶ open ──TransactionPacer──▶ positions ──▶ commit
//        ▲                       ▲                                                            │
//        └── any error ──        └────────── all outcomes: stored ◀───────────────────────────┘
//
// One thread calls it; callbacks of librdkafka run in collect().
//
// Invariants:
//  1. With transactions a message is kStored only when the transaction with it and with its position
//     has been committed; without them, when the brokers' acknowledgement for it has come.
//  2. A refused message's outcome has been handed out before a position behind it is committed: the
//     session has it on its own disk by then.
//  3. Only a record below the position that was read at connect() is left out, never a gap that says
//     of a refused record that it is gone, nor what only explains records.
//  4. A batch that the brokers refuse for one of its records fails the sink; the next connection sends
//     record by record until the bad one is known, which is then refused for itself.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "uplink/engines/kafka/kafka_connection.h"
#include "uplink/sinks/kafka/kafka_settings.h"
#include "uplink/sinks/kafka/stored_positions.h"
#include "uplink/sinks/kafka/transaction_pacer.h"
#include "uplink/sinks/sink.h"

namespace spillway::uplink::kafka {

class KafkaSink final : public Sink {
 public:
  /// Taken and not yet told of, at most.
  static constexpr std::size_t kOwedMax = 200'000;
  /// Different topics, if the template follows the records'.
  static constexpr std::size_t kTopicsMax = 4096;
  /// So many records one by one after a refused batch, then batches again.
  static constexpr std::size_t kSingleRecords = 2000;
  /// Refused records that are remembered until they are offered again.
  static constexpr std::size_t kRefusedMax = 10'000;

  explicit KafkaSink(KafkaSettings settings);
  ~KafkaSink() override { disconnect(); }

  void introduce(const Origin& gateway) override;
  [[nodiscard]] core::Result<void> connect(std::uint64_t timeout_ns) override;
  [[nodiscard]] core::Result<Offered> offer(const SinkMessage& message) override;
  [[nodiscard]] core::Result<void> collect(std::uint64_t wait_ns,
                                           std::vector<SinkOutcome>& outcomes) override;
  [[nodiscard]] std::string_view hindrance() const override { return hindrance_; }
  void disconnect() override;

  /// After a refused batch: each record is a batch of its own.
  [[nodiscard]] bool single_records() const { return singles_left_ > 0; }

 private:
  /// Which record of which journal; what a refusal is remembered by.
  using Identity = std::pair<std::uint64_t, std::uint64_t>;
  struct Owed {
    std::uint64_t ticket;
    Identity identity;
    bool done = false;
  };
  enum class Stage : std::uint8_t { kIdle, kOpen, kPositions, kCommit };

  [[nodiscard]] core::Result<void> open_client();
  [[nodiscard]] core::Result<void> check_topic(std::uint64_t until_ns);
  [[nodiscard]] core::Result<void> take_over(std::uint64_t until_ns);

  /// What is known of a message without asking the brokers.
  [[nodiscard]] std::optional<SinkOutcome> foretell(const SinkMessage& message, Identity identity,
                                                    std::size_t bytes) const;
  [[nodiscard]] core::Result<void> open_transaction();
  [[nodiscard]] core::Result<bool> produce(const SinkMessage& message,
                                           const std::vector<EnvelopeHeader>& headers);
  [[nodiscard]] core::Result<rd_kafka_topic_t*> topic_of(const Envelope& envelope);

  void delivered(const rd_kafka_message_t& message);
  void failed(Owed& owed, const rd_kafka_message_t& message);
  [[nodiscard]] core::Result<void> check_health() const;
  [[nodiscard]] core::Result<void> close_transaction(std::uint64_t until_ns);
  [[nodiscard]] int wait_ms(std::uint64_t until_ns) const;
  [[nodiscard]] core::Result<void> send_positions();
  [[nodiscard]] core::Result<void> commit();
  [[nodiscard]] core::Result<bool> step_done(const KafkaError& error, const std::string& on) const;
  void note_hindrance();
  void hand_out(std::vector<SinkOutcome>& outcomes);
  /// Where nothing is owed: batches again.
  [[nodiscard]] core::Result<void> leave_single_records();

  KafkaSettings settings_;
  std::unique_ptr<Client> client_;
  std::unordered_map<std::string, TopicHandle> topics_;
  std::size_t message_bytes_max_ = 0;

  Stage stage_ = Stage::kIdle;
  TransactionPacer pacer_;
  std::uint64_t closing_since_ns_ = 0;
  StoredPositions stored_;         // as read at connect(): what is left out
  StoredPositions reached_;        // with what the open transaction has
  std::deque<Owed> owed_;          // ascending tickets, without holes in what was produced
  std::uintptr_t owed_first_ = 0;  // the number of the first in owed_, which its message carries
  std::vector<SinkOutcome> ready_;
  std::optional<core::Error> failure_;
  std::string hindrance_;

  std::size_t singles_left_ = 0;  // > 0: one record a batch
  std::set<Identity> refused_;
  std::string refusal_;  // why, as last said
};

}  // namespace spillway::uplink::kafka
