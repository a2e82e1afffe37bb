// The uplink fuzzer: a consumer that lies, against the real uplink session and its pumps. It knows the
// protocol: most of what it says begins as an honest message. What it shows: no crash, no hang, no more on
// its way than the window allows, no cursor that goes back or beyond what was sent.
#include <algorithm>
#include <array>
#include <optional>

#include "tests/fuzz/program.h"
#include "tests/fuzz/promise.h"
#include "tests/uplink/spill_maker.h"
#include "uplink/session/uplink_session.h"

namespace spillway::fuzz {
namespace {

using uplink::Bytes;
using uplink::UplinkSession;
using uplink::UplinkState;
using uplink::test::FakeSpill;

constexpr int kInstructionsMax = 200;
constexpr std::uint32_t kRecordsAtOnceMax = 20;
constexpr std::size_t kSaidMax = 32;
constexpr int kPullsAtOnceMax = 4;
constexpr std::uint64_t kSecondNs = 1'000'000'000;

class World {
 public:
  explicit World(Program program) : program_(program) {
    for (FakeSpill& spill : spills_) spill.append(5);
    connect();
  }

  void run() {
    for (int i = 0; i < kInstructionsMax && program_.more(); ++i) {
      instruction();
      check_session();
    }
  }

 private:
  void instruction() {
    FakeSpill& spill = spills_[program_.choice(2)];
    switch (program_.choice(13)) {
      case 0:
        return spill.append(1 + program_.choice(kRecordsAtOnceMax));
      case 1:
        return spill.roll();
      case 2:
        return begin_journal(&spill == spills_.data() ? 0 : 1);
      case 3:
        return pull();
      case 4:
      case 5:
        return tell(uplink::encode(welcome()));
      case 6:
        return acknowledge(true);
      case 7:
        return acknowledge(false);
      case 8:
        return tell(uplink::encode(
            uplink::Refusal{static_cast<uplink::RefusalCode>(program_.choice(8)), "no"}));
      case 9: {
        const auto bytes = program_.bytes(program_.byte());
        const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
        return tell(Bytes(begin, begin + bytes.size()));
      }
      case 10:
        return tell(altered(program_.choice(2) == 0 ? uplink::encode(welcome())
                                                    : uplink::encode(honest_ack())));
      case 11:
        now_ns_ += program_.choice(90) * kSecondNs;
        return note(session_->on_tick(now_ns_));
      default:
        return connect();
    }
  }

  /// Some of the newest journal is lost, or nothing; never what stands before it.
  void begin_journal(std::size_t index) {
    FakeSpill& spill = spills_[index];
    const std::uint64_t held = spill.next_offset() - journal_began_[index];
    journal_began_[index] += program_.choice(2) == 0 ? held : held / 2;
    spill.new_journal_at(journal_began_[index]);
  }

  void connect() {
    uplink::UplinkSessionOptions options{uplink::test::uuid_number(1), "g", "u",
                                         (1ULL + program_.choice(4)) << 18};
    options.offers_zstd = program_.choice(2) == 0;
    session_.emplace(options, sources_);
    sent_.clear();
    acked_ = {};
    const auto hello = session_->on_open(now_ns_);
    check(hello.has_value(), "a Hello can always be said");
    const auto decoded = uplink::decode(*hello);
    check(decoded && std::holds_alternative<uplink::Hello>(*decoded), "what is said can be read");
    hello_ = std::get<uplink::Hello>(*decoded);
  }

  void tell(const Bytes& bytes) { note(session_->on_message(bytes, ++now_ns_)); }

  void note(const core::Result<void>& outcome) {
    if (!outcome) check(session_->state() == UplinkState::kClosed, "an error ends the session");
  }

  void pull() {
    for (int i = 0; i < kPullsAtOnceMax; ++i) {
      const std::uint64_t before = session_->in_flight_bytes();
      const auto message = session_->pull(now_ns_);
      if (!message || !*message) return;
      check(before == 0 || session_->in_flight_bytes() <= session_->window_bytes(),
            "no more is on its way than the window allows");
      const auto decoded = uplink::decode(**message);
      check(decoded.has_value(), "what is sent can be read");
      if (sent_.size() < kSaidMax) sent_.push_back(ack_of(*decoded));
    }
  }

  /// What an honest consumer would say to a message.
  static uplink::Ack ack_of(const uplink::Message& message) {
    if (const auto* gap = std::get_if<uplink::GapMessage>(&message)) {
      return {gap->stream, gap->journal, gap->next_offset};
    }
    const auto& blocks = std::get<uplink::Blocks>(message);
    uplink::Ack ack{blocks.stream, blocks.journal, 0};
    for (const auto& run : blocks.runs) {
      for (auto rest = run.blocks; rest.size() >= sizeof(format::BlockHeader);) {
        format::BlockHeader header;
        std::memcpy(&header, rest.data(), sizeof header);
        rest = rest.subspan(sizeof header + header.stored_size());
        ack.next_offset = std::max(ack.next_offset, header.base_offset() + header.count());
      }
    }
    return ack;
  }

  uplink::Ack honest_ack() {
    if (sent_.empty()) return {0, spills_[0].newest_journal(), 0};
    const uplink::Ack ack = sent_.front();
    sent_.erase(sent_.begin());
    return ack;
  }

  void acknowledge(bool honest) {
    uplink::Ack ack = honest_ack();
    if (!honest) {
      ack.stream = static_cast<std::uint16_t>(ack.stream + program_.choice(3));
      ack.next_offset = offset_near(ack.next_offset);
      if (program_.choice(3) == 0) ack.journal = any_journal();
    }
    tell(uplink::encode(ack));
  }

  core::Uuid any_journal() {
    const auto& stream = hello_.streams[program_.choice(2)];
    if (stream.journals.empty() || program_.choice(8) == 0) return uplink::test::uuid_number(9);
    return stream.journals[program_.choice(static_cast<std::uint32_t>(stream.journals.size()))]
        .journal;
  }

  std::uint64_t offset_near(std::uint64_t offset) {
    switch (program_.choice(4)) {
      case 0:
        return offset;
      case 1:
        return offset + program_.byte();
      case 2:
        return offset - std::min<std::uint64_t>(offset, program_.byte());
      default:
        return program_.u64();
    }
  }

  uplink::Welcome welcome() {
    uplink::Welcome welcome{
        uplink::kProtocolVersion, 1ULL << program_.choice(64), {}, program_.choice(2) == 0};
    const bool honest = program_.choice(4) != 0;
    for (const auto& stream : hello_.streams) {
      uplink::WantedStream wanted{static_cast<std::uint16_t>(welcome.streams.size()), {}};
      for (const auto& range : stream.journals) {
        const std::uint64_t next =
            honest
                ? range.first_offset + program_.choice(2) * (range.next_offset - range.first_offset)
                : offset_near(range.next_offset);
        wanted.journals.push_back({range.journal, next});
      }
      if (!honest && program_.choice(4) == 0 && !wanted.journals.empty())
        wanted.journals.pop_back();
      if (!honest && program_.choice(4) == 0) wanted.stream = program_.u16();
      welcome.streams.push_back(std::move(wanted));
    }
    if (!honest && program_.choice(4) == 0) welcome.streams.pop_back();
    return welcome;
  }

  Bytes altered(Bytes bytes) {
    for (std::uint32_t i = 1 + program_.choice(4); i > 0; --i) {
      bytes[program_.u16() % bytes.size()] = static_cast<std::byte>(program_.byte());
    }
    return bytes;
  }

  void check_session() {
    for (std::size_t i = 0; i < spills_.size(); ++i) {
      const uplink::StreamPump& pump = session_->streams()[i];
      const std::pair<core::Uuid, std::uint64_t> acked{pump.journal(), pump.acked_offset()};
      const bool same =
          session_->state() == UplinkState::kStreaming && acked.first == acked_[i].first;
      check(!same || acked.second >= acked_[i].second, "within a session nothing goes back");
      acked_[i] = acked;
      const FakeSpill& spill = spills_[i];
      // The newest journal's end is the most that can be acknowledged of it.
      const auto& cursor = spill.cursor();
      check(!cursor || cursor->journal != spill.newest_journal() ||
                cursor->next_offset <= spill.next_offset(),
            "the cursor is not ahead of what there is");
    }
    if (session_->state() != UplinkState::kClosed) return;
    const auto message = session_->pull(now_ns_);
    check(message && !*message, "an ended session says no more");
  }

  Program program_;
  std::array<FakeSpill, 2> spills_{FakeSpill("one", 1), FakeSpill("two", 2)};
  std::array<uplink::BlockSource*, 2> sources_{&spills_[0], &spills_[1]};
  std::optional<UplinkSession> session_;
  uplink::Hello hello_;
  std::vector<uplink::Ack> sent_;
  std::array<std::pair<core::Uuid, std::uint64_t>, 2> acked_;
  std::array<std::uint64_t, 2> journal_began_{};
  std::uint64_t now_ns_ = 1;
};

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillway::fuzz::World world{spillway::fuzz::Program(std::span(data, size))};
  world.run();
  return 0;
}
