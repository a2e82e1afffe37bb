// What opening a stream costs, counted in opened files and reads: the same with many segments as with
// few. (Timed with real files: ./run bench start.)
#include "core/spill/segment_file.h"
#include "spill_helpers.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core {
namespace {

using testing::append_records;
using testing::value_of;

struct Cost {
  std::uint64_t opens = 0;
  std::uint64_t reads = 0;
  bool operator==(const Cost&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Cost& cost) {
  return out << cost.opens << " opens, " << cost.reads << " reads";
}

/// A stream of so many segments of one journal, all but the last full, closed and synced.
class Backlog {
 public:
  explicit Backlog(std::size_t segments) {
    env_.set_volatile_root("/run");
    options_ = testing::small_options("");
    options_.max_bytes = std::max<std::uint64_t>(1 << 20, 4 * segments * options_.segment_bytes);
    append_until(segments);
  }

  void append_until(std::size_t segments) {
    auto stream = value_of(Stream::open(env_, options_));
    value_of(stream->declare_lane(testing::make_identity(1), 0, 0, false));
    while (names().size() < segments) {
      value_of(append_records(*stream, 1, {std::string(10'000, 'x')}));
      if (stream->sync_is_urgent()) value_of(testing::sync_now(*stream));
    }
    value_of(stream->close());
    next_offset_ = stream->next_offset();
  }

  std::vector<SegmentInfo> names() {
    return value_of(list_segment_names(env_, options_.directory));
  }

  template <typename Work>
  Cost cost_of(Work work) {
    const Cost before{env_.opens(), env_.reads()};
    work();
    return {env_.opens() - before.opens, env_.reads() - before.reads};
  }

  env::SimEnv env_{1};
  StreamOptions options_;
  std::uint64_t next_offset_ = 0;
};

constexpr std::size_t kFew = 4;
constexpr std::size_t kMany = 150;

/// The same work on a small backlog and on a large one.
template <typename Work>
void expect_same_cost(Work work) {
  Backlog few(kFew);
  Backlog many(kMany);
  ASSERT_EQ(few.names().size(), kFew);
  ASSERT_EQ(many.names().size(), kMany);
  const Cost small = few.cost_of([&] { work(few); });
  const Cost large = many.cost_of([&] { work(many); });
  EXPECT_GT(small.opens, 0U);
  EXPECT_EQ(small, large);
}

TEST(StartCostTest, ARestartedAgentReadsNoMoreWithALargeBacklog) {
  expect_same_cost([](Backlog& backlog) {
    backlog.env_.restart_after_kill();
    const auto stream = value_of(Stream::open(backlog.env_, backlog.options_));
    EXPECT_EQ(stream->next_offset(), backlog.next_offset_);
    EXPECT_FALSE(stream->recovery().new_journal);
  });
}

TEST(StartCostTest, AnAgentAfterAPowerCutReadsNoMoreWithALargeBacklog) {
  expect_same_cost([](Backlog& backlog) {
    backlog.env_.restart_after_power_cut();
    const auto stream = value_of(Stream::open(backlog.env_, backlog.options_));
    EXPECT_EQ(stream->next_offset(), backlog.next_offset_);
    EXPECT_TRUE(stream->recovery().new_journal);
  });
}

TEST(StartCostTest, TheQuotaCountsSegmentsThatWereNeverOpened) {
  Backlog backlog(kMany);
  backlog.env_.restart_after_kill();
  const auto stream = value_of(Stream::open(backlog.env_, backlog.options_));
  EXPECT_EQ(stream->held_bytes(), kMany * backlog.options_.segment_bytes);
}

TEST(StartCostTest, AReaderAtTheEndReadsNoMoreWithALargeBacklog) {
  expect_same_cost([](Backlog& backlog) {
    const auto reader = value_of(StreamReader::open(backlog.env_, backlog.options_.directory));
    value_of(reader->seek(backlog.next_offset_ - 1));
    while (reader->position() < backlog.next_offset_) value_of(reader->next());
  });
}

TEST(StartCostTest, AnUplinksHelloReadsNoMoreWithALargeBacklog) {
  expect_same_cost([](Backlog& backlog) {
    const auto reader = value_of(StreamReader::open(backlog.env_, backlog.options_.directory));
    const auto journals = value_of(reader->journals());
    ASSERT_EQ(journals.size(), 1U);
    EXPECT_EQ(journals[0].next_offset, backlog.next_offset_);
  });
}

TEST(StartCostTest, EachJournalIsFoundAmongMany) {
  // Three power cuts, so four journals of different lengths.
  Backlog backlog(40);
  std::vector<std::uint64_t> firsts = {0};
  for (const std::size_t until : {std::size_t{43}, std::size_t{100}, kMany}) {
    backlog.env_.restart_after_power_cut();
    firsts.push_back(backlog.next_offset_);
    backlog.append_until(until);
  }
  const auto reader = value_of(StreamReader::open(backlog.env_, backlog.options_.directory));
  std::vector<JournalRange> found;
  const Cost cost = backlog.cost_of([&] { found = value_of(reader->journals()); });
  ASSERT_EQ(found.size(), firsts.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].sequence, i);
    EXPECT_EQ(found[i].first_offset, firsts[i]);
    EXPECT_EQ(found[i].next_offset, i + 1 < firsts.size() ? firsts[i + 1] : backlog.next_offset_);
  }
  // A halving for each journal.
  EXPECT_LT(cost.opens, 4 * 8 + 4U);
}

}  // namespace
}  // namespace spillway::core
