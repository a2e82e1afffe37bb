// Gateways, relays and an end, of which anything is cut, killed or loses its power at random, by seed.
#include <random>

#include "spillway/core/verify.h"
#include "uplink/relay_world.h"

namespace spillway::uplink::test {
namespace {

/// Fields, one or two relays and an end; sessions, power, processes and fields' spills go at random.
class Storm {
 public:
  Storm(std::uint64_t seed, std::size_t hops) : chance_(seed) {
    for (std::size_t i = 0; i < hops; ++i) relays_.push_back(std::make_unique<Relay>(seed + i));
    for (std::uint64_t i = 0; i < 3; ++i) {
      fields_.push_back(std::make_unique<Field>(seed * 10 + i, "s" + std::to_string(i)));
      note_journal(*fields_.back(), 0);
    }
    sessions_.resize(fields_.size() + hops);
  }

  void run() {
    for (int i = 0; i < 1500; ++i) {
      try {
        act();
      } catch (const core::env::PowerCut&) {
        ++cuts_;
        for (std::size_t hop = 0; hop < relays_.size(); ++hop) restart(hop, true);
      }
    }
    EXPECT_GT(cuts_, 0U);
    heal();
    judge();
  }

 private:
  struct Promise {
    std::uint64_t first = 0;
    std::uint64_t acknowledged = 0;  // to the field
  };

  std::uint64_t below(std::uint64_t limit) { return chance_() % limit; }
  Inbox& inbox_of(std::size_t hop) {
    return hop < relays_.size() ? static_cast<Inbox&>(*relays_[hop]->inbox) : end_;
  }
  void note_journal(Field& field, std::uint64_t first) {
    promises_[{field.gateway, field.spill.newest_journal()}] = {first, first};
  }

  void act() {
    const std::uint64_t what = below(100);
    if (what < 25) {
      Field& field = *fields_[below(fields_.size())];
      field.spill.append(static_cast<std::uint32_t>(1 + below(20)));
      if (below(10) == 0) field.spill.roll();
    } else if (what < 90) {
      step(below(sessions_.size()), 1 + below(30));
    } else if (what < 93) {
      sessions_[below(sessions_.size())].reset();
    } else if (what < 95) {
      lose_field(below(fields_.size()));
    } else if (what < 97) {
      Relay& relay = *relays_[below(relays_.size())];
      relay.env.cut_power_at(relay.env.steps() + below(60));
    } else if (what < 99) {
      restart(below(relays_.size()), below(2) == 0);
    } else {
      for (const auto& relay : relays_) relay->inbox->upkeep();
    }
  }

  /// A field's power is cut: what it had shipped and not synced is gone there.
  void lose_field(std::size_t index) {
    Field& field = *fields_[index];
    sessions_[index].reset();
    const Promise& promise = promises_[{field.gateway, field.spill.newest_journal()}];
    const std::uint64_t next = field.spill.next_offset();
    if (next == promise.first) return;
    const std::uint64_t from = next - below(std::min<std::uint64_t>(next - promise.first, 30));
    field.spill.new_journal_at(from);
    note_journal(field, from);
  }

  void step(std::size_t index, std::uint64_t steps) {
    if (sessions_[index] == nullptr) begin(index);
    for (std::uint64_t i = 0; i < steps && sessions_[index] != nullptr; ++i) {
      if (!sessions_[index]->step()) break;
      note_acknowledged(index);
    }
    const bool closed =
        sessions_[index] != nullptr && sessions_[index]->uplink().state() == UplinkState::kClosed;
    if (closed) sessions_[index].reset();
  }

  void begin(std::size_t index) {
    if (index < fields_.size()) {
      sessions_[index] = fields_[index]->session(inbox_of(0));
    } else {
      const std::size_t hop = index - fields_.size();
      const bool last = hop + 1 == relays_.size();
      sessions_[index] = relays_[hop]->session(inbox_of(hop + 1), last ? as_end() : as_relay());
    }
  }

  void note_acknowledged(std::size_t index) {
    if (index >= fields_.size()) return;
    const auto& cursor = fields_[index]->spill.cursor();
    if (!cursor) return;
    const auto found = promises_.find({fields_[index]->gateway, cursor->journal});
    if (found == promises_.end()) return;
    found->second.acknowledged = std::max(found->second.acknowledged, cursor->next_offset);
  }

  /// The machine of this relay went dark, and with it its sessions on both sides.
  void restart(std::size_t hop, bool power) {
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      const bool into = hop == 0 ? i < fields_.size() : i == fields_.size() + hop - 1;
      if (into || i == fields_.size() + hop) sessions_[i].reset();
    }
    Relay& relay = *relays_[hop];
    relay.close();
    relay.env.cut_power_at(std::nullopt);
    power ? relay.env.restart_after_power_cut() : relay.env.restart_after_kill();
    relay.open();
  }

  void heal() {
    sessions_.clear();
    for (std::size_t hop = 0; hop < relays_.size(); ++hop) restart(hop, true);
    for (const auto& field : fields_) field->ship(inbox_of(0));
    for (std::size_t hop = 0; hop < relays_.size(); ++hop) {
      const bool last = hop + 1 == relays_.size();
      relays_[hop]->drain(inbox_of(hop + 1), last ? as_end() : as_relay());
    }
  }

  void judge() {
    EXPECT_EQ(end_.doubled(), 0U);
    for (const auto& field : fields_) {
      const auto& newest = promises_[{field->gateway, field->spill.newest_journal()}];
      if (field->spill.next_offset() > newest.first) {
        expect_records(end_.of(field->gateway, field->spill.newest_journal(), field->spill.name()),
                       field->spill.name(), newest.first, field->spill.next_offset());
      }
      for (const auto& [key, promise] : promises_) {
        if (key.first != field->gateway) continue;
        const auto& contents = end_.of(key.first, key.second, field->spill.name());
        EXPECT_TRUE(contents.gaps.empty()) << "nothing was dropped anywhere";
        ASSERT_GE(contents.rows.size(), promise.acknowledged - promise.first)
            << "what was acknowledged to the field did not come through";
        expect_records(contents, field->spill.name(), promise.first,
                       promise.first + contents.rows.size());
      }
    }
    for (const auto& relay : relays_) {
      for (const auto& place : value_of(core::list_foreign_streams(relay->env, kDirectory))) {
        for (const auto& damage :
             value_of(core::verify_stream(relay->env, place.directory)).damages) {
          ADD_FAILURE() << damage.path << " at byte " << damage.position << ": " << damage.reason
                        << ", offsets " << damage.first_offset << ".." << damage.next_offset;
        }
      }
    }
  }

  std::mt19937_64 chance_;
  std::vector<std::unique_ptr<Relay>> relays_;
  std::vector<std::unique_ptr<Field>> fields_;
  std::vector<std::unique_ptr<SessionPair>> sessions_;  // the fields', then the relays'
  std::map<std::pair<core::Uuid, core::Uuid>, Promise> promises_;
  MemoryInbox end_;
  std::uint64_t cuts_ = 0;
};

TEST(RelayStormTest, WhateverIsCutOrKilledNothingAcknowledgedIsLostAndNothingDoubled) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Storm(seed, 1 + seed % 2).run();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace spillway::uplink::test
