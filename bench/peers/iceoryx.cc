// iceoryx: an untyped publisher loans a chunk, fills it, publishes it. RouDi must run (bench.py
// starts it).
#include <iceoryx_posh/mepoo/chunk_header.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "bench/harness/run_peer.h"

namespace spillway::bench {
namespace {

constexpr std::uint64_t kQueueCapacity = 256;  // as many as a subscriber may hold

iox::capro::ServiceDescription service() { return {"spillway", "bench", "records"}; }

void start_runtime(const char* role) {
  const std::string name = std::string("spillway-bench-") + role + std::to_string(getpid());
  iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name));
}

struct Iceoryx {
  static constexpr Facts kFacts{"iceoryx",
                                "untyped publisher, loan and publish, no history; subscriber "
                                "polls, 256 deep, oldest gives way",
                                "weaker: a slow consumer loses records; all is lost with RouDi",
                                1,
                                true,
                                1000};

  class Sender {
   public:
    explicit Sender(const Setup&) {
      start_runtime("out");
      publisher_ = std::make_unique<iox::popo::UntypedPublisher>(service());
      publisher_->offer();
    }
    bool send(std::span<const std::byte> record) {
      auto loaned = publisher_->loan(static_cast<std::uint32_t>(record.size()));
      if (loaned.has_error()) return false;
      std::memcpy(loaned.value(), record.data(), record.size());
      publisher_->publish(loaned.value());
      return true;
    }

   private:
    std::unique_ptr<iox::popo::UntypedPublisher> publisher_;
  };

  class Receiver {
   public:
    explicit Receiver(const Setup& setup) : buffer_(setup.record_bytes) {}
    void meet() {
      start_runtime("in");
      iox::popo::SubscriberOptions options;
      options.queueCapacity = kQueueCapacity;
      subscriber_ = std::make_unique<iox::popo::UntypedSubscriber>(service(), options);
      while (subscriber_->getSubscriptionState() != iox::SubscribeState::SUBSCRIBED) usleep(1000);
    }
    template <typename Visit>
    void receive(Visit&& visit) {
      subscriber_->take().and_then([this, &visit](const void* payload) {
        std::memcpy(buffer_.data(), payload, buffer_.size());
        subscriber_->release(payload);
        visit(std::span<const std::byte>(buffer_));
      });
    }

   private:
    std::vector<std::byte> buffer_;
    std::unique_ptr<iox::popo::UntypedSubscriber> subscriber_;
  };
};

const bool kAdded = add_peer<Iceoryx>();

}  // namespace
}  // namespace spillway::bench
