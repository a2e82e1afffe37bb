// The floors: what no enqueue can go below.
//
//   timer     the empty pair of counter reads
//   memcpy    the bytes and one release store into a mapped ring that nobody reads
//   floor     the barest ring in which the commit is in band: the same frames as a lane and the same
//             drain, but no ticks, no checks of what it is given, no counters, no bell
#include <atomic>
#include <memory>

#include "bench/harness/run_peer.h"
#include "bench/peers/mapped_file.h"
#include "bench/peers/ring_drain.h"

namespace spillway::bench {
namespace {

constexpr std::size_t kRingBytes = 256U * 1024;  // a lane's default
constexpr std::size_t kDataOffset = 4096;

std::atomic<std::uint32_t>& word_at(std::byte* at) {
  return *reinterpret_cast<std::atomic<std::uint32_t>*>(at);
}

struct Timer {
  static constexpr Facts kFacts{
      "timer", "the empty pair of counter reads", "nothing is sent", 1, false, 3000};
  struct Sender {
    explicit Sender(const Setup&) {}
    [[nodiscard]] static bool send(std::span<const std::byte>) { return true; }
  };
};

struct MemcpyAndStore {
  static constexpr Facts kFacts{"memcpy",
                                "into a mapped ring of 256 KiB; nobody reads",
                                "weaker: overwrites what nobody has read",
                                1,
                                false,
                                3000};
  class Sender {
   public:
    explicit Sender(const Setup& setup) : file_(setup.scratch + "/memcpy", kRingBytes) {}
    bool send(std::span<const std::byte> record) {
      const std::size_t frame = core::frame_bytes(record.size());
      if (at_ + frame > kRingBytes) at_ = 0;
      std::memcpy(file_.data() + at_ + core::kFrameHeaderBytes, record.data(), record.size());
      word_at(file_.data() + at_)
          .store(static_cast<std::uint32_t>(record.size()), std::memory_order_release);
      at_ += frame;
      return true;
    }

   private:
    MappedFile file_;
    std::size_t at_ = 0;
  };
};

struct FloorRing {
  static constexpr Facts kFacts{
      "floor",
      "the barest in-band ring, 256 KiB, our drain, spinning",
      "weaker: no check of sizes, no time, no count of refusals, no way to wake",
      1,
      true,
      3000};

  class Sender {
   public:
    explicit Sender(const Setup& setup)
        : file_(setup.scratch + "/floor", kDataOffset + kRingBytes),
          data_(file_.data() + kDataOffset),
          consumed_(reinterpret_cast<std::atomic<std::uint64_t>*>(file_.data())) {}

    bool send(std::span<const std::byte> record) {
      const std::size_t frame = core::frame_bytes(record.size());
      const std::size_t start = position_ & (kRingBytes - 1);
      const std::size_t skip = frame <= kRingBytes - start ? 0 : kRingBytes - start;
      const std::uint64_t end = position_ + skip + frame;
      if (end + core::kFrameHeaderBytes - consumed_seen_ > kRingBytes) [[unlikely]] {
        consumed_seen_ = consumed_->load(std::memory_order_acquire);
        if (end + core::kFrameHeaderBytes - consumed_seen_ > kRingBytes) return false;
      }
      std::byte* const at = data_ + (skip == 0 ? start : 0);
      std::memcpy(at + core::kFrameHeaderBytes, record.data(), record.size());
      word_at(data_ + (end & (kRingBytes - 1))).store(0, std::memory_order_relaxed);
      const auto word = static_cast<std::uint32_t>(record.size() + 1);
      if (skip == 0) [[likely]] {
        word_at(at).store(word, std::memory_order_release);
      } else {
        word_at(at).store(word, std::memory_order_relaxed);
        word_at(data_ + start).store(core::kCommitPadding, std::memory_order_release);
      }
      position_ = end;
      return true;
    }

   private:
    MappedFile file_;
    std::byte* data_;
    std::atomic<std::uint64_t>* consumed_;
    std::uint64_t position_ = 0;
    std::uint64_t consumed_seen_ = 0;
  };

  class Receiver {
   public:
    explicit Receiver(const Setup& setup)
        : file_(setup.scratch + "/floor", kDataOffset + kRingBytes),
          drain_(file_.data() + kDataOffset, kRingBytes,
                 *reinterpret_cast<shm::RingReader::Position*>(file_.data())) {}
    void meet() {}
    template <typename Visit>
    void receive(Visit&& visit) {
      drain_.drain(visit);
    }

   private:
    MappedFile file_;
    RingDrain drain_;
  };
};

const bool kAdded[] = {add_peer<Timer>(), add_peer<MemcpyAndStore>(), add_peer<FloorRing>()};

}  // namespace
}  // namespace spillway::bench
