// Where a capture goes on after its death: what each kind of evidence is worth.
#include "edge-agent/ingest/capture/resume.h"

#include <gtest/gtest.h>

#include "edge-agent/ingest/capture/spill_search.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::agent::capture {
namespace {

constexpr Key kSafe{10, 0, kLastPart};

SavedPosition saved(bool open) {
  SavedPosition position;
  position.safe = kSafe;
  position.open = open;
  return position;
}

TopicProgress put_up_to(std::uint64_t done, std::optional<Key> perhaps = {}) {
  return {{done, 0, 0}, perhaps, ""};
}

TEST(Resume, AWholeSpillTellsEverything) {
  const auto point = resume_topic(saved(true), put_up_to(30), Key{20, 0, 0}, true);
  EXPECT_EQ(point.behind, (Key{20, 0, 0})) << "what was put and never arrived is put again";
  EXPECT_EQ(point.repeated_until, Key{});
  EXPECT_FALSE(point.all_of_batch);
}

TEST(Resume, NothingInAWholeSpillMeansThatNothingArrived) {
  EXPECT_EQ(resume_topic(saved(true), put_up_to(30), {}, true).behind, kSafe);
}

TEST(Resume, WhatWasDeliveredAndFreedIsKnownFromThePage) {
  const auto point = resume_topic(saved(true), put_up_to(30), {}, false);
  EXPECT_EQ(point.behind, (Key{30, 0, 0}));
  EXPECT_EQ(point.repeated_until, Key{});
}

TEST(Resume, TheOneRecordThatNobodyKnowsOfSaysSo) {
  const auto point = resume_topic(saved(true), put_up_to(30, Key{31, 0, 0}), {}, false);
  EXPECT_EQ(point.behind, (Key{30, 0, 0}));
  EXPECT_EQ(point.repeated_until, (Key{31, 0, 0}));
}

TEST(Resume, ARecordThatIsFoundWasPut) {
  const auto point = resume_topic(saved(true), put_up_to(30, Key{31, 0, 0}), Key{31, 0, 0}, false);
  EXPECT_EQ(point.behind, (Key{31, 0, 0}));
  EXPECT_EQ(point.repeated_until, Key{});
}

TEST(Resume, AfterAPowerCutInMidBatchTheRestOfItMayBeRepeated) {
  const auto point = resume_topic(saved(true), {}, {}, false);
  EXPECT_EQ(point.behind, kSafe);
  EXPECT_TRUE(point.all_of_batch);
}

TEST(Resume, AfterAPowerCutBetweenBatchesNothingIsRepeated) {
  const auto point = resume_topic(saved(false), {}, {}, false);
  EXPECT_EQ(point.behind, kSafe);
  EXPECT_FALSE(point.all_of_batch);
}

TEST(Resume, APageThatIsOlderThanThePositionTakesNothingBack) {
  EXPECT_EQ(resume_topic(saved(true), put_up_to(3), Key{5, 0, 0}, true).behind, kSafe);
}

TEST(Resume, AStreamThatIsConfiguredNoMoreWasNotSearched) {
  core::Config config;
  SavedPosition position = saved(true);
  auto& env = core::env::posix_env();
  EXPECT_TRUE(search_spill(env, config, "capture/shop", position)->complete);
  position.marks = {{"renamed", core::Uuid{}, 7}};
  EXPECT_FALSE(search_spill(env, config, "capture/shop", position)->complete);
}

}  // namespace
}  // namespace spillway::agent::capture
