// Boost.Interprocess message_queue.
#include <boost/interprocess/ipc/message_queue.hpp>
#include <memory>

#include "bench/harness/run_peer.h"

namespace spillway::bench {
namespace {

namespace bip = boost::interprocess;

constexpr std::size_t kMessagesMax = 4096;

std::string queue_name(const Setup& setup) { return setup.name("messages-"); }

struct BoostMessageQueue {
  static constexpr Facts kFacts{
      "boost-message-queue",
      "4,096 messages; try_send; the consumer blocks, which costs the sender less",
      "weaker: a process that is killed holding its mutex stops both",
      1,
      true,
      3000};

  class Sender {
   public:
    explicit Sender(const Setup& setup) : queue_(bip::open_only, queue_name(setup).c_str()) {}
    bool send(std::span<const std::byte> record) {
      return queue_.try_send(record.data(), record.size(), 0);
    }

   private:
    bip::message_queue queue_;
  };

  class Receiver {
   public:
    explicit Receiver(const Setup& setup) : name_(queue_name(setup)), buffer_(setup.record_bytes) {
      bip::message_queue::remove(name_.c_str());
      queue_ = std::make_unique<bip::message_queue>(bip::create_only, name_.c_str(), kMessagesMax,
                                                    setup.record_bytes);
    }
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;
    ~Receiver() { bip::message_queue::remove(name_.c_str()); }
    void meet() {}
    template <typename Visit>
    void receive(Visit&& visit) {
      bip::message_queue::size_type got = 0;
      unsigned priority = 0;
      queue_->receive(buffer_.data(), buffer_.size(), got, priority);
      visit(std::span<const std::byte>(buffer_.data(), got));
    }

   private:
    std::string name_;
    std::vector<std::byte> buffer_;
    std::unique_ptr<bip::message_queue> queue_;
  };
};

const bool kAdded = add_peer<BoostMessageQueue>();

}  // namespace
}  // namespace spillway::bench
