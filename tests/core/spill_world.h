// A scripted life of a stream on the simulated machine, with an oracle outside the code: what was
// appended, what was called power-safe, and what a shipper that sends everything at once has sent
// under which identity.
#pragma once

#include <functional>
#include <random>

#include "codec_helpers.h"
#include "spill_helpers.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/verify.h"

namespace spillway::core::testing {

/// From this seed on the disk's sectors have 4 KiB.
inline constexpr std::uint64_t kLargeSectors = 1000;

class World {
 public:
  /// One seed is one script; `fate` varies what a power cut does to the sectors, so that each step of a script meets
  /// another disk.
  explicit World(std::uint64_t seed, std::uint64_t fate = 0)
      : seed_(seed), env_(seed + (fate << 16)), random_(seed) {
    env_.set_volatile_root("/run");
    if (seed >= kLargeSectors) env_.set_sector_bytes(4096);
    options_.name = "test";
    options_.directory = "/spill/test";
    options_.journal_page_path = "/run/journal/test";
    options_.segment_bytes = 64 * 1024;
    options_.max_bytes = 1 << 20;
    if (!has_quota_drops()) options_.uplinks = {"cloud"};
    if (compresses()) options_.compress = Compress::kAlways;
  }

  /// From the next open on the stream is "memory-first".
  void use_memory() {
    options_.placement = Placement::kMemoryFirst;
    options_.memory_directory = "/run/spill/test";
    options_.memory_bytes = 3 * options_.segment_bytes;
    options_.memory_age_ns = 60'000'000'000;
    options_.uplinks = {"cloud"};
    has_memory_ = true;
  }

  /// Every third seed has no uplink and writes beyond the quota.
  [[nodiscard]] bool has_quota_drops() const { return seed_ % 3 == 2 && !has_memory_; }

  /// Every second seed stores compressed blocks.
  [[nodiscard]] bool compresses() const { return seed_ % 2 == 0; }

  env::SimEnv& env() { return env_; }
  StreamOptions& options() { return options_; }
  Stream* stream() { return stream_.get(); }
  [[nodiscard]] std::uint64_t durable() const { return durable_; }
  /// What was delivered and freed in memory is called safe, too, and is missed by nobody.
  [[nodiscard]] std::uint64_t safe_on_disk() const {
    return has_memory_ && durable_ <= acked_ ? 0 : durable_;
  }
  [[nodiscard]] std::uint64_t conflicts() const { return conflicts_; }
  [[nodiscard]] std::uint64_t errors() const { return errors_; }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }
  [[nodiscard]] const Uuid& journal() const { return journal_; }
  [[nodiscard]] std::uint64_t trained() const { return trained_; }

  /// Opens the stream; an error counts and is no more than that.
  bool open() {
    close_handles();
    auto opened = Stream::open(env_, options_);
    if (!opened) return note(opened);
    stream_ = std::move(*opened);
    journal_ = stream_->journal();
    for (std::uint64_t lane = 1; lane <= 3; ++lane) {
      note(stream_->declare_lane(identity_of(lane), lane_ends_[lane], 0, false));
    }
    // After an error once more, as the drain does: records come all the same.
    if (!note(stream_->add_schema(schema_fingerprint(schema_), schema_))) {
      note(stream_->add_schema(schema_fingerprint(schema_), schema_));
    }
    durable_ = std::max(durable_, stream_->durable_offset());
    return true;
  }

  /// The whole script. Throws env::PowerCut where the test has asked for it.
  void run_script() {
    for (int i = 0; i < 14; ++i) {
      append(1 + random_() % 4, random_() % 300 + 1);
      if (i % 4 == 3) sync();
      ship();
    }
    note(with_stream([](Stream& s) { return s.append_clock(); }));
    const int rounds = has_quota_drops() ? 90 : 60;
    for (int i = 0; i < rounds; ++i) {
      const std::size_t bytes_min = has_quota_drops() ? 12000 : 1;
      append(1, i % 5 == 0 ? 1 : random_() % (24000 - bytes_min) + bytes_min);
      if (i % 7 == 2) make_spare();
      if (i % 3 == 0) train();
      if (i % 6 == 1) sync_with_appends_between();
      if (i % 9 == 4 && !has_quota_drops()) acknowledge();
      if (i % 13 == 7) declare_again();
      if (i == 30) open();
      if (i >= 45 && i % 3 == 0) append(3, 4000);
      ship();
    }
    sync();
    append(2, 100);
    ship();
  }

  /// The life of a stream that stands in memory while the link keeps up. Throws as run_script() does.
  void run_memory_script() {
    online(12);
    offline(30);
    deliver(PlaceInForce::kMemory);
    online(6);
    offline(5);
    ask_power_safe();
    append(1, 300);
    sync();
    env_.advance_ns(60'000'000'000);
    deliver(PlaceInForce::kMemory);
    offline(4);
    env_.advance_ns(59'000'000'000);
    for (int i = 0; i < 4; ++i) tick();  // the records have grown old
    append(1, 5000);
    move_and_sync();
    deliver(PlaceInForce::kMemory);
    offline(3);
    open();  // as after a kill
    offline(2);
    deliver(PlaceInForce::kMemory);
    offline(6);
    if (stream_) note(stream_->close());
    note_durable();
    open();
    append(2, 2000);
    ship();
  }

  /// The link keeps up.
  void online(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      append(1 + random_() % 3, random_() % 6000 + 1);
      if (i % 3 == 1) make_spare();
      if (i % 2 == 0) train();
      ship();
      acknowledge(i % 4 == 0 ? 1 : 0);
      if (i % 4 == 3) tick();
    }
  }

  /// There is no link; orders are out while records come.
  void offline(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      append(1, random_() % 12000 + 4000);
      if (i % 4 == 1) make_spare();
      if (i % 5 == 2) declare_again();
      const auto order = stream_ ? stream_->order_move() : std::nullopt;
      append(1, random_() % 3000 + 1);
      if (order) {
        const auto outcome = order->run();
        append(1, 500);
        note(stream_->finish_move(*order, outcome));
      }
      if (i % 3 == 0) sync_with_appends_between();
      note_durable();
      ship();
    }
  }

  /// As the drain and the uplink do once a second.
  void tick() {
    env_.advance_ns(1'000'000'000);
    if (cursor_) note(cursor_->sync());
    collect();
    note_durable();
    ship();
  }

  /// Everything is acknowledged, until the stream stands where it should.
  void deliver(PlaceInForce place) {
    for (int i = 0; i < 8 && stream_ && stream_->place() != place; ++i) {
      move_and_sync();
      acknowledge(0);
      tick();
    }
  }

  void ask_power_safe() {
    if (!stream_) return;
    note(stream_->ask_power_safe());
    move_and_sync();
  }

  void move_and_sync() {
    while (stream_) {
      const auto order = stream_->order_move();
      if (!order || !note(stream_->finish_move(*order, order->run()))) break;
      note_durable();
    }
    sync();
  }

  void append(std::size_t count, std::size_t bytes) {
    if (!stream_) return;
    std::vector<std::string> records;
    for (std::size_t i = 0; i < count; ++i) {
      std::string record = std::to_string(history_) + ":" + std::to_string(serial_++) + ":";
      record.resize(std::max(bytes, record.size()), static_cast<char>('a' + serial_ % 26));
      if (compresses()) make_harder(record);
      records.push_back(std::move(record));
    }
    const std::uint64_t lane = 1 + serial_ % 3;
    in_flight_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      in_flight_[stream_->next_offset() + i] = hash_of(records[i]);
    }
    auto appended = append_records(*stream_, lane, records, ++lane_position_);
    // The disk lags behind: the drain would try again.
    const bool waits = !appended && appended.error().code == ErrorCode::kBusy;
    if (waits || !note(appended)) {
      in_flight_.clear();
      return;
    }
    in_flight_.clear();
    lane_ends_[lane] = lane_position_;
    for (std::size_t i = 0; i < count; ++i) {
      accepted_[appended->first_offset + i] = hash_of(records[i]);
    }
  }

  void sync() {
    if (!stream_) return;
    if (auto plan = stream_->plan_sync()) note(stream_->finish_sync(*plan, plan->run()));
    note_durable();
  }

  void collect() {
    note(with_stream([](Stream& s) { return s.collect(); }));
  }

  /// Reads whatever is new and remembers it under its identity, as a far end does.
  void ship() {
    if (!stream_) return;
    if (!reader_) {
      auto opened = StreamReader::open(env_, options_.directory);
      if (!note(opened)) return;
      reader_ = std::move(*opened);
    }
    ReadBack back;
    read_more(*reader_, back);
    remember(back);
    for (const Gap& gap : back.gaps) {
      EXPECT_TRUE(!has_memory_ || errors_ > 0 || gap.next_offset <= acked_)
          << "a reader that followed missed " << gap.first_offset << ".." << gap.next_offset;
    }
  }

  void restart(bool power_cut) {
    close_handles();
    if (power_cut) {
      env_.restart_after_power_cut();
    } else {
      env_.restart_after_kill();
    }
    ++history_;
  }

  /// After a restart and an open. What was safe must be there; what is there must be true.
  void check(bool power_cut) {
    const std::uint64_t safe = power_cut ? safe_on_disk() : next_accepted();
    const ReadBack back = read_all(env_, options_.directory);
    for (const Gap& gap : back.gaps) {
      const bool released = gap.reason == format::GapReason::none && gap.next_offset <= acked_;
      const bool front = gap.next_offset <= stream_->oldest_offset();
      const bool dropped = gap.reason == format::GapReason::quota && front;
      EXPECT_TRUE(released || dropped || gap.first_offset >= safe)
          << name_of(gap.reason) << " gap " << gap.first_offset << ".." << gap.next_offset
          << ", safe below " << safe;
    }
    EXPECT_GE(back.position, safe);
    EXPECT_EQ(back.position, stream_->next_offset());
    EXPECT_EQ(back.unexplained, 0U) << "records whose schema does not stand in their segment";
    for (const auto& [offset, record] : back.records) {
      const auto known = accepted_.find(offset);
      const auto maybe = in_flight_.find(offset);
      const bool as_accepted = known != accepted_.end() && known->second == hash_of(record);
      const bool as_in_flight = maybe != in_flight_.end() && maybe->second == hash_of(record);
      EXPECT_TRUE(as_accepted || as_in_flight)
          << "offset " << offset << " holds what was never written there";
      if (as_in_flight) accepted_[offset] = hash_of(record);
    }
    expect_verified();
    remember(back);
    accepted_.erase(accepted_.lower_bound(back.position), accepted_.end());
    in_flight_.clear();
    durable_ = std::min(stream_->durable_offset(), back.position);
    acked_ = std::min(acked_, back.position);
  }

  [[nodiscard]] std::uint64_t next_accepted() const {
    return accepted_.empty() ? 0 : accepted_.rbegin()->first + 1;
  }

  void close_handles() {
    cursor_.reset();
    reader_.reset();
    stream_.reset();
  }

 private:
  /// What is lost is written down, and what is there is whole. (A header that was torn in its last
  /// differing bit is healed, and called damage that loses nothing.)
  void expect_verified() {
    const auto verified = verify_stream(env_, options_.directory);
    ASSERT_TRUE(verified) << verified.error().message;
    for (const Damage& damage : verified->damages) {
      EXPECT_TRUE(damage.nothing_lost)
          << damage.path << ", offset " << damage.first_offset << ": " << damage.reason;
    }
  }

  static std::size_t hash_of(const std::string& record) { return std::hash<std::string>{}(record); }

  template <typename T>
  bool note(const Result<T>& result) {
    if (result) return true;
    EXPECT_FALSE(result.error().message.empty());
    last_error_ = result.error().message;
    ++errors_;
    return false;
  }

  Result<void> with_stream(const std::function<Result<void>(Stream&)>& call) {
    if (!stream_) return {};
    return call(*stream_);
  }

  /// Or a segment would never be full: what 64 letters say cannot shrink below three quarters.
  void make_harder(std::string& record) {
    std::mt19937_64 letters(serial_);
    for (std::size_t i = 100; i < record.size(); ++i)
      record[i] = static_cast<char>(48 + letters() % 64);
  }

  /// In no time: each of a thousand worlds would train the same for tens of milliseconds.
  void train() {
    if (!stream_) return;
    auto order = stream_->order_training();
    if (!order) return;
    static const auto kDictionary = train_dictionary(0, 1024);
    order->training->dictionary = kDictionary;
    stream_->finish_training(*order, {});
    if (stream_->compression().dictionaries > 0) ++trained_;
  }

  void make_spare() {
    if (!stream_) return;
    if (auto order = stream_->order_spare()) {
      auto made = order->run();
      note(made);
      stream_->finish_spare(*order, made);
    }
  }

  void sync_with_appends_between() {
    if (!stream_) return;
    auto plan = stream_->plan_sync();
    append(2, 700);
    if (!plan) return;
    auto outcome = plan->run();
    append(1, 9000);
    note(stream_->finish_sync(*plan, outcome));
    durable_ = std::max(durable_, stream_->durable_offset());
  }

  void note_durable() {
    if (stream_) durable_ = std::max(durable_, stream_->durable_offset());
  }

  void acknowledge(std::uint64_t behind = 12) {
    if (!stream_) return;
    if (!cursor_) {
      auto opened = has_memory_ ? Cursor::open_in(env_, options_.directory, "cloud")
                                : Cursor::open(env_, options_.directory + "/cursors/cloud");
      if (!note(opened)) return;
      cursor_ = std::move(*opened);
    }
    const std::uint64_t next = stream_->next_offset();
    const std::uint64_t position = next - std::min<std::uint64_t>(next, behind);
    note(cursor_->advance({stream_->journal(), journal_sequence(), position}));
    // The far end has it. Even after an error the cursor may say so; the agent syncs it before it acts.
    acked_ = std::max(acked_, position);
    if (!has_memory_) collect();
  }

  void declare_again() {
    note(with_stream(
        [this](Stream& s) { return s.declare_lane(identity_of(2), lane_ends_[2], 1, false); }));
  }

  /// One of the lanes names a schema.
  [[nodiscard]] format::LaneIdentity identity_of(std::uint64_t lane) const {
    auto identity = make_identity(lane);
    if (lane == 3) identity.mutate_schema_fingerprint(schema_fingerprint(schema_));
    return identity;
  }

  std::uint64_t journal_sequence() {
    auto reader = StreamReader::open(env_, options_.directory);
    if (!reader) return 0;
    auto journals = (*reader)->journals();
    return journals && !journals->empty() ? journals->back().sequence : 0;
  }

  void remember(const ReadBack& back) {
    for (const auto& [offset, record] : back.records) {
      const auto key = std::make_pair(back.journals.at(back.journal_of.at(offset)), offset);
      const auto [known, is_new] = shipped_.emplace(key, hash_of(record));
      if (!is_new && known->second != hash_of(record)) ++conflicts_;
    }
  }

  const std::vector<std::byte> schema_ = std::vector<std::byte>(900, std::byte{7});
  std::uint64_t seed_;
  bool has_memory_ = false;
  env::SimEnv env_;
  std::mt19937_64 random_;
  StreamOptions options_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<StreamReader> reader_;
  std::unique_ptr<Cursor> cursor_;
  Uuid journal_;
  std::map<std::uint64_t, std::size_t> accepted_;
  std::map<std::uint64_t, std::size_t> in_flight_;
  std::map<std::pair<Uuid, std::uint64_t>, std::size_t> shipped_;
  std::map<std::uint64_t, std::uint64_t> lane_ends_;
  std::uint64_t lane_position_ = 0;
  std::uint64_t durable_ = 0;
  std::uint64_t acked_ = 0;
  std::uint64_t serial_ = 0;
  std::uint64_t history_ = 0;
  std::uint64_t conflicts_ = 0;
  std::uint64_t errors_ = 0;
  std::uint64_t trained_ = 0;
  std::string last_error_;
};

}  // namespace spillway::core::testing
