// An inbox in memory for the session tests, and the oracle over it.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "uplink/consumer/inbox/inbox.h"

namespace spillway::uplink::test {

class MemoryInbox final : public consumer::Inbox {
 public:
  using Key = std::tuple<core::Uuid, core::Uuid, std::string>;
  struct Row {
    std::string topic;
    std::string payload;
    std::optional<std::uint64_t> produced_at_ns;
  };
  struct Contents {
    std::uint64_t next_offset = 0;
    std::uint64_t last_record = 0;
    std::map<std::uint64_t, Row> rows;
    std::vector<consumer::InboxGap> gaps;
    std::map<std::uint64_t, consumer::LaneTotals> lanes;
  };

  core::Result<std::optional<consumer::StoredPosition>> position(
      const consumer::InboxKey& key) override;
  void commit(std::span<const consumer::InboxBatch> batches,
              std::vector<core::Result<void>>& outcomes) override;
  core::Result<std::vector<consumer::InboxMark>> marks(const std::string& source) override;

  void fail_next(int commits) { failures_ = commits; }
  [[nodiscard]] const std::map<Key, Contents>& all() const { return contents_; }
  /// As from a backup.
  void restore(std::map<Key, Contents> contents) { contents_ = std::move(contents); }
  [[nodiscard]] const Contents& of(const core::Uuid& gateway, const core::Uuid& journal,
                                   const std::string& stream) {
    return contents_[{gateway, journal, stream}];
  }
  /// Rows that were inserted twice: must stay 0.
  [[nodiscard]] std::uint64_t doubled() const { return doubled_; }

 private:
  void apply_loose(const consumer::InboxBatch& batch);
  static void add_lanes(const consumer::InboxBatch& batch, Contents& contents);

  std::map<Key, Contents> contents_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> marks_;
  std::uint64_t doubled_ = 0;
  int failures_ = 0;
};

}  // namespace spillway::uplink::test
