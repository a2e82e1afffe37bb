// What the tests of relays share: gateways in the field, relays, and what the end must hold.
#pragma once

#include <gtest/gtest.h>

#include "core/spill_helpers.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/relay_directory.h"
#include "uplink/consumer/relay/relay_inbox.h"
#include "uplink/memory_inbox.h"
#include "uplink/session/foreign_sources.h"
#include "uplink/session_pair.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {

using consumer::ConsumerSessionOptions;
using consumer::Inbox;
using consumer::RelayInbox;
using consumer::RelayOptions;
using core::testing::value_of;

inline constexpr const char* kDirectory = "/relay";

inline ConsumerSessionOptions as_relay() {
  ConsumerSessionOptions options;
  options.keeps_blocks = true;
  options.relays = {"relay"};
  return options;
}

inline ConsumerSessionOptions as_end() {
  ConsumerSessionOptions options;
  options.relays = {"relay"};
  return options;
}

/// One machine between: its consumer's store, and its uplink's sources.
class Relay {
 public:
  explicit Relay(std::uint64_t seed) : env(seed) {
    options.directory = kDirectory;
    options.segment_bytes = core::kForeignSegmentBytesMin;
    options.stream_bytes = 64 * core::kForeignSegmentBytesMin;
    options.uplinks = {"cloud"};
    open();
  }

  void open() {
    sources.clear();
    inbox.reset();
    inbox = value_of(RelayInbox::open(env, options));
  }
  void close() {
    sources.clear();
    inbox.reset();
  }

  /// One session of its uplink; it ends where there is nothing more to send.
  std::unique_ptr<SessionPair> session(Inbox& next, const ConsumerSessionOptions& end) {
    value_of(open_new_foreign(env, kDirectory, "cloud", sources));
    pointers.clear();
    for (const auto& source : sources) pointers.push_back(source.get());
    if (pointers.empty()) return nullptr;
    const UplinkSessionOptions uplink{inbox->gateway().id, "relay", "cloud", 4U << 20};
    return std::make_unique<SessionPair>(uplink, pointers, next, end);
  }
  void drain(Inbox& next, const ConsumerSessionOptions& end) {
    constexpr int kSessionsMax = 10;
    for (int i = 0; i < kSessionsMax; ++i) {
      const auto pair = session(next, end);
      if (pair == nullptr || pair->run()) return;
      ASSERT_NE(pair->error().find("new session"), std::string::npos) << pair->error();
    }
    FAIL() << "the relay does not come to an end";
  }

  core::env::SimEnv env;
  RelayOptions options;
  std::unique_ptr<RelayInbox> inbox;
  std::vector<std::unique_ptr<StreamSource>> sources;
  std::vector<BlockSource*> pointers;
};

/// A gateway in the field, with one stream.
struct Field {
  Field(std::uint64_t number, const std::string& stream)
      : gateway(uuid_number(number)), spill(stream, number) {}
  std::unique_ptr<SessionPair> session(Inbox& relay) {
    source = &spill;
    return std::make_unique<SessionPair>(
        UplinkSessionOptions{gateway, "site/" + gateway.text().substr(0, 4), "site", 4U << 20},
        std::span(&source, 1), relay, as_relay());
  }
  void ship(Inbox& relay) {
    const auto pair = session(relay);
    ASSERT_TRUE(pair->run()) << pair->error();
  }
  core::Uuid gateway;
  FakeSpill spill;
  BlockSource* source = nullptr;
};

inline void expect_records(const MemoryInbox::Contents& contents, const std::string& stream,
                           std::uint64_t first, std::uint64_t next) {
  ASSERT_EQ(contents.rows.size(), next - first);
  std::uint64_t offset = first;
  for (const auto& [at, row] : contents.rows) {
    ASSERT_EQ(at, offset);
    ASSERT_EQ(row.payload, record_text(stream, offset));
    ASSERT_TRUE(row.produced_at_ns) << "the clock's reading did not come along";
    ++offset;
  }
}

}  // namespace spillway::uplink::test
