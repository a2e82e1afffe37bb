// The simulated network: paths from gateways to the consumer, and connections (links) over them.
//
// A link is what a WebSocket over TCP is to the sessions: whole messages, in order, in two directions,
// until it ends. What can go wrong is here: delay, a low rate, a path that carries nothing in one
// direction or both (the ends notice by their liveness, each in its own time, or not at all if it heals),
// a cut between any two messages, ends of which only one learns. What was on its way when an end closed
// may still arrive, also when a newer link has begun.
//
// One thread. Handlers may close links and open new ones.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/context.h"
#include "uplink/protocol/messages.h"

namespace spillway::sim {

using uplink::Bytes;

enum class Side : std::uint8_t { kUplink, kConsumer };
[[nodiscard]] constexpr Side other(Side side) {
  return side == Side::kUplink ? Side::kConsumer : Side::kUplink;
}
[[nodiscard]] constexpr std::size_t index_of(Side side) { return static_cast<std::size_t>(side); }

struct LinkHandlers {
  std::function<void(Bytes)> on_message;
  std::function<void()> on_room;  // fewer messages wait to be sent
  std::function<void()> on_closed;
};

class Path;

class Link : public std::enable_shared_from_this<Link> {
 public:
  explicit Link(Path& path) : path_(path) {}

  void attach(Side side, Life life, LinkHandlers handlers);
  void send(Side from, Bytes message);
  /// Sent and not yet on the wire.
  [[nodiscard]] std::size_t queued(Side from) const;
  void pause_reading(Side side, bool paused);
  /// Everything sent goes out, then the other end learns of it.
  void close(Side side);
  /// The process has died: a part of what was sent goes out, and the other end learns soon.
  void die(Side side);
  /// The machine has gone: the other end hears nothing any more.
  void vanish(Side side);
  /// Something between the ends forgets the connection: each end learns by a reset, or by silence.
  void cut();

 private:
  friend class Path;
  struct Item {
    std::uint64_t due_ns = 0;
    std::uint64_t sent_ns = 0;  // wholly on the wire
    Bytes message;
    bool ends = false;
  };
  struct Half {  // from one end to the other
    std::deque<Item> wire;
    std::uint64_t free_at_ns = 0;
    std::uint64_t last_due_ns = 0;
  };
  struct End {
    bool open = true;
    bool paused = false;
    std::weak_ptr<const int> life;
    LinkHandlers handlers;
  };

  [[nodiscard]] Half& from(Side side) { return halves_[index_of(side)]; }
  [[nodiscard]] End& end(Side side) { return ends_[index_of(side)]; }
  void put(Side from, Bytes message, bool ends);
  void deliver(Side from);
  void drop_tail(Side from);
  void finish(Side side, const char* why);
  void finish_by_silence(Side side);
  void silence(std::uint64_t serial);
  void resume();

  Path& path_;
  std::array<Half, 2> halves_;
  std::array<End, 2> ends_;
  bool broken_ = false;
};

/// One gateway's way to the consumer.
class Path {
 public:
  using Accept = std::function<std::pair<Life, LinkHandlers>(const std::shared_ptr<Link>&)>;

  Path(Context& context, std::string name, const Accept& listener);

  /// From the uplink. `on_open` gets the link; `on_failed` after a refusal or in vain waiting.
  void connect(const Life& life, std::function<void(std::shared_ptr<Link>)> on_open,
               std::function<void()> on_failed);
  /// Nothing gets through in these directions (named by their sender), for so long.
  void stall(bool from_uplink, bool from_consumer, std::uint64_t for_ns);
  /// Cuts every link.
  void cut();
  /// Something else answers in the consumer's place, for so long.
  void capture(const Accept& liar, std::uint64_t for_ns);
  /// No fault is left.
  void heal();

  [[nodiscard]] const std::string& name() const { return name_; }
  /// Slow enough that a backlog of megabytes takes longer than a world waits.
  [[nodiscard]] bool is_slow() const { return bytes_per_second_ != 0 || latency_ns_ > 100 * kMs; }

 private:
  friend class Link;
  [[nodiscard]] bool stalled(Side from) const { return stalled_[index_of(from)]; }
  [[nodiscard]] std::uint64_t silence_ns() const {
    return context_.between(2 * kSecond, 8 * kSecond);
  }
  void arrive(const Life& life, const std::function<void(std::shared_ptr<Link>)>& on_open,
              const std::function<void()>& on_failed);
  void unstall();
  void release();
  [[nodiscard]] std::vector<std::shared_ptr<Link>> living();

  Context& context_;
  std::string name_;
  const Accept& listener_;
  const Accept* liar_ = nullptr;
  std::uint64_t latency_ns_;
  std::uint64_t jitter_ns_;
  std::uint64_t bytes_per_second_;  // 0: as many as are wanted
  std::array<bool, 2> stalled_{};
  std::uint64_t stall_serial_ = 0;
  std::uint64_t capture_serial_ = 0;
  std::vector<std::weak_ptr<Link>> links_;
};

}  // namespace spillway::sim
