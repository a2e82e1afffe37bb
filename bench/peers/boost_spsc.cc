// boost::lockfree::spsc_queue with fixed slots, in a mapping that both processes share.
#include <boost/lockfree/spsc_queue.hpp>
#include <new>

#include "bench/harness/run_peer.h"
#include "bench/peers/mapped_file.h"

namespace spillway::bench {
namespace {

constexpr std::size_t kRingBytes = 256U * 1024;

template <std::size_t kBytes>
struct Slot {
  std::byte bytes[kBytes];
};
template <std::size_t kBytes>
using Queue =
    boost::lockfree::spsc_queue<Slot<kBytes>, boost::lockfree::capacity<kRingBytes / kBytes>>;

/// The record's size picks the slot's: the queue knows it at compile time, its best case.
template <typename Call>
void with_slot_of(std::size_t bytes, Call&& call) {
  switch (bytes) {
    case 64:
      return call.template operator()<64>();
    case 256:
      return call.template operator()<256>();
    case 1024:
      return call.template operator()<1024>();
    default:
      die("boost-spsc: slots of 64, 256 and 1024 bytes only", kLeftOut);
  }
}

std::size_t queue_bytes(std::size_t record_bytes) {
  std::size_t bytes = 0;
  with_slot_of(record_bytes, [&bytes]<std::size_t kBytes>() { bytes = sizeof(Queue<kBytes>); });
  return bytes;
}

struct BoostSpsc {
  static constexpr Facts kFacts{
      "boost-spsc",
      "slots of exactly the record's size, 256 KiB in all, pushed whole; spinning",
      "weaker: one fixed size, no time, no crash rule: a killed side leaves the queue unusable",
      1,
      true,
      3000};

  class Sender {
   public:
    explicit Sender(const Setup& setup)
        : file_(setup.scratch + "/spsc", queue_bytes(setup.record_bytes)) {}
    bool send(std::span<const std::byte> record) {
      switch (record.size()) {
        case 64:
          return push<64>(record);
        case 256:
          return push<256>(record);
        default:
          return push<1024>(record);
      }
    }

   private:
    template <std::size_t kBytes>
    bool push(std::span<const std::byte> record) {
      return reinterpret_cast<Queue<kBytes>*>(file_.data())
          ->push(*reinterpret_cast<const Slot<kBytes>*>(record.data()));
    }
    MappedFile file_;
  };

  class Receiver {
   public:
    explicit Receiver(const Setup& setup)
        : file_(setup.scratch + "/spsc", queue_bytes(setup.record_bytes)),
          record_bytes_(setup.record_bytes) {
      with_slot_of(record_bytes_,
                   [this]<std::size_t kBytes>() { new (file_.data()) Queue<kBytes>(); });
    }
    void meet() {}
    template <typename Visit>
    void receive(Visit&& visit) {
      with_slot_of(record_bytes_, [this, &visit]<std::size_t kBytes>() {
        reinterpret_cast<Queue<kBytes>*>(file_.data())
            ->consume_all([&visit](const Slot<kBytes>& slot) {
              const Slot<kBytes> copy = slot;
              asm volatile("" ::"r"(&copy) : "memory");
              visit(std::span<const std::byte>(copy.bytes));
            });
      });
    }

   private:
    MappedFile file_;
    std::size_t record_bytes_;
  };
};

const bool kAdded = add_peer<BoostSpsc>();

}  // namespace
}  // namespace spillway::bench
