// The consumer fuzzer: a gateway that lies, against the real consumer session, its intakes and a model of
// the inbox. Messages are built of valid parts and then altered, some sealed anew, so that what stands
// behind the checksums is reached, too. What it shows: no crash, no hang, no record stored twice, no offset
// passed over, no more memory for a message than its bound.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "core/codec/compressor.h"
#include "tests/fuzz/program.h"
#include "tests/fuzz/promise.h"
#include "tests/uplink/memory_inbox.h"
#include "tests/uplink/spill_maker.h"
#include "uplink/consumer/session/consumer_session.h"

namespace spillway::fuzz {
namespace {

namespace maker = uplink::test;
using consumer::ConsumerSession;
using uplink::Bytes;

constexpr int kInstructionsMax = 120;
constexpr std::uint32_t kBlocksMax = 6;
constexpr std::uint32_t kRecordsMax = 12;
constexpr std::uint64_t kUtcNs = 1'800'000'000'000'000'000;

class World {
 public:
  explicit World(Program program) : program_(program) { connect(); }

  void run() {
    for (int i = 0; i < kInstructionsMax && program_.more(); ++i) instruction();
    check_inbox();
  }

 private:
  void instruction() {
    switch (program_.choice(12)) {
      case 0:
        return connect();
      case 1:
        return tell(uplink::encode(hello()));
      case 2:
        return tell(uplink::encode(gap()));
      case 3: {
        const auto bytes = program_.bytes(program_.byte());
        const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
        return tell(Bytes(begin, begin + bytes.size()));
      }
      case 4:
        return tell(altered(blocks()));
      case 5:
        return tell(altered(uplink::encode(hello())));
      case 6:
        return tell(uplink::encode(uplink::Ack{0, journal(), program_.u64()}));
      case 7:
        inbox_.fail_next(1);
        return;
      default:
        return tell(blocks());
    }
  }

  void connect() {
    session_.emplace(consumer::ConsumerSessionOptions{1U << 20, program_.choice(4) != 0});
    if (program_.choice(8) != 0) tell(uplink::encode(hello()));
    next_ = 0;
    for (const auto& [key, contents] : inbox_.all()) next_ = std::max(next_, contents.next_offset);
  }

  [[nodiscard]] core::Uuid journal() { return maker::uuid_number(1 + program_.choice(3)); }

  uplink::Hello hello() {
    uplink::Hello hello;
    hello.gateway = maker::uuid_number(program_.choice(16) == 0 ? program_.byte() : 7);
    hello.gateway_name = "site/pump";
    hello.uplink = "cloud";
    hello.zstd = program_.choice(4) != 0;
    const std::uint32_t streams = 1 + program_.choice(2);
    for (std::uint32_t i = 0; i < streams; ++i) {
      uplink::HeldStream held{i == 0 ? "one" : "two", 0, {}};
      for (std::uint32_t number = 1; number <= 3; ++number) {
        if (program_.choice(16) == 0) continue;
        held.journals.push_back({maker::uuid_number(number), number, 0, kFarOffset});
      }
      hello.streams.push_back(std::move(held));
    }
    return hello;
  }

  uplink::GapMessage gap() {
    const std::uint64_t first = next_ - std::min<std::uint64_t>(next_, program_.choice(8));
    uplink::GapMessage gap{static_cast<std::uint16_t>(program_.choice(3)), journal(), first,
                           first + program_.choice(50), program_.byte()};
    if (program_.choice(8) == 0) gap.next_offset = program_.u64();
    if (program_.choice(2) == 0) next_ = gap.next_offset % kFarOffset;
    return gap;
  }

  Bytes blocks() {
    std::vector<maker::OwnedBlock> blocks;
    const std::uint32_t count = 1 + program_.choice(kBlocksMax);
    for (std::uint32_t i = 0; i < count; ++i) {
      blocks.push_back(block());
      if (program_.choice(3) == 0) alter(blocks.back());
    }
    return maker::blocks_message(static_cast<std::uint16_t>(program_.choice(8) == 0 ? 1 : 0),
                                 program_.choice(8) == 0 ? journal() : maker::uuid_number(1),
                                 blocks);
  }

  maker::OwnedBlock block() {
    const std::uint64_t salt = program_.byte();
    const std::uint64_t lane = 1 + program_.choice(3);
    switch (program_.choice(8)) {
      case 0:
        return maker::make_clock_block(next_, salt);
      case 1:
        return maker::make_lane_block(lane, "a/b", next_, salt, program_.choice(8) == 0);
      case 2: {
        const auto bytes = program_.bytes(program_.byte());
        auto made = maker::make_schema_block(std::as_bytes(bytes), next_, salt);
        if (program_.choice(2) == 0) {
          made.header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::dictionary));
          maker::seal(made);
        }
        return made;
      }
      default:
        break;
    }
    const std::uint64_t base = next_ - std::min<std::uint64_t>(next_, program_.choice(4) / 2);
    const std::uint32_t count = 1 + program_.choice(kRecordsMax);
    auto made = maker::make_data_block("one", lane, base, count, salt);
    next_ = base + count;
    if (program_.choice(3) == 0) compress(made);
    return made;
  }

  static void compress(maker::OwnedBlock& block) {
    static core::Compressor compressor;
    const auto frames = compressor.stage(block.stored);
    const auto stored = compressor.compress(frames, nullptr);
    if (stored.empty()) return;
    block.stored.assign(stored.begin(), stored.end());
    block.header.mutate_codec(static_cast<std::uint8_t>(format::Codec::zstd));
    block.header.mutate_stored_size(static_cast<std::uint32_t>(stored.size()));
    maker::seal(block);
  }

  void alter(maker::OwnedBlock& block) {
    auto header = std::as_writable_bytes(std::span(&block.header, 1));
    for (std::uint32_t i = program_.choice(3); i > 0; --i) {
      header[program_.choice(64)] = static_cast<std::byte>(program_.byte());
    }
    for (std::uint32_t i = program_.choice(4); i > 0 && !block.stored.empty(); --i) {
      block.stored[program_.u16() % block.stored.size()] = static_cast<std::byte>(program_.byte());
    }
    if (program_.choice(8) == 0) {
      block.stored.resize(block.stored.size() / 2);
      block.header.mutate_stored_size(static_cast<std::uint32_t>(block.stored.size()));
    }
    if (program_.choice(4) != 0) maker::seal(block);
  }

  Bytes altered(Bytes bytes) {
    for (std::uint32_t i = 1 + program_.choice(4); i > 0; --i) {
      bytes[program_.u16() % bytes.size()] = static_cast<std::byte>(program_.byte());
    }
    if (program_.choice(4) == 0) bytes.resize(program_.u16() % bytes.size());
    return bytes;
  }

  void tell(const Bytes& bytes) {
    const auto outcome = session_->on_message(std::make_shared<const Bytes>(bytes), kUtcNs);
    if (!outcome) {
      check(session_->state() == consumer::ConsumerState::kClosed, "an error ends the session");
    }
    if (const auto query = session_->take_query()) {
      consumer::Positions positions;
      for (const auto& key : query->keys) positions.push_back(*inbox_.position(key));
      static_cast<void>(session_->on_positions(positions));
    }
    if (const auto batch = session_->take_batch()) {
      check(outcome.has_value(), "what was refused is not applied");
      apply(*batch, bytes.size());
    }
    while (session_->take_output()) {
    }
  }

  void apply(const consumer::InboxBatch& batch, std::size_t message_bytes) {
    check(batch.payload_bytes() <= message_bytes + uplink::kDecodedBytesPerMessageMax,
          "a message takes no more memory than its bound");
    check(batch.from <= batch.next && batch.next < uplink::kOffsetLimit + (1ULL << 32),
          "a batch leads on");
    std::uint64_t covered = 0;
    for (const auto& run : batch.runs) covered += run.count;
    check(covered == batch.records.size(), "each record belongs to a lane");
    for (const auto& gap : batch.gaps) covered += gap.next_offset - gap.first_offset;
    check(covered == batch.next - batch.from, "no offset is passed over");
    std::vector<core::Result<void>> outcomes;
    inbox_.commit({&batch, 1}, outcomes);
    if (outcomes[0]) {
      session_->on_committed(batch);
    } else {
      static_cast<void>(session_->on_failed(outcomes[0].error()));
    }
    check(inbox_.doubled() == 0, "no record is stored twice");
  }

  void check_inbox() {
    for (const auto& [key, contents] : inbox_.all()) {
      std::uint64_t covered = contents.rows.size();
      for (const auto& gap : contents.gaps) covered += gap.next_offset - gap.first_offset;
      check(covered == contents.next_offset, "each offset is stored or reported");
    }
  }

  static constexpr std::uint64_t kFarOffset = 1ULL << 40;

  Program program_;
  maker::MemoryInbox inbox_;
  std::optional<ConsumerSession> session_;
  std::uint64_t next_ = 0;
};

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillway::fuzz::World world{spillway::fuzz::Program(std::span(data, size))};
  world.run();
  return 0;
}
