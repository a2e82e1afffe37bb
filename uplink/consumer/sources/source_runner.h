// SourceRunner: one source's thread: connects, hands what comes to the inbox, and tells the engine what
// is done. Every engine's source runs in one (broker_source.h says what each has to do).
//
//   connect -> fetch -> BrokerIntake -> InboxWriter -> committed -> settle
//      ^                                                  |
//      +--- wait, longer each time, with chance <-- anything fails
//
// Threads: its own, and the InboxWriter's for the answers; stop() and counts() from any.
//
// Invariants:
//  1. The engine is told that a message is done after its batch was committed, and not before.
//  2. If anything fails, all that is not settled is forgotten here and comes again; an answer that
//     belongs to an earlier connection counts for nothing.
//  3. What waits for the inbox is bounded by kGroupsMax groups, and by the writer's own bound.
//  4. It never ends but by stop(): there is no last try. An answer may come after that.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "spillway/core/atomic.h"
#include "spillway/core/env/env.h"
#include "uplink/consumer/inbox/inbox_writer.h"
#include "uplink/consumer/sources/broker_intake.h"
#include "uplink/consumer/sources/broker_source.h"
#include "uplink/consumer/sources/settle_queue.h"
#include "uplink/consumer/sources/source_gate.h"
#include "uplink/link/backoff.h"

namespace spillway::consumer {

/// Since the start.
struct SourceCounts {
  std::uint64_t messages = 0;     // that came, each time
  std::uint64_t refused = 0;      // could not be stored: no message of Spillway's, or a damaged one
  std::uint64_t turned_away = 0;  // of gateways that are not let in
  std::uint64_t connections = 0;
};

class SourceRunner {
 public:
  static constexpr std::size_t kGroupsMax = 4;
  static constexpr std::uint64_t kConnectNs = 5'000'000'000;
  static constexpr std::uint64_t kWaitNs =
      100'000'000;  // for the first message; stop() waits so long
  static constexpr std::uint64_t kCommitWaitNs = 2'000'000;  // then messages are looked for again
  static constexpr std::uint64_t kGoodbyeNs = 2'000'000'000;
  static constexpr std::uint64_t kReconnectNsMin = 200'000'000;
  static constexpr std::uint64_t kReconnectNsMax = 30'000'000'000;

  SourceRunner(std::unique_ptr<BrokerSource> source, InboxWriter& writer, SourceGate& gate,
               RecordRules rules, core::env::Env& env);
  ~SourceRunner() { stop(); }
  SourceRunner(const SourceRunner&) = delete;
  SourceRunner& operator=(const SourceRunner&) = delete;

  /// Waits, within kGoodbyeNs, for what is on its way to the inbox, and ends the thread. The writer must
  /// still run.
  void stop();
  [[nodiscard]] SourceCounts counts() const;

 private:
  static constexpr std::uint64_t kNoteEveryNs = 10'000'000'000;
  static constexpr std::uint64_t kComplainEveryNs = 30'000'000'000;
  static constexpr std::size_t kNotedMax = 20'000;

  /// What the writer answered.
  struct Answer {
    std::uint64_t connection = 0;
    std::uint64_t group = 0;
    core::Result<void> outcome;
  };
  /// Where the writer's thread leaves its answers; it may outlive the runner.
  struct Mailbox {
    std::mutex mutex;
    std::condition_variable wake;
    std::vector<Answer> answers;
    bool stopping = false;
  };
  struct Refused {
    std::uint64_t tag = 0;
    std::string why;
  };

  void run();
  /// Until stop(), or until something fails.
  [[nodiscard]] core::Result<void> read();
  [[nodiscard]] core::Result<void> step();
  [[nodiscard]] bool has_room() const;
  [[nodiscard]] core::Result<void> fetch();
  void on_message(const BrokerMessage& message);
  [[nodiscard]] core::Result<void> pass_on();
  void apply(InboxBatch batch, std::uint64_t group);
  [[nodiscard]] core::Result<void> take_answers();
  [[nodiscard]] core::Result<void> settle();
  /// Where nothing else comes that could take the marks along.
  void store_marks();
  [[nodiscard]] core::Result<void> say_goodbye();
  [[nodiscard]] core::Result<std::vector<InboxMark>> read_marks();
  void note_gateways(const std::vector<InboxBatch>& batches);
  void note_turned_away(const core::Uuid& gateway);
  void complain(const std::string& why);
  void note_failure(const core::Error& error);
  void wait_for_answer(std::uint64_t wait_ns);
  /// Until stop() at the latest.
  void pause(std::uint64_t wait_ns);
  [[nodiscard]] bool is_stopping();

  std::unique_ptr<BrokerSource> source_;
  InboxWriter& writer_;
  SourceGate& gate_;
  core::env::Env& env_;
  BrokerIntake intake_;
  const BrokerSource::ReadMarks read_marks_;
  uplink::Backoff backoff_{kReconnectNsMin, kReconnectNsMax};

  // Of this connection.
  SettleQueue queue_;
  std::uint64_t connection_ = 0;
  std::uint64_t latest_tag_ = 0;
  std::uint64_t settled_tag_ = 0;
  std::size_t unpassed_ = 0;  // messages since the latest group
  std::vector<Refused> refused_;
  std::vector<InboxMark> marks_;  // to be stored with what comes next

  std::map<core::Uuid, std::uint64_t> noted_ns_;
  std::uint64_t complained_ns_ = 0;
  std::uint64_t complaints_ = 0;  // since the latest one that was logged
  std::string logged_;

  core::Atomic<std::uint64_t> messages_{0};
  core::Atomic<std::uint64_t> refused_count_{0};
  core::Atomic<std::uint64_t> turned_away_{0};
  core::Atomic<std::uint64_t> connections_{0};

  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  std::thread thread_;  // last: it uses the others
};

}  // namespace spillway::consumer
