// SimInbox: the consumer's database as a model that the oracle can read, with what can befall it: a full
// disk, a crash, a restored backup. In some worlds the real SqliteInbox gets the same batches, and must
// answer the same.
//
// One thread.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/context.h"
#include "tests/sim/ledger.h"
#include "tests/uplink/memory_inbox.h"

namespace spillway::sim {

class SimInbox final : public consumer::Inbox {
 public:
  using Model = uplink::test::MemoryInbox;

  SimInbox(Context& context, Ledger& ledger) : context_(context), ledger_(ledger) {}

  core::Result<std::optional<consumer::StoredPosition>> position(
      const consumer::InboxKey& key) override;
  void commit(std::span<const consumer::InboxBatch> batches,
              std::vector<core::Result<void>>& outcomes) override;
  core::Result<std::vector<consumer::InboxMark>> marks(const std::string& source) override {
    return model_.marks(source);
  }

  void set_full(bool full) { full_ = full; }
  /// The next transaction fails, and those behind it do not.
  void fail_once() { fails_once_ = true; }
  /// The process has died: what it had not committed is gone.
  void crash() { noted_.clear(); }
  void back_up() { backup_ = model_.all(); }
  /// False: there is no backup, or the twin has none.
  bool restore();
  /// From now on this inbox, a new and empty one, gets everything, too.
  void add_twin(std::unique_ptr<consumer::Inbox> twin) { twin_ = std::move(twin); }

  [[nodiscard]] const Model& model() const { return model_; }
  /// It had this record once, and a restored backup has not: the gateway may have let go of it.
  [[nodiscard]] bool has_forgotten(const std::string& record) const {
    return forgotten_.contains(std::hash<std::string>{}(record));
  }
  /// It was told once what of this stream was dropped, and a restored backup has not heard of it: a
  /// gateway that was restored, too, cannot tell it again.
  [[nodiscard]] bool has_forgotten_gap(const core::Uuid& gateway, const std::string& stream) const {
    return forgotten_gaps_.contains({gateway, stream});
  }

 private:
  void apply(std::span<const consumer::InboxBatch> batches,
             std::vector<core::Result<void>>& outcomes);
  void compare_twin(std::span<const consumer::InboxBatch> batches,
                    const std::vector<core::Result<void>>& outcomes);

  Context& context_;
  Ledger& ledger_;
  Model model_;
  std::unique_ptr<consumer::Inbox> twin_;
  std::optional<std::map<Model::Key, Model::Contents>> backup_;
  std::vector<consumer::InboxBatch> noted_;  // of a bug
  bool full_ = false;
  bool fails_once_ = false;
  std::set<std::size_t> forgotten_;
  std::set<std::pair<core::Uuid, std::string>> forgotten_gaps_;
};

}  // namespace spillway::sim
