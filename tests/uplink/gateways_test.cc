// Who may send: the decision, the registry's file, and the thread between.
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "uplink/consumer/gateways/admission.h"
#include "uplink/consumer/gateways/fencing.h"
#include "uplink/consumer/gateways/gateway_keeper.h"
#include "uplink/consumer/gateways/sqlite_gateways.h"
#include "uplink/consumer/inbox/sqlite_schema.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::Admission;
using consumer::GatewayBook;
using consumer::GatewayKeeper;
using consumer::GatewayState;
using consumer::KnownGateways;
using consumer::Sighting;
using consumer::SqliteGateways;

const core::Uuid kOne = uuid_number(1);
const core::Uuid kTwo = uuid_number(2);

TEST(GatewayBook, LetsNobodyInBeforeTheListWasRead) {
  GatewayBook book({});
  ASSERT_TRUE(book.refusal(kOne));
  EXPECT_EQ(book.refusal(kOne)->code, RefusalCode::kUnavailable);
  book.load({});
  EXPECT_FALSE(book.refusal(kOne));
}

TEST(GatewayBook, OpenMeansAllButTheRevoked) {
  GatewayBook book({});
  book.load({{kOne, {GatewayState::kRevoked, ""}}, {kTwo, {GatewayState::kNew, ""}}});
  EXPECT_EQ(book.refusal(kOne)->code, RefusalCode::kNotAllowed);
  EXPECT_FALSE(book.refusal(kTwo));
  EXPECT_FALSE(book.refusal(uuid_number(3)));
}

TEST(GatewayBook, KnownMeansTheAllowedAlone) {
  GatewayBook book({true, false});
  book.load({{kOne, {GatewayState::kAllowed, ""}}, {kTwo, {GatewayState::kNew, ""}}});
  EXPECT_FALSE(book.refusal(kOne));
  EXPECT_EQ(book.refusal(kTwo)->code, RefusalCode::kNotAllowed);
  // The way out stands in the refusal.
  EXPECT_NE(book.refusal(uuid_number(3))->text.find("gateway allow " + uuid_number(3).text()),
            std::string::npos);
}

TEST(GatewayBook, ACertificateThatNamesAGatewayIsThatOnesAlone) {
  GatewayBook book({});
  const std::vector<std::string> names{"pump-3.example", "urn:spillway:gateway:" + kOne.text()};
  EXPECT_FALSE(book.refusal_by_certificate(kOne, names));
  const auto refusal = book.refusal_by_certificate(kTwo, names);
  ASSERT_TRUE(refusal);
  EXPECT_NE(refusal->text.find(kOne.text()), std::string::npos);
  EXPECT_NE(refusal->text.find(kTwo.text()), std::string::npos);
  const std::vector<std::string> dns{kTwo.text() + ".gateways.example"};
  EXPECT_FALSE(book.refusal_by_certificate(kTwo, dns));
  EXPECT_TRUE(book.refusal_by_certificate(kOne, dns));
  const std::vector<std::string> others{"pump-3.example", "urn:uuid:" + kOne.text()};
  EXPECT_FALSE(book.refusal_by_certificate(kTwo, others));
  EXPECT_TRUE(GatewayBook({false, true}).refusal_by_certificate(kTwo, others));
  EXPECT_TRUE(GatewayBook({false, true}).refusal_by_certificate(kTwo, {}));
}

TEST(Admission, LooksUpSoManyAtOnceAndSpreadsTheOthers) {
  Admission admission;
  std::vector<std::uint64_t> times;
  std::size_t let_in = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto answer = admission.ask(1'000'000'000);
    if (answer.let_in) {
      ++let_in;
    } else {
      times.push_back(answer.retry_after_ms);
    }
  }
  EXPECT_EQ(let_in, Admission::kLookupsMax);
  ASSERT_EQ(times.size(), 1000 - Admission::kLookupsMax);
  // Each its own time: no more than what one step takes at once, within any step.
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  EXPECT_GE(times.front(), Admission::kStepNs / 1'000'000);
  constexpr std::uint64_t kStepMs = Admission::kStepNs / 1'000'000;
  for (const std::uint64_t begin : times) {
    const auto in_step = std::count_if(times.begin(), times.end(), [&](std::uint64_t time) {
      return time >= begin && time < begin + kStepMs;
    });
    EXPECT_LE(static_cast<std::size_t>(in_step), Admission::kLookupsMax + 1);
  }
  EXPECT_LE(times.back(), 5000U);
  admission.on_looked_up();
  EXPECT_TRUE(admission.ask(1'000'000'000).let_in);
}

TEST(Admission, NoStormSendsAnybodyAwayForLongerThanTheBound) {
  Admission admission;
  std::uint64_t longest = 0;
  for (int i = 0; i < 100'000; ++i) longest = std::max(longest, admission.ask(5).retry_after_ms);
  EXPECT_LE(longest, Admission::kRetryNsMax / 1'000'000);
}

TEST(Admission, RestsWhileTheInboxTakesNothingAndLongerEachTime) {
  Admission admission;
  std::uint64_t now = 1;
  std::uint64_t last = 0;
  for (int round = 0; round < 8; ++round) {
    EXPECT_TRUE(admission.ask(now).let_in);
    admission.on_looked_up();
    admission.on_inbox_failed(now);
    admission.on_inbox_failed(now);  // the same transaction's other batches
    const auto answer = admission.ask(now);
    EXPECT_FALSE(answer.let_in);
    EXPECT_TRUE(answer.resting);
    EXPECT_GE(answer.retry_after_ms * 1'000'000 + 1'000'000, Admission::kRestNsMin);
    std::uint64_t rest = 0;
    while (admission.is_resting(now + rest)) rest += 100'000'000;
    EXPECT_GE(rest, last);
    EXPECT_LE(rest, Admission::kRestNsMax + 100'000'000);
    last = rest;
    now += rest;
  }
  admission.on_inbox_worked();
  admission.on_inbox_failed(now);
  EXPECT_FALSE(admission.is_resting(now + Admission::kRestNsMin));
}

TEST(Fencing, TwoThatTakeTurnsDoSoEverMoreSlowly) {
  consumer::Fencing fencing;
  std::uint64_t now = 1;
  std::uint64_t last = 0;
  for (int takeover = 0; takeover < 10; ++takeover) {
    const std::uint64_t wait = fencing.on_takeover(kOne, now);
    EXPECT_GE(wait, last);
    last = wait;
    now += wait * 1'000'000;
  }
  EXPECT_EQ(last, consumer::Fencing::kLongestMs);
  // Another's is another matter, and a quiet while forgets it.
  EXPECT_EQ(fencing.on_takeover(kTwo, now), consumer::Fencing::kFirstMs);
  EXPECT_EQ(fencing.on_takeover(kOne, now + consumer::Fencing::kQuietNs + 1),
            consumer::Fencing::kFirstMs);
}

TEST(Fencing, ItsMemoryIsBounded) {
  consumer::Fencing fencing;
  for (std::uint64_t i = 0; i < consumer::Fencing::kGatewaysMax; ++i) {
    EXPECT_EQ(fencing.on_takeover(uuid_number(i), 1), consumer::Fencing::kFirstMs);
  }
  EXPECT_EQ(fencing.on_takeover(uuid_number(1'000'000), 2), consumer::Fencing::kLongestMs);
  EXPECT_EQ(fencing.on_takeover(uuid_number(1'000'000), consumer::Fencing::kQuietNs + 3),
            consumer::Fencing::kFirstMs);
}

class GatewaysTest : public ::testing::Test {
 protected:
  GatewaysTest() : directory_(::testing::TempDir() + "/gateways-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    path_ = directory_ + "/inbox.db";
  }
  ~GatewaysTest() override { std::filesystem::remove_all(directory_); }

  SqliteGateways open() {
    auto database = consumer::open_inbox_database(path_);
    EXPECT_TRUE(database) << database.error().message;
    return SqliteGateways(std::move(*database));
  }
  static Sighting seen(const std::string& name, std::uint64_t at_ns) {
    Sighting sighting;
    sighting.name = name;
    sighting.address = "10.0.0.7";
    sighting.uplink = "cloud";
    sighting.at_ns = at_ns;
    sighting.sessions = 1;
    sighting.connected = 1;
    return sighting;
  }

  std::string directory_;
  std::string path_;
};

TEST_F(GatewaysTest, WhatWasSeenAddsUpAndNeverTouchesWhatAPersonDecided) {
  auto gateways = open();
  ASSERT_TRUE(gateways.note({{kOne, seen("pump-3", 100)}}, 10));
  ASSERT_TRUE(gateways.set_state(kOne, GatewayState::kRevoked));
  ASSERT_TRUE(gateways.rename(kOne, "the old pump"));
  auto again = seen("pump-4", 200);
  again.uplink = "second";
  again.conflicts = 2;
  ASSERT_TRUE(gateways.note({{kOne, again}}, 10));
  const auto rows = *gateways.list();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].state, "revoked");
  EXPECT_EQ(rows[0].name, "pump-4");
  EXPECT_EQ(rows[0].given_name, "the old pump");
  EXPECT_EQ(rows[0].first_seen_ns, 100U);
  EXPECT_EQ(rows[0].last_seen_ns, 200U);
  EXPECT_EQ(rows[0].sessions, 2U);
  EXPECT_EQ(rows[0].conflicts, 2U);
  EXPECT_EQ(rows[0].uplinks, "cloud,second");
  EXPECT_EQ((*gateways.known())[kOne].state, GatewayState::kRevoked);
  ASSERT_TRUE(gateways.forget_connected());
  EXPECT_EQ((*gateways.list())[0].connected, 0U);
}

TEST_F(GatewaysTest, StrangersCannotFillTheList) {
  auto gateways = open();
  std::map<core::Uuid, Sighting> strangers;
  for (std::uint64_t i = 0; i < 50; ++i) strangers[uuid_number(100 + i)] = seen("stranger", i);
  ASSERT_TRUE(gateways.note(strangers, 10));
  EXPECT_EQ(gateways.list()->size(), 10U);
  // One that is on the list is still brought up to date, and one can be allowed all the same.
  ASSERT_TRUE(gateways.set_state(kOne, GatewayState::kAllowed));
  ASSERT_TRUE(gateways.note({{kOne, seen("pump-3", 7)}}, 10));
  EXPECT_EQ(gateways.list()->size(), 11U);
  EXPECT_EQ(*gateways.find("pump-3"), kOne);
}

TEST_F(GatewaysTest, AreFoundByIdAndByANameThatIsOnesAlone) {
  auto gateways = open();
  ASSERT_TRUE(gateways.note({{kOne, seen("pump", 1)}, {kTwo, seen("pump", 1)}}, 10));
  EXPECT_EQ(*gateways.find(kOne.text()), kOne);
  EXPECT_EQ(gateways.find("pump").error().code, core::ErrorCode::kInvalidArgument);
  EXPECT_EQ(gateways.find("pimp").error().code, core::ErrorCode::kNotFound);
  ASSERT_TRUE(gateways.rename(kOne, "north"));
  EXPECT_EQ(*gateways.find("north"), kOne);
  EXPECT_EQ(*gateways.find("pump"), kTwo);
  EXPECT_EQ(gateways.rename(uuid_number(9), "x").error().code, core::ErrorCode::kNotFound);
}

TEST_F(GatewaysTest, TheKeeperTellsAChangeByAnotherProcessAndWritesWhatWasSeen) {
  auto person = open();
  std::mutex mutex;
  std::condition_variable told;
  std::vector<KnownGateways> lists;
  const auto wait_for = [&](const std::function<bool()>& done) {
    std::unique_lock lock(mutex);
    return told.wait_for(lock, std::chrono::seconds(60), done);
  };
  int refusals = 2;
  GatewayKeeper keeper(
      [&]() -> core::Result<std::unique_ptr<consumer::GatewayStore>> {
        if (refusals-- > 0) return core::fail(core::ErrorCode::kFull, "the disk is full");
        return std::make_unique<SqliteGateways>(std::move(*consumer::open_inbox_database(path_)));
      },
      10,
      [&](KnownGateways known) {
        const std::lock_guard lock(mutex);
        lists.push_back(std::move(known));
        told.notify_all();
      });
  keeper.note(kOne, seen("pump-3", 5));  // before it can be written
  ASSERT_TRUE(wait_for([&] { return !lists.empty(); }));
  ASSERT_TRUE(person.set_state(kTwo, GatewayState::kRevoked));
  ASSERT_TRUE(wait_for([&] { return lists.back().contains(kTwo); }));
  EXPECT_EQ(lists.back()[kTwo].state, GatewayState::kRevoked);
  keeper.note(kOne, seen("pump-3", 6));
  keeper.stop();
  const auto rows = *person.list();
  ASSERT_EQ(rows.size(), 2U);
  const auto& one = rows[0].id == kOne.text() ? rows[0] : rows[1];
  EXPECT_EQ(one.sessions, 2U);
  EXPECT_EQ(one.last_seen_ns, 6U);
}

}  // namespace
}  // namespace spillway::uplink::test
