// GatewayKeeper: the thread between the registry's file and a running consumer: it writes down who was
// seen, and notices what a person has changed.
//
// Threads: note() and stop() from any; OnKnown is called from inside the constructor and then on the
// keeper's own thread, and must only pass it on.
//
// Invariants:
//  1. A change in the file is told within kLookEvery and the time to read it.
//  2. A disk that takes nothing stops nothing: what was seen is merged, by gateway, and written later;
//     of more than kPendingMax gateways the rest is not written down.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "uplink/consumer/gateways/gateway_store.h"

namespace spillway::consumer {

class GatewayKeeper {
 public:
  static constexpr std::chrono::milliseconds kLookEvery{200};
  static constexpr std::size_t kPendingMax = 20'000;

  using Open = std::function<core::Result<std::unique_ptr<GatewayStore>>()>;
  using OnKnown = std::function<void(KnownGateways)>;

  /// `new_max`: see GatewayStore::note.
  GatewayKeeper(Open open, std::uint64_t new_max, OnKnown on_known);
  ~GatewayKeeper();
  GatewayKeeper(const GatewayKeeper&) = delete;
  GatewayKeeper& operator=(const GatewayKeeper&) = delete;

  /// Counts add up, the rest is the latest.
  void note(const core::Uuid& gateway, const Sighting& sighting);
  /// Writes what is left, once, and ends the thread.
  void stop();

 private:
  using Sightings = std::map<core::Uuid, Sighting>;

  void run();
  void write_and_look();
  [[nodiscard]] core::Result<void> look(Sightings& seen);
  [[nodiscard]] core::Result<void> open();
  void merge_back(Sightings seen);
  static void merge(Sighting& into, const Sighting& newer);

  Open open_;
  std::uint64_t new_max_;
  OnKnown on_known_;
  std::unique_ptr<GatewayStore> gateways_;
  std::optional<std::uint64_t> generation_;  // of what was told last
  std::string logged_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Sightings pending_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace spillway::consumer
