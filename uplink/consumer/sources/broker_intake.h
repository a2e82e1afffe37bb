// BrokerIntake: makes batches for the inbox from an engine's messages: one loose batch for each
// (gateway, journal, stream) of a group of messages.
//
// One thread, no I/O. Nothing here trusts a byte of a message: whoever may write into the engine may
// have made it.
//
// Invariants:
//  1. A message is taken whole or refused whole, and what is refused leaves nothing behind.
//  2. Everything that messages can make grow has a bound: a group by its bytes (is_full), what is
//     remembered between groups by kJudgesMax.
//  3. A schema is trusted to explain the records of the gateway's stream that brought it, and no others'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "uplink/consumer/inbox/inbox.h"
#include "uplink/consumer/session/record_judge.h"
#include "uplink/consumer/sources/broker_source.h"
#include "uplink/protocol/envelope.h"

namespace spillway::consumer {

class BrokerIntake {
 public:
  /// A group that holds so much is for the inbox.
  static constexpr std::size_t kGroupBytesMax = 4U << 20;
  static constexpr std::size_t kGroupMessagesMax = 4096;
  static constexpr std::size_t kJudgesMax = 256;
  static constexpr std::size_t kGatewayNameBytesMax = 255;

  explicit BrokerIntake(RecordRules rules) : rules_(rules) {}

  /// What the message says of itself, checked; kProtocol with what is wrong.
  [[nodiscard]] static core::Result<uplink::Envelope> read(const uplink::HeaderLookup& header);
  /// Adds a message to the group. kProtocol, kCorrupt: it is refused.
  [[nodiscard]] core::Result<void> accept(const uplink::Envelope& envelope,
                                          std::span<const std::byte> payload);
  [[nodiscard]] bool is_full() const {
    return bytes_ >= kGroupBytesMax || messages_ >= kGroupMessagesMax;
  }
  [[nodiscard]] bool is_empty() const { return messages_ == 0; }
  /// The group, which begins anew.
  [[nodiscard]] std::vector<InboxBatch> take(std::uint64_t utc_ns);

 private:
  using StreamKey = std::pair<core::Uuid, std::string>;
  using BatchKey = std::tuple<core::Uuid, core::Uuid, std::string>;
  /// A batch in the making.
  struct Group {
    InboxBatch batch;
    std::map<std::uint64_t, std::shared_ptr<const LaneLabel>> labels;
    std::vector<std::size_t> chunks;  // those that its records lie in; ascending
  };
  struct Judge {
    RecordJudge judge;
    std::list<StreamKey>::iterator used;
  };

  Group& group_of(const uplink::Envelope& envelope);
  [[nodiscard]] core::Result<void> accept_record(const uplink::Envelope& envelope,
                                                 std::span<const std::byte> payload);
  [[nodiscard]] core::Result<void> accept_blocks(const uplink::Envelope& envelope,
                                                 std::span<const std::byte> payload);
  void accept_lane(const uplink::Envelope& envelope);
  [[nodiscard]] core::Result<void> accept_schema(const uplink::Envelope& envelope,
                                                 std::span<const std::byte> payload);
  std::shared_ptr<const LaneLabel> label_of(Group& group, const uplink::Envelope& envelope);
  /// A copy that lives as long as the group's batch.
  std::span<const std::byte> keep(Group& group, std::span<const std::byte> bytes);
  RecordJudge& judge_of(const uplink::Envelope& envelope);

  RecordRules rules_;
  std::map<BatchKey, Group> groups_;
  std::vector<InboxBatch> whole_;  // of blocks: each is a batch of its own
  std::vector<std::shared_ptr<std::vector<std::byte>>> chunks_;
  std::size_t bytes_ = 0;
  std::size_t messages_ = 0;
  std::map<StreamKey, Judge> judges_;
  std::list<StreamKey> judges_used_;  // the latest first
};

}  // namespace spillway::consumer
