// Ours: the four ways to enqueue. With --queue the real agent drains the lane to disk; without, the
// bare spinning drain does, as for the floor ring.
#include <memory>

#include "bench/harness/run_peer.h"
#include "bench/peers/mapped_file.h"
#include "bench/peers/ring_drain.h"
#include "shm/lane/lane_layout.h"
#include "spillway/producer.h"
#include "spillway/record_template.h"
#include "spillway/shm/queue_directory.h"

namespace spillway::bench {
namespace {

constexpr std::size_t kBatch = 16;
constexpr const char* kSettings = "one lane of 256 KiB, the default";

/// A lane in the agent's queue, or in one of the bench's own.
class Lane {
 public:
  explicit Lane(const Setup& setup) {
    const std::string queue = setup.queue.empty() ? setup.scratch + "/queue" : setup.queue;
    if (producer.open(queue.c_str(), "bench") != Status::kOk) {
      die(std::string("cannot open a lane: ") + error_detail());
    }
  }
  Producer producer;
};

class LaneDrain {
 public:
  explicit LaneDrain(const Setup& setup) {
    auto directory = shm::QueueDirectory::open(setup.scratch + "/queue");
    if (!directory) die("cannot make a queue: " + directory.error().message);
    directory_ = std::move(*directory);
  }
  void meet() {
    const auto lanes = directory_->lanes();
    if (!lanes || lanes->size() != 1) die("the queue has not exactly one lane");
    file_ = std::make_unique<MappedFile>(lanes->front(), 0);
    auto* const lane = reinterpret_cast<shm::LaneMapping*>(file_->data());
    drain_ = std::make_unique<RingDrain>(lane->data(), file_->size() - shm::kLaneDataOffset,
                                         lane->agent.consumed);
  }
  template <typename Visit>
  void receive(Visit&& visit) {
    drain_->drain(visit);
  }

 private:
  std::unique_ptr<shm::QueueDirectory> directory_;
  std::unique_ptr<MappedFile> file_;
  std::unique_ptr<RingDrain> drain_;
};

struct Put {
  static constexpr Facts kFacts{"spillway-put", kSettings, "same", 1, true, 3000};
  using Receiver = LaneDrain;
  class Sender : Lane {
   public:
    using Lane::Lane;
    bool send(std::span<const std::byte> record) { return producer.put(record) == Status::kOk; }
  };
};

struct ClaimCommit {
  static constexpr Facts kFacts{
      "spillway-claim", "the record is written in place, word by word", "same", 1, true, 3000};
  using Receiver = LaneDrain;
  class Sender : Lane {
   public:
    using Lane::Lane;
    bool send(std::span<const std::byte> record) {
      const Claim claim = producer.claim(record.size());
      if (!claim) return false;
      std::uint64_t first = 0;
      std::memcpy(&first, record.data(), sizeof first);
      for (std::size_t at = 0; at + 8 <= record.size(); at += 8) {
        const std::uint64_t word = at == 0 ? first : at;
        std::memcpy(claim.data() + at, &word, sizeof word);
      }
      return producer.commit(claim, record.size()) == Status::kOk;
    }
  };
};

struct Template {
  static constexpr Facts kFacts{
      "spillway-template", "a record template with two patches", "same", 1, true, 3000};
  using Receiver = LaneDrain;
  class Sender : Lane {
   public:
    using Lane::Lane;
    bool send(std::span<const std::byte> record) {
      std::uint64_t first = 0;
      std::memcpy(&first, record.data(), sizeof first);
      return RecordTemplate(record).put(producer, Patch{0, first}, Patch{8, 21.5}) == Status::kOk;
    }
  };
};

struct PutMany {
  static constexpr Facts kFacts{
      "spillway-put-many", "16 records a call; times are of one call", "same", kBatch, true, 180};
  using Receiver = LaneDrain;
  class Sender : Lane {
   public:
    using Lane::Lane;
    /// A batch that met a full lane half-way is finished here: the harness counts whole sends.
    bool send(std::span<const std::byte> record) {
      std::size_t taken = put(record, kBatch);
      if (taken == 0) return false;
      while (taken < kBatch) taken += put(record, kBatch - taken);
      return true;
    }

   private:
    std::size_t put(std::span<const std::byte> record, std::size_t count) {
      return producer.put_many(count, [record](std::size_t) { return record; }).records;
    }
  };
};

const bool kAdded[] = {add_peer<Put>(), add_peer<ClaimCommit>(), add_peer<Template>(),
                       add_peer<PutMany>()};

}  // namespace
}  // namespace spillway::bench
