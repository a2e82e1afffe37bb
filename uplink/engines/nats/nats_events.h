// NatsEvents: what libnats' threads have told: acknowledgements of messages, and that something is wrong.
//
// Threads: told by the library's, taken by the sink's. A callback finds its events by a number, so that
// one that comes late finds nothing instead of something that is gone.
#pragma once

#include <nats/nats.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::uplink {

/// One message's acknowledgement, good or bad.
struct NatsAck {
  std::unique_ptr<natsMsg, void (*)(natsMsg*)>
      message;  // kept, so that its address is nobody else's
  natsStatus status = NATS_OK;
  jsErrCode code = static_cast<jsErrCode>(0);
  std::string text{};
};

class NatsEvents {
 public:
  /// Registered until the last owner lets go.
  [[nodiscard]] static std::shared_ptr<NatsEvents> make();
  /// The one whose closure() a callback was given; null: it is gone.
  [[nodiscard]] static std::shared_ptr<NatsEvents> find(void* closure);
  ~NatsEvents();
  NatsEvents(const NatsEvents&) = delete;
  NatsEvents& operator=(const NatsEvents&) = delete;

  [[nodiscard]] void* closure() const { return reinterpret_cast<void*>(number_); }

  void tell(NatsAck ack);
  /// The first counts.
  void fail(core::Error error);

  /// What has been told; waits up to `wait_ns` for the first.
  [[nodiscard]] std::vector<NatsAck> take(std::uint64_t wait_ns);
  [[nodiscard]] std::optional<core::Error> failure() const;

 private:
  explicit NatsEvents(std::uintptr_t number) : number_(number) {}

  const std::uintptr_t number_;
  mutable std::mutex mutex_;
  std::condition_variable told_;
  std::vector<NatsAck> acks_;
  std::optional<core::Error> failure_;
};

}  // namespace spillway::uplink
