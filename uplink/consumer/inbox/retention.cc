#include "uplink/consumer/inbox/retention.h"

#include <chrono>
#include <limits>

#include "spillway/core/log.h"

namespace spillway::consumer {

using core::Result;

namespace {

constexpr std::chrono::seconds kLookEvery{10};
/// Between two transactions: the writer comes first.
constexpr std::chrono::milliseconds kBreath{20};

constexpr const char* kKeysSql = "SELECT gateway, journal, stream FROM position";
// Rows at or above the next offset are themselves what decides once-only.
constexpr const char* kFirstSql =
    "SELECT record_offset, received_at_ns FROM record "
    "WHERE gateway = ?1 AND journal = ?2 AND stream = ?3 AND record_offset < "
    "(SELECT next_offset FROM position WHERE gateway = ?1 AND journal = ?2 AND stream = ?3) "
    "ORDER BY record_offset LIMIT ?4";
constexpr const char* kDeleteSql =
    "DELETE FROM record "
    "WHERE gateway = ?1 AND journal = ?2 AND stream = ?3 AND record_offset <= ?4";

std::uint64_t utc_now_ns() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

}  // namespace

Result<std::vector<Retention::Key>> Retention::keys() {
  SPILLWAY_TRY(select, Statement::prepare(database_.get(), kKeysSql));
  std::vector<Key> keys;
  while (true) {
    SPILLWAY_TRY(found, select.step());
    if (!found) return keys;
    keys.push_back({select.text(0), select.text(1), select.text(2)});
  }
}

Result<std::uint64_t> Retention::used_bytes() {
  SPILLWAY_TRY(select,
               Statement::prepare(database_.get(),
                                  "SELECT (page_count - freelist_count) * page_size FROM "
                                  "pragma_page_count, pragma_freelist_count, pragma_page_size"));
  SPILLWAY_TRY(found, select.step());
  return found ? select.column(0) : 0;
}

Result<std::optional<std::uint64_t>> Retention::first_received(const Key& key) {
  SPILLWAY_TRY(select, Statement::prepare(database_.get(), kFirstSql));
  select.bind(1, std::string_view(key.gateway));
  select.bind(2, std::string_view(key.journal));
  select.bind(3, std::string_view(key.stream));
  select.bind(4, std::uint64_t{1});
  SPILLWAY_TRY(found, select.step());
  if (!found) return std::optional<std::uint64_t>();
  return std::optional(select.column(1));
}

Result<std::uint64_t> Retention::prune_key(const Key& key, std::uint64_t received_before) {
  std::optional<std::uint64_t> last;
  {
    SPILLWAY_TRY(select, Statement::prepare(database_.get(), kFirstSql));
    select.bind(1, std::string_view(key.gateway));
    select.bind(2, std::string_view(key.journal));
    select.bind(3, std::string_view(key.stream));
    select.bind(4, kRowsPerTransaction);
    while (true) {
      SPILLWAY_TRY(found, select.step());
      if (!found || select.column(1) >= received_before) break;
      last = select.column(0);
    }
  }
  if (!last) return std::uint64_t{0};
  SPILLWAY_TRY(remove, Statement::prepare(database_.get(), kDeleteSql));
  remove.bind(1, std::string_view(key.gateway));
  remove.bind(2, std::string_view(key.journal));
  remove.bind(3, std::string_view(key.stream));
  remove.bind(4, *last);
  SPILLWAY_CHECKED(remove.run());
  return static_cast<std::uint64_t>(sqlite3_changes64(database_.get()));
}

Result<std::uint64_t> Retention::prune_some(std::uint64_t utc_ns) {
  SPILLWAY_TRY(all, keys());
  std::optional<std::uint64_t> oldest;
  const Key* oldest_key = nullptr;
  for (const Key& key : all) {
    SPILLWAY_TRY(first, first_received(key));
    if (!first || (oldest && *oldest <= *first)) continue;
    oldest = first;
    oldest_key = &key;
  }
  if (oldest_key == nullptr) return std::uint64_t{0};
  if (rules_.retain_ns != 0 && utc_ns > rules_.retain_ns && *oldest < utc_ns - rules_.retain_ns) {
    return prune_key(*oldest_key, utc_ns - rules_.retain_ns);
  }
  SPILLWAY_TRY(used, used_bytes());
  if (rules_.max_bytes == 0 || used <= rules_.max_bytes) return std::uint64_t{0};
  return prune_key(*oldest_key, std::numeric_limits<std::uint64_t>::max());
}

RetentionKeeper::RetentionKeeper(Open open) : open_(std::move(open)), thread_([this] { run(); }) {}

RetentionKeeper::~RetentionKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void RetentionKeeper::run() {
  bool more = true;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const auto pause = more ? std::chrono::milliseconds(kBreath) : kLookEvery;
      if (wake_.wait_for(lock, pause, [this] { return stopping_; })) return;
    }
    const auto looked = look();
    more = looked && *looked;
    const std::string error = looked ? "" : looked.error().message;
    if (!error.empty() && error != logged_) {
      spdlog::warn("old records are not taken out of the inbox: {}", error);
    }
    logged_ = error;
  }
}

Result<bool> RetentionKeeper::look() {
  if (pruner_ == nullptr) {
    SPILLWAY_TRY(pruner, open_());
    pruner_ = std::move(pruner);
  }
  auto pruned = pruner_->prune_some(utc_now_ns());
  if (pruned) return *pruned != 0;
  // A server may have gone away: the next look begins anew.
  pruner_.reset();
  return tl::unexpected(std::move(pruned).error());
}

}  // namespace spillway::consumer
