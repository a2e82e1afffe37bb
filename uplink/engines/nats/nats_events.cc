#include "uplink/engines/nats/nats_events.h"

#include <chrono>
#include <map>
#include <utility>

namespace spillway::uplink {

namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::uintptr_t, std::weak_ptr<NatsEvents>> events;
  std::uintptr_t last = 0;
};

Registry& registry() {
  static Registry* const kept =
      new Registry;  // the library's threads may outlive everything static
  return *kept;
}

}  // namespace

std::shared_ptr<NatsEvents> NatsEvents::make() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  std::shared_ptr<NatsEvents> made(new NatsEvents(++all.last));
  all.events.emplace(all.last, made);
  return made;
}

std::shared_ptr<NatsEvents> NatsEvents::find(void* closure) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.events.find(reinterpret_cast<std::uintptr_t>(closure));
  return found == all.events.end() ? nullptr : found->second.lock();
}

NatsEvents::~NatsEvents() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.events.erase(number_);
}

void NatsEvents::tell(NatsAck ack) {
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    is_first = acks_.empty();
    acks_.push_back(std::move(ack));
  }
  if (is_first) told_.notify_one();  // whoever waits takes all of them
}

void NatsEvents::fail(core::Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(error);
  }
  told_.notify_one();
}

std::vector<NatsAck> NatsEvents::take(std::uint64_t wait_ns) {
  std::unique_lock lock(mutex_);
  told_.wait_for(lock, std::chrono::nanoseconds(wait_ns),
                 [this] { return !acks_.empty() || failure_; });
  return std::exchange(acks_, {});
}

std::optional<core::Error> NatsEvents::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

}  // namespace spillway::uplink
