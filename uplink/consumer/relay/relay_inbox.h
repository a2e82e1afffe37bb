// RelayInbox: the inbox of a consumer that stores into streams of its own instead of a database. An
// uplink drains them (uplink/session/foreign_sources.h), so that a record comes to the end of any
// number of relays under the identity that its gateway gave it.
//
// The InboxWriter's thread.
//
// Invariants:
//  1. A batch's outcome is good only once its blocks are power-safe: one sync for each stream that a
//     group of batches touched.
//  2. A journal goes on where its foreign stream's recovery says: there is no other note of positions.
//  3. What fails in one stream fails for that stream alone; the stream is opened anew when it is next
//     asked for.
//  4. Streams, their bytes, and the bytes of all together are bounded. A relay that drops nothing
//     refuses more, and the origin keeps it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "spillway/core/env/env.h"
#include "spillway/core/foreign_stream.h"
#include "spillway/core/gateway.h"
#include "uplink/consumer/inbox/inbox.h"

namespace spillway::consumer {

struct RelayOptions {
  std::string directory;
  std::string machine_id;  // for the relay's own identity; empty: there is none
  std::uint64_t segment_bytes = 8ULL << 20;
  std::uint64_t stream_bytes = 256ULL << 20;  // each foreign stream, at most
  std::uint64_t max_bytes = 8ULL << 30;       // all together
  std::uint64_t max_age_ns = 0;
  core::WhenFull when_full = core::WhenFull::kRejectNew;
  std::vector<std::string> uplinks;  // those that drain it
};

struct RelayTotals {
  std::size_t streams = 0;
  std::uint64_t held_bytes = 0;
  std::uint64_t dropped_records = 0;  // since the start
};

class RelayInbox final : public Inbox {
 public:
  /// Opens every foreign stream that is there. kBusy: another consumer relays into this directory.
  [[nodiscard]] static core::Result<std::unique_ptr<RelayInbox>> open(core::env::Env& env,
                                                                      RelayOptions options);

  core::Result<std::optional<StoredPosition>> position(const InboxKey& key) override;
  void commit(std::span<const InboxBatch> batches,
              std::vector<core::Result<void>>& outcomes) override;
  /// A relay passes on whole blocks in their order: what comes out of a broker in any order it cannot.
  core::Result<std::vector<InboxMark>> marks(const std::string& source) override;
  [[nodiscard]] bool needs_upkeep() const override { return true; }
  void upkeep() override;

  /// Who the relay is to those that its uplinks send to.
  [[nodiscard]] const core::Gateway& gateway() const { return gateway_; }
  [[nodiscard]] RelayTotals totals() const;

 private:
  using StreamKey = std::pair<core::Uuid, std::string>;
  /// What the sessions told of a stream.
  struct Told {
    std::string gateway_name;
    std::map<core::Uuid, core::ForeignJournal> journals;
  };
  using StreamPointer = std::unique_ptr<core::ForeignStream>;

  RelayInbox(core::env::Env& env, RelayOptions options) : env_(env), options_(std::move(options)) {}

  core::Result<void> start();
  core::Result<void> take_lock();
  core::Result<core::ForeignStream*> open_stream(const StreamKey& key);
  core::Result<core::ForeignStream*> find_stream(const StreamKey& key);
  core::Result<core::ForeignStream*> make_stream(const StreamKey& key);
  core::Result<void> apply(const InboxBatch& batch);
  core::Result<void> append_all(core::ForeignStream& stream, const core::ForeignJournal& journal,
                                const InboxBatch& batch);
  core::Result<void> make_room(std::uint64_t bytes);
  core::Result<bool> drop_from_largest();

  core::env::Env& env_;
  RelayOptions options_;
  core::Gateway gateway_;
  std::unique_ptr<core::env::File> lock_;
  std::map<StreamKey, StreamPointer> streams_;  // null: it failed, and is opened when asked for
  std::map<StreamKey, Told> told_;
  std::string upkeep_error_;
};

}  // namespace spillway::consumer
