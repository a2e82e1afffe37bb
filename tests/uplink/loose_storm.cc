#include "uplink/loose_storm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "uplink/spill_maker.h"

namespace spillway::uplink::test {

namespace {

using consumer::InboxBatch;
using consumer::InboxKey;

/// What the gateway had, and what must be stored after all that came.
struct Oracle {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  std::set<std::uint64_t> dropped;
  std::set<std::uint64_t> rows;
  std::set<std::uint64_t> told;  // dropped, and the inbox was told so
  std::uint64_t next = 0;

  void record(std::uint64_t offset) {
    if (offset >= next) rows.insert(offset);
  }
  void settle() {
    while (rows.contains(next) || told.contains(next)) ++next;
  }
};

/// A message of the engine: a record, or a range that was dropped.
struct Message {
  std::uint64_t first = 0;
  std::uint64_t next = 0;
  bool gap = false;
};

class Storm {
 public:
  Storm(LooseDatabase& database, std::uint64_t seed, std::uint64_t records)
      : database_(database), random_(seed) {
    // One database sees many storms.
    key_ = {uuid_number(1000 + seed), uuid_number(5000 + seed), "one"};
    oracle_.first = below(2) == 0 ? 0 : below(1'000'000);
    oracle_.end = oracle_.first + records;
    oracle_.next = oracle_.first;
    key_.journal_first_offset = oracle_.first;
    make_messages();
    for (auto& inbox : inboxes_) inbox = database_.open();
  }

  void run() {
    while (!messages_.empty() && !::testing::Test::HasFatalFailure()) {
      if (below(12) == 0) inboxes_[below(2)] = database_.open();  // killed, and started again
      if (below(6) == 0) {
        by_native();
      } else {
        by_broker();
      }
      check_position();
    }
    EXPECT_EQ(oracle_.next, oracle_.end);
    const auto stored = database_.read(key_);
    EXPECT_EQ(stored.next_offset, oracle_.end);
    EXPECT_EQ(stored.lane_records, stored.rows.size());
    EXPECT_EQ(stored.rows.size() + oracle_.dropped.size(), oracle_.end - oracle_.first);
    for (const auto& [offset, payload] : stored.rows) {
      EXPECT_EQ(payload, std::to_string(offset));
      EXPECT_FALSE(oracle_.dropped.contains(offset));
    }
  }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  void make_messages() {
    for (std::uint64_t offset = oracle_.first; offset < oracle_.end;) {
      if (below(20) == 0) {
        const std::uint64_t next = std::min(oracle_.end, offset + 1 + below(30));
        messages_.push_back({offset, next, true});
        // Told again, and grown backwards or not: the gateway's uplink was killed before its word came.
        if (below(2) == 0) messages_.push_back({offset + below(next - offset), next, true});
        for (; offset < next; ++offset) oracle_.dropped.insert(offset);
        continue;
      }
      messages_.push_back({offset, offset + 1, false});
      if (below(5) == 0) messages_.push_back(messages_.back());
      ++offset;
    }
    // From nearly in order to none at all.
    const std::uint64_t reach = 1 + below(below(2) == 0 ? 10 : messages_.size());
    for (std::size_t i = 0; i + 1 < messages_.size(); ++i) {
      const std::size_t span = std::min<std::size_t>(reach, messages_.size() - i);
      std::swap(messages_[i], messages_[i + below(span)]);
    }
    std::reverse(messages_.begin(), messages_.end());  // taken from the back
  }

  void put_record(InboxBatch& batch, std::uint64_t offset) {
    payloads_.push_back(std::make_unique<std::string>(std::to_string(offset)));
    batch.records.push_back({offset * 10, std::as_bytes(std::span(*payloads_.back()))});
    const bool goes_on =
        !batch.runs.empty() && batch.runs.back().first_offset + batch.runs.back().count == offset;
    if (goes_on) {
      ++batch.runs.back().count;
    } else {
      batch.runs.push_back({lane_, offset, 1});
    }
  }

  InboxBatch batch_of_broker() {
    InboxBatch batch;
    batch.key = key_;
    batch.loose = true;
    batch.lanes.push_back({lane_, 0, 0, false, 0});
    for (std::uint64_t left = 1 + below(40); left > 0 && !messages_.empty(); --left) {
      const Message message = messages_.back();
      messages_.pop_back();
      // The engine brings it once more, later.
      if (below(15) == 0) {
        const std::size_t place = below(messages_.size() + 1);
        messages_.insert(messages_.begin() + static_cast<std::ptrdiff_t>(place), message);
      }
      if (message.gap) {
        batch.gaps.push_back({message.first, message.next, 1});
      } else {
        put_record(batch, message.first);
      }
    }
    return batch;
  }

  void expect(const InboxBatch& batch) {
    for (const auto& run : batch.runs) {
      for (std::uint32_t i = 0; i < run.count; ++i) oracle_.record(run.first_offset + i);
    }
    for (const auto& gap : batch.gaps) {
      for (auto offset = gap.first_offset; offset < gap.next_offset; ++offset) {
        oracle_.told.insert(offset);
      }
    }
    oracle_.settle();
  }

  void by_broker() {
    payloads_.clear();
    std::vector<InboxBatch> batches;
    for (std::uint64_t left = 1 + below(3); left > 0; --left) batches.push_back(batch_of_broker());
    std::vector<core::Result<void>> outcomes;
    inboxes_[below(2)]->commit(batches, outcomes);
    for (const auto& outcome : outcomes) ASSERT_TRUE(outcome) << outcome.error().message;
    for (const InboxBatch& batch : batches) expect(batch);
    // Its word of it was lost: all comes again, to whoever asks.
    if (below(8) == 0) inboxes_[below(2)]->commit(batches, outcomes);
    for (const auto& outcome : outcomes) ASSERT_TRUE(outcome) << outcome.error().message;
  }

  /// A session of the native link goes on where the inbox is, up to what was dropped.
  void by_native() {
    payloads_.clear();
    auto& inbox = *inboxes_[below(2)];
    const auto stored = inbox.position(key_);
    ASSERT_TRUE(stored) << stored.error().message;
    InboxBatch batch;
    batch.key = key_;
    batch.begins = !*stored;
    batch.from = *stored ? (*stored)->next_offset : oracle_.first;
    batch.next = batch.from;
    batch.last_record = 77;
    for (std::uint64_t left = below(30); left > 0 && batch.next < oracle_.end; --left) {
      if (oracle_.dropped.contains(batch.next)) break;
      put_record(batch, batch.next++);
    }
    if (batch.next == batch.from) return;
    batch.lanes.push_back({lane_, 0, 0, false, batch.next - batch.from});
    std::vector<core::Result<void>> outcomes;
    inbox.commit({&batch, 1}, outcomes);
    ASSERT_TRUE(outcomes[0]) << outcomes[0].error().message;
    expect(batch);
  }

  void check_position() {
    const auto stored = inboxes_[below(2)]->position(key_);
    ASSERT_TRUE(stored) << stored.error().message;
    ASSERT_EQ(*stored ? (*stored)->next_offset : oracle_.first, oracle_.next);
  }

  LooseDatabase& database_;
  std::mt19937_64 random_;
  InboxKey key_;
  Oracle oracle_;
  std::vector<Message> messages_;
  std::vector<std::unique_ptr<std::string>> payloads_;
  std::unique_ptr<consumer::Inbox> inboxes_[2];
  std::shared_ptr<const consumer::LaneLabel> lane_ = std::make_shared<const consumer::LaneLabel>(
      consumer::LaneLabel{0xAB, "a/b", "maker", uuid_number(3)});
};

}  // namespace

void run_loose_storm(LooseDatabase& database, std::uint64_t seed, std::uint64_t records) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Storm(database, seed, records).run();
}

}  // namespace spillway::uplink::test
