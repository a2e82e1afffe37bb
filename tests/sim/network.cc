#include "tests/sim/network.h"

#include <algorithm>

namespace spillway::sim {

// ---- Link ----

void Link::attach(Side side, Life life, LinkHandlers handlers) {
  end(side).life = life;
  end(side).handlers = std::move(handlers);
}

void Link::send(Side from, Bytes message) {
  // What goes into a broken connection arrives nowhere: nothing may come behind what was lost.
  if (end(from).open && !broken_) put(from, std::move(message), false);
}

void Link::put(Side side, Bytes message, bool ends) {
  Context& context = path_.context_;
  const std::uint64_t now = context.timeline.now_ns();
  Half& half = from(side);
  const std::uint64_t wire_ns =
      path_.bytes_per_second_ == 0 ? 0 : message.size() * kSecond / path_.bytes_per_second_;
  half.free_at_ns = std::max(half.free_at_ns, now) + wire_ns;
  half.last_due_ns = std::max(half.last_due_ns, half.free_at_ns + path_.latency_ns_ +
                                                    context.random.below(path_.jitter_ns_ + 1));
  half.wire.push_back({half.last_due_ns, half.free_at_ns, std::move(message), ends});
  context.timeline.after(half.last_due_ns - now,
                         [self = shared_from_this(), side] { self->deliver(side); });
}

std::size_t Link::queued(Side side) const {
  const auto& wire = halves_[index_of(side)].wire;
  if (path_.stalled(side)) return wire.size();
  const std::uint64_t now = path_.context_.timeline.now_ns();
  return static_cast<std::size_t>(std::count_if(
      wire.begin(), wire.end(), [now](const Item& item) { return item.sent_ns > now; }));
}

void Link::deliver(Side side) {
  Half& half = from(side);
  End& to = end(other(side));
  const std::uint64_t now = path_.context_.timeline.now_ns();
  while (!half.wire.empty() && half.wire.front().due_ns <= now && !path_.stalled(side) &&
         !(to.paused && to.open)) {
    const Item item = std::move(half.wire.front());
    half.wire.pop_front();
    if (!to.open) continue;
    if (item.ends) {
      finish(other(side), "closed by the peer");
    } else if (!to.life.expired() && to.handlers.on_message) {
      to.handlers.on_message(item.message);
    }
    End& sender = end(side);
    if (sender.open && !sender.life.expired() && sender.handlers.on_room) sender.handlers.on_room();
  }
}

void Link::pause_reading(Side side, bool paused) {
  end(side).paused = paused;
  if (paused) return;
  // Not from within the handler that resumed.
  path_.context_.timeline.after(0,
                                [self = shared_from_this(), side] { self->deliver(other(side)); });
}

void Link::finish(Side side, const char* why) {
  End& at = end(side);
  if (!at.open) return;
  at.open = false;
  // The other end learns of it as soon as anything gets through.
  put(side, {}, true);
  path_.context_.trace.note(path_.name(), why, index_of(side));
  if (!at.life.expired() && at.handlers.on_closed) at.handlers.on_closed();
}

void Link::close(Side side) {
  if (!end(side).open) return;
  end(side).open = false;
  put(side, {}, true);
  // As the shell tells its owner.
  path_.context_.timeline.after(0, [self = shared_from_this(), side] {
    End& at = self->end(side);
    if (!at.life.expired() && at.handlers.on_closed) at.handlers.on_closed();
  });
}

void Link::drop_tail(Side side) {
  auto& wire = from(side).wire;
  const auto kept = path_.context_.random.below(wire.size() + 1);
  wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(kept), wire.end());
}

void Link::die(Side side) {
  if (!end(side).open) return;
  end(side).open = false;
  drop_tail(side);
  put(side, {}, true);
}

void Link::vanish(Side side) {
  if (!end(side).open) return;
  end(side).open = false;
  drop_tail(side);
  finish_by_silence(other(side));
}

void Link::cut() {
  broken_ = true;
  for (const Side side : {Side::kUplink, Side::kConsumer}) {
    drop_tail(side);
    // A reset that arrives, or none.
    if (path_.context_.random.chance(60)) {
      put(side, {}, true);
    } else {
      finish_by_silence(other(side));
    }
  }
}

void Link::finish_by_silence(Side side) {
  path_.context_.timeline.after(path_.silence_ns(), [self = shared_from_this(), side] {
    self->finish(side, "closed for silence");
  });
}

/// The path carries nothing since its stall of this number: the ends will notice, if it lasts.
void Link::silence(std::uint64_t serial) {
  for (const Side side : {Side::kUplink, Side::kConsumer}) {
    path_.context_.timeline.after(path_.silence_ns(), [self = shared_from_this(), side, serial] {
      const Path& path = self->path_;
      const bool still = path.stall_serial_ == serial &&
                         (path.stalled(Side::kUplink) || path.stalled(Side::kConsumer));
      if (still) self->finish(side, "closed for silence");
    });
  }
}

void Link::resume() {
  deliver(Side::kUplink);
  deliver(Side::kConsumer);
}

// ---- Path ----

Path::Path(Context& context, std::string name, const Accept& listener)
    : context_(context), name_(std::move(name)), listener_(listener) {
  static constexpr std::array<std::uint64_t, 4> kLatenciesMs = {1, 10, 60, 600};
  static constexpr std::array<std::uint64_t, 4> kRates = {0, 0, 2'000'000, 400'000};
  latency_ns_ = kLatenciesMs[context.random.below(kLatenciesMs.size())] * kMs;
  jitter_ns_ = latency_ns_ / 3;
  bytes_per_second_ = kRates[context.random.below(kRates.size())];
}

std::vector<std::shared_ptr<Link>> Path::living() {
  std::vector<std::shared_ptr<Link>> links;
  std::erase_if(links_, [](const auto& link) { return link.expired(); });
  for (const auto& weak : links_) links.push_back(weak.lock());
  return links;
}

void Path::connect(const Life& life, std::function<void(std::shared_ptr<Link>)> on_open,
                   std::function<void()> on_failed) {
  const bool stuck = stalled(Side::kUplink) || stalled(Side::kConsumer);
  if (stuck) {
    context_.timeline.after(silence_ns(), life, std::move(on_failed));
    return;
  }
  context_.timeline.after(
      2 * latency_ns_, life,
      [this, weak = std::weak_ptr(life), on_open = std::move(on_open),
       on_failed = std::move(on_failed)] { arrive(weak.lock(), on_open, on_failed); });
}

void Path::arrive(const Life& life, const std::function<void(std::shared_ptr<Link>)>& on_open,
                  const std::function<void()>& on_failed) {
  const Accept& accept = liar_ != nullptr ? *liar_ : listener_;
  if (!accept || stalled(Side::kUplink)) {
    context_.timeline.after(latency_ns_, life, on_failed);
    return;
  }
  auto link = std::make_shared<Link>(*this);
  links_.push_back(link);
  auto [consumer, handlers] = accept(link);
  link->attach(Side::kConsumer, consumer, std::move(handlers));
  context_.timeline.after(latency_ns_, [link, weak = std::weak_ptr(life), on_open, on_failed] {
    if (weak.expired()) return link->die(Side::kUplink);
    if (!link->end(Side::kUplink).open) return on_failed();
    on_open(link);
  });
}

void Path::stall(bool from_uplink, bool from_consumer, std::uint64_t for_ns) {
  context_.trace.note(name_, "stalls", (from_uplink ? 1 : 0) + (from_consumer ? 2 : 0), for_ns);
  stalled_ = {from_uplink, from_consumer};
  const std::uint64_t serial = ++stall_serial_;
  for (const auto& link : living()) link->silence(serial);
  context_.timeline.after(for_ns, [this, serial] {
    if (serial == stall_serial_) unstall();
  });
}

void Path::unstall() {
  stalled_ = {};
  ++stall_serial_;
  for (const auto& link : living()) link->resume();
}

void Path::cut() {
  context_.trace.note(name_, "cut");
  for (const auto& link : living()) link->cut();
}

void Path::capture(const Accept& liar, std::uint64_t for_ns) {
  context_.trace.note(name_, "captured", for_ns);
  liar_ = &liar;
  const std::uint64_t serial = ++capture_serial_;
  for (const auto& link : living()) link->cut();
  context_.timeline.after(for_ns, [this, serial] {
    if (serial == capture_serial_) release();
  });
}

/// Who talked with the false peer talks with nobody now.
void Path::release() {
  if (liar_ != nullptr) cut();
  liar_ = nullptr;
  ++capture_serial_;
}

void Path::heal() {
  release();
  unstall();
}

}  // namespace spillway::sim
