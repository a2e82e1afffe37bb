#include "tests/sim/oracle.h"

#include <algorithm>
#include <map>

#include "spillway/core/stream_reader.h"

namespace spillway::sim {

namespace {

using Contents = SimInbox::Model::Contents;

/// One stream of one gateway, at both ends.
class StreamJudge {
 public:
  StreamJudge(Context& context, const Gateway& gateway, std::size_t index, const SimInbox& inbox)
      : context_(context),
        gateway_(gateway),
        index_(index),
        plan_(gateway.plans()[index]),
        inbox_(inbox),
        where_(gateway.name() + " stream " + plan_.options.name + ": ") {
    for (const auto& [key, contents] : inbox.model().all()) {
      const auto& [id, journal, stream] = key;
      if (id == gateway.id() && stream == plan_.options.name) journals_.push_back(&contents);
    }
  }

  void judge() {
    check_end();
    for (const Contents* contents : journals_) check_whole(*contents);
    for (const Producer& producer : gateway_.producers().all()) {
      if (producer.stream == plan_.options.name) check_producer(producer);
    }
  }

  /// Where a record is: which journal, in the order of the producer's numbers, and its offset.
  struct Place {
    const Contents* journal = nullptr;
    std::uint64_t offset = 0;
  };

  void wrong(const std::string& what) { context_.trace.find(where_ + what); }

  /// The consumer stands where the stream ends, and nothing waits in front of it.
  [[nodiscard]] bool has_converged() const {
    if (gateway_.agent() == nullptr || !gateway_.agent()->runs()) return false;
    const core::Stream& stream = gateway_.agent()->stream(index_);
    if (!gateway_.producers().drained(plan_.options.name)) return false;
    const auto& all = inbox_.model().all();
    const auto found = all.find({gateway_.id(), stream.journal(), plan_.options.name});
    if (found == all.end()) return stream.oldest_offset() == stream.next_offset();
    return found->second.next_offset == stream.next_offset();
  }

 private:
  void check_end() {
    if (gateway_.agent() == nullptr || !gateway_.agent()->runs()) {
      return wrong("the agent does not run");
    }
    const core::Stream& stream = gateway_.agent()->stream(index_);
    if (!gateway_.producers().drained(plan_.options.name)) {
      wrong("records are still in their lanes: " + stream.faults().failure);
    }
    const auto& all = inbox_.model().all();
    const auto found = all.find({gateway_.id(), stream.journal(), plan_.options.name});
    const std::uint64_t next = found == all.end() ? 0 : found->second.next_offset;
    // A journal of which nothing was put yet is nothing to tell of.
    const bool empty = found == all.end() && stream.oldest_offset() == stream.next_offset();
    if (!empty && next != stream.next_offset()) {
      wrong("the consumer stands at " + std::to_string(next) + ", the stream at " +
            std::to_string(stream.next_offset()) + " of journal " + stream.journal().text());
    }
  }

  /// Each offset of a journal is stored or reported.
  void check_whole(const Contents& contents) {
    std::map<std::uint64_t, std::uint64_t> pieces;
    for (const auto& [offset, row] : contents.rows) pieces[offset] = offset + 1;
    for (const auto& gap : contents.gaps) pieces[gap.first_offset] = gap.next_offset;
    if (pieces.empty()) return;
    std::uint64_t at = pieces.begin()->first;
    for (const auto& [first, next] : pieces) {
      if (first != at) {
        return wrong("offsets from " + std::to_string(at) + " to " + std::to_string(first) +
                     " are neither stored nor reported");
      }
      at = next;
    }
    if (at != contents.next_offset) {
      wrong("the position is " + std::to_string(contents.next_offset) + " and not " +
            std::to_string(at));
    }
  }

  void check_producer(const Producer& producer) {
    std::map<std::uint64_t, Place> places;
    for (const Contents* contents : journals_) find_records(producer, *contents, places);
    const std::uint64_t count = producer.may_be_lost.size();
    for (std::uint64_t number = 0; number < count; ++number) {
      if (places.contains(number) || producer.may_be_lost[number]) continue;
      if (!is_excused(places, number) && !is_written_down_only() &&
          !inbox_.has_forgotten(record_text(producer, number)) &&
          !inbox_.has_forgotten_gap(gateway_.id(), plan_.options.name)) {
        return wrong(producer.name + "#" + std::to_string(number) + " of " + std::to_string(count) +
                     " is lost");
      }
    }
    check_order(producer, places);
  }

  void find_records(const Producer& producer, const Contents& contents,
                    std::map<std::uint64_t, Place>& places) {
    for (const auto& [offset, row] : contents.rows) {
      const auto number = record_number(producer, row.payload);
      if (!number) continue;
      if (*number >= producer.may_be_lost.size() || row.payload != record_text(producer, *number) ||
          row.topic != producer.topic) {
        return wrong("offset " + std::to_string(offset) + " holds what was never put there");
      }
      if (!places.emplace(*number, Place{&contents, offset}).second) {
        return wrong(producer.name + "#" + std::to_string(*number) + " is there twice");
      }
    }
  }

  void check_order(const Producer& producer, const std::map<std::uint64_t, Place>& places) {
    std::map<const Contents*, std::uint64_t> last;
    const Contents* journal = nullptr;
    for (const auto& [number, place] : places) {
      const bool returned = place.journal != journal && last.contains(place.journal);
      auto& before = last[place.journal];
      if (returned || (place.journal == journal && place.offset <= before)) {
        return wrong(producer.name + "#" + std::to_string(number) + " is out of order at offset " +
                     std::to_string(place.offset));
      }
      journal = place.journal;
      before = place.offset;
    }
  }

  [[nodiscard]] bool may_have(std::uint8_t reason) const {
    switch (static_cast<format::GapReason>(reason)) {
      case format::GapReason::quota:
        return plan_.options.when_full == core::WhenFull::kDropOldest;
      case format::GapReason::age:
        return plan_.options.max_age_ns != 0;
      default:
        return false;
    }
  }

  /// Its whole journal was dropped before the far end had it: that stands in the stream's own table and
  /// is told to nobody, for a Hello names no journal of which nothing is held.
  [[nodiscard]] bool is_written_down_only() const {
    const auto& written = gateway_.agent()->stream(index_).gaps().all();
    return std::any_of(written.begin(), written.end(), [&](const core::Gap& gap) {
      const bool dropped =
          gap.reason == format::GapReason::quota || gap.reason == format::GapReason::age;
      return dropped && may_have(static_cast<std::uint8_t>(gap.reason)) && !is_told(gap);
    });
  }
  [[nodiscard]] bool is_told(const core::Gap& gap) const {
    return std::any_of(journals_.begin(), journals_.end(), [&](const Contents* contents) {
      return std::any_of(contents->gaps.begin(), contents->gaps.end(), [&](const auto& told) {
        return told.first_offset <= gap.first_offset && gap.next_offset <= told.next_offset;
      });
    });
  }

  /// A gap that may be stands between the neighbours of the missing record.
  [[nodiscard]] bool is_excused(const std::map<std::uint64_t, Place>& places,
                                std::uint64_t number) const {
    const auto behind = places.upper_bound(number);
    const Place* next = behind == places.end() ? nullptr : &behind->second;
    const Place* last = behind == places.begin() ? nullptr : &std::prev(behind)->second;
    for (const Contents* contents : journals_) {
      for (const auto& gap : contents->gaps) {
        if (!may_have(gap.reason)) continue;
        if (next != nullptr && next->journal == contents && gap.first_offset >= next->offset) {
          continue;
        }
        if (last != nullptr && last->journal == contents && gap.next_offset <= last->offset) {
          continue;
        }
        return true;
      }
    }
    return false;
  }

  Context& context_;
  const Gateway& gateway_;
  std::size_t index_;
  const StreamPlan& plan_;
  const SimInbox& inbox_;
  std::string where_;
  std::vector<const Contents*> journals_;
};

}  // namespace

bool has_converged(Context& context, const std::vector<std::unique_ptr<Gateway>>& gateways,
                   const SimInbox& inbox) {
  for (const auto& gateway : gateways) {
    for (std::size_t i = 0; i < gateway->plans().size(); ++i) {
      if (!StreamJudge(context, *gateway, i, inbox).has_converged()) return false;
    }
  }
  return true;
}

void judge(Context& context, const std::vector<std::unique_ptr<Gateway>>& gateways,
           const SimInbox& inbox) {
  for (const auto& gateway : gateways) {
    for (std::size_t i = 0; i < gateway->plans().size(); ++i) {
      StreamJudge(context, *gateway, i, inbox).judge();
    }
  }
}

}  // namespace spillway::sim
