// The thread between an engine and the inbox: what it tells the engine, and when; with an engine that is
// a model here and does all that engines do.
#include "uplink/consumer/sources/source_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <random>
#include <thread>

#include "spillway/core/env/posix_env.h"
#include "uplink/memory_inbox.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::BrokerMessage;
using consumer::BrokerSource;
using consumer::InboxMark;
using consumer::InboxWriter;
using consumer::SourceGate;
using consumer::SourceRunner;

constexpr std::chrono::seconds kWatchdog{60};

struct EngineMessage {
  std::map<std::string, std::string, std::less<>> headers;
  std::string payload;
};

/// A queue that several read. Any thread.
struct Engine {
  std::mutex mutex;
  std::deque<EngineMessage> waiting;
  std::vector<EngineMessage> dead;
  std::size_t unsettled = 0;
  std::mt19937_64 random{5};
  std::uint64_t breaks_every = 0;  // about so many fetches; 0: never

  bool is_empty() {
    const std::lock_guard lock(mutex);
    return waiting.empty() && unsettled == 0;
  }
};

class EngineSource final : public BrokerSource {
 public:
  explicit EngineSource(Engine& engine, bool marks = false) : engine_(engine), marks_(marks) {}
  ~EngineSource() override { EngineSource::disconnect(); }

  const std::string& name() const override { return name_; }
  core::Result<void> connect(std::uint64_t, const ReadMarks& read_marks) override {
    if (!marks_) return {};
    auto read = read_marks();
    if (!read) return tl::unexpected(read.error());
    marks_read_.push_back(read->empty() ? 0 : read->front().position);
    tag_ = marks_read_.back();
    return {};
  }
  core::Result<void> fetch(std::uint64_t, std::size_t messages_max,
                           const OnMessage& on_message) override {
    const std::lock_guard lock(engine_.mutex);
    if (engine_.breaks_every != 0 && engine_.random() % engine_.breaks_every == 0) {
      return core::fail(core::ErrorCode::kUnavailable, "the engine was killed");
    }
    const std::size_t most = engine_.random() % 100;
    for (std::size_t i = 0; i < std::min(messages_max, most) && !engine_.waiting.empty(); ++i) {
      EngineMessage message = std::move(engine_.waiting.front());
      engine_.waiting.pop_front();
      ++engine_.unsettled;
      const HeaderLookup header =
          [&message](std::string_view name) -> std::optional<std::string_view> {
        const auto found = message.headers.find(name);
        if (found == message.headers.end()) return std::nullopt;
        return found->second;
      };
      const bool more = on_message({++tag_, &header, std::as_bytes(std::span(message.payload))});
      unsettled_.emplace(tag_, std::move(message));
      if (!more) break;
    }
    return {};
  }
  core::Result<void> settle(std::uint64_t tag) override {
    const std::lock_guard lock(engine_.mutex);
    while (!unsettled_.empty() && unsettled_.begin()->first <= tag) {
      unsettled_.erase(unsettled_.begin());
      --engine_.unsettled;
    }
    return {};
  }
  core::Result<void> refuse(std::uint64_t tag, const std::string&) override {
    const std::lock_guard lock(engine_.mutex);
    engine_.dead.push_back(std::move(unsettled_.at(tag)));
    unsettled_.erase(tag);
    --engine_.unsettled;
    return {};
  }
  std::vector<InboxMark> marks(std::uint64_t tag) override {
    if (!marks_) return {};
    return {{name_, "", tag}};
  }
  /// In any order, and before what was not sent yet, or behind it.
  void disconnect() override {
    const std::lock_guard lock(engine_.mutex);
    for (auto& [tag, message] : unsettled_) {
      --engine_.unsettled;
      if (engine_.random() % 2 == 0) {
        engine_.waiting.push_front(std::move(message));
      } else {
        engine_.waiting.push_back(std::move(message));
      }
    }
    unsettled_.clear();
  }

 private:
  Engine& engine_;
  bool marks_;
  std::string name_ = "model";
  std::uint64_t tag_ = 0;
  std::map<std::uint64_t, EngineMessage> unsettled_;
  std::vector<std::uint64_t> marks_read_;
};

EngineMessage record(std::uint64_t gateway, std::uint64_t offset) {
  Envelope envelope;
  envelope.gateway = uuid_number(gateway);
  envelope.journal = uuid_number(2);
  envelope.stream = "one";
  envelope.offset = offset;
  envelope.lane = 0xAB;
  envelope.topic = "a/b";
  EngineMessage message;
  for (auto& [name, value] : write_envelope(envelope)) message.headers[std::string(name)] = value;
  message.payload = std::to_string(offset);
  return message;
}

class SourceRunnerTest : public ::testing::Test {
 protected:
  SourceRunnerTest() {
    auto inbox = std::make_unique<MemoryInbox>();
    inbox_ = inbox.get();
    writer_ = std::make_unique<InboxWriter>(std::move(inbox));
  }
  std::unique_ptr<SourceRunner> run(bool marks = false) {
    return std::make_unique<SourceRunner>(std::make_unique<EngineSource>(engine_, marks), *writer_,
                                          gate_, consumer::RecordRules{}, core::env::posix_env());
  }
  void wait_until_empty() {
    const auto end = std::chrono::steady_clock::now() + kWatchdog;
    while (!engine_.is_empty()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "the engine's queue is not empty";
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  Engine engine_;
  SourceGate gate_{{}};
  MemoryInbox* inbox_ = nullptr;
  std::unique_ptr<InboxWriter> writer_;
};

TEST_F(SourceRunnerTest, BreaksFailingCommitsDoublesAndRubbishLeaveEachRecordOnce) {
  constexpr std::uint64_t kRecords = 4000;
  std::vector<EngineMessage> messages;
  for (std::uint64_t gateway = 1; gateway <= 3; ++gateway) {
    for (std::uint64_t offset = 0; offset < kRecords; ++offset) {
      messages.push_back(record(gateway, offset));
      if (offset % 5 == 0) messages.push_back(messages.back());
    }
  }
  for (int i = 0; i < 100; ++i) messages.push_back({{{"x", "y"}}, "rubbish"});
  std::shuffle(messages.begin(), messages.end(), std::mt19937_64(9));
  engine_.waiting.assign(messages.begin(), messages.end());
  engine_.breaks_every = 150;
  inbox_->fail_next(3);
  gate_.set_known({});
  {
    const auto first = run();
    const auto second = run();
    wait_until_empty();
  }
  writer_->stop();
  EXPECT_EQ(engine_.dead.size(), 100U);
  for (std::uint64_t gateway = 1; gateway <= 3; ++gateway) {
    const auto& contents = inbox_->of(uuid_number(gateway), uuid_number(2), "one");
    EXPECT_EQ(contents.next_offset, kRecords);
    EXPECT_EQ(contents.rows.size(), kRecords);
    EXPECT_EQ(contents.rows.at(77).payload, "77");
  }
  EXPECT_EQ(inbox_->doubled(), 0U);
}

TEST_F(SourceRunnerTest, NothingIsTakenBeforeTheGatewaysAreKnownAndNothingOfARevokedOne) {
  for (std::uint64_t offset = 0; offset < 50; ++offset) {
    engine_.waiting.push_back(record(1, offset));
    engine_.waiting.push_back(record(2, offset));
  }
  std::map<core::Uuid, consumer::Sighting> seen;
  gate_.when_seen([&seen](const core::Uuid& gateway, const consumer::Sighting& sighting) {
    seen[gateway].turned_away += sighting.turned_away;
  });
  {
    const auto runner = run();
    {
      const std::lock_guard lock(engine_.mutex);
      EXPECT_EQ(engine_.waiting.size(), 100U);
    }
    EXPECT_EQ(runner->counts().messages, 0U);
    gate_.set_known({{uuid_number(2), {consumer::GatewayState::kRevoked, ""}}});
    wait_until_empty();
    EXPECT_EQ(runner->counts().turned_away, 50U);
  }
  writer_->stop();
  EXPECT_EQ(engine_.dead.size(), 50U);
  EXPECT_EQ(inbox_->of(uuid_number(1), uuid_number(2), "one").rows.size(), 50U);
  EXPECT_EQ(seen.at(uuid_number(2)).turned_away, 50U);
  EXPECT_EQ(seen.at(uuid_number(1)).turned_away, 0U);
}

TEST_F(SourceRunnerTest, MarksAreStoredBehindTheirRecordsAndReadAtEachConnection) {
  for (std::uint64_t offset = 0; offset < 500; ++offset)
    engine_.waiting.push_back(record(1, offset));
  gate_.set_known({});
  {
    const auto runner = run(true);
    wait_until_empty();
  }
  EXPECT_EQ(inbox_->marks("model")->front().position, 500U);
  for (std::uint64_t offset = 500; offset < 600; ++offset) {
    engine_.waiting.push_back(record(1, offset));
  }
  {
    const auto runner = run(true);
    wait_until_empty();
  }
  writer_->stop();
  EXPECT_EQ(inbox_->marks("model")->front().position, 600U);
  EXPECT_EQ(inbox_->of(uuid_number(1), uuid_number(2), "one").next_offset, 600U);
}

}  // namespace
}  // namespace spillway::uplink::test
