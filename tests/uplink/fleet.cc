#include "uplink/fleet.h"

#include <algorithm>

namespace spillway::uplink::test {

namespace {

constexpr std::size_t kQueuedMessagesMax = 2;
constexpr std::uint64_t kReconnectNsMin = 20'000'000;
constexpr std::uint64_t kReconnectNsMax = 2'000'000'000;

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(Fleet::Clock::now().time_since_epoch().count());
}

}  // namespace

struct Fleet::Member {
  Member(boost::asio::io_context& io, core::Uuid gateway, std::uint64_t seed)
      : id(gateway), spill("telemetry", seed), timer(io) {}

  core::Uuid id;
  FakeSpill spill;
  boost::asio::steady_timer timer;
  std::optional<UplinkSession> session;
  std::shared_ptr<WebSocket> socket;
  Backoff backoff{kReconnectNsMin, kReconnectNsMax};
  std::deque<std::pair<std::uint64_t, Clock::time_point>> waiting;  // behind each append, and when
  std::vector<double> latencies_ms;
  std::string error;
  bool connected = false;
};

Fleet::Fleet(std::uint16_t port, std::size_t gateways, std::uint64_t first_id) : port_(port) {
  for (std::size_t i = 0; i < gateways; ++i) {
    members_.push_back(std::make_unique<Member>(io_, uuid_number(first_id + i), first_id + i));
  }
}

Fleet::~Fleet() {
  // Handlers that are left hold on to members: they go first.
  for (const auto& member : members_) {
    member->timer.cancel();
    if (member->socket) member->socket->abort();
  }
  members_.clear();
}

void Fleet::connect(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    Member& member = *members_[i];
    if (member.connected) continue;
    member.connected = true;
    open(member);
  }
}

void Fleet::open(Member& member) {
  BlockSource* sources[] = {&member.spill};
  member.session.emplace(UplinkSessionOptions{member.id, "fleet/" + member.id.text(), "cloud"},
                         sources);
  LinkTarget target;
  target.endpoint.host = "127.0.0.1";
  target.endpoint.port = port_;
  member.socket =
      connect_websocket(io_, target,
                        {[&member] {
                           auto hello = member.session->on_open(now_ns());
                           if (hello) member.socket->send(std::move(*hello));
                         },
                         [this, &member](const Bytes& bytes) { on_message(member, bytes); },
                         [this, &member] { pump(member); },
                         [this, &member](const core::Error& error) { on_closed(member, error); }});
}

void Fleet::on_message(Member& member, const Bytes& bytes) {
  const bool was_streaming = member.session->state() == UplinkState::kStreaming;
  const auto outcome = member.session->on_message(bytes, now_ns());
  if (!outcome) {
    member.error = outcome.error().message;
    if (member.session->farewell()) member.socket->send(*member.session->farewell());
    member.socket->close();
    return;
  }
  if (!was_streaming && member.session->state() == UplinkState::kStreaming) ++connections_;
  if (member.session->progressed()) member.backoff.reset();
  note_acknowledged(member);
  pump(member);
}

void Fleet::note_acknowledged(Member& member) {
  const std::uint64_t acknowledged = member.session->streams()[0].acked_offset();
  while (!member.waiting.empty() && member.waiting.front().first <= acknowledged) {
    const auto took = Clock::now() - member.waiting.front().second;
    member.latencies_ms.push_back(std::chrono::duration<double, std::milli>(took).count());
    member.waiting.pop_front();
  }
}

void Fleet::pump(Member& member) {
  if (!member.session || member.session->state() != UplinkState::kStreaming) return;
  while (member.socket->queued() < kQueuedMessagesMax) {
    auto message = member.session->pull(now_ns());
    if (!message || !*message) return;
    member.socket->send(std::move(**message));
  }
}

void Fleet::on_closed(Member& member, const core::Error& error) {
  if (member.error.empty()) member.error = error.message;
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  std::uint64_t wait_ns = member.backoff.next_ns(random_);
  if (const std::uint64_t asked_ns = member.session->retry_after_ns(); asked_ns != 0) {
    ++asked_to_wait_;
    wait_ns = std::max(wait_ns, asked_ns);
  }
  if (member.session->fenced()) ++fenced_;
  member.timer.expires_after(std::chrono::nanoseconds(wait_ns));
  member.timer.async_wait([this, &member](const auto& cancelled) {
    if (cancelled) return;
    member.error.clear();
    open(member);
  });
}

void Fleet::append(std::size_t i, std::uint32_t records) {
  Member& member = *members_[i];
  member.spill.append(records);
  member.waiting.emplace_back(member.spill.next_offset(), Clock::now());
  if (member.socket) pump(member);
}

bool Fleet::run_until(const std::function<bool()>& done, std::chrono::seconds watchdog) {
  const auto end = Clock::now() + watchdog;
  while (!done()) {
    if (Clock::now() > end) return false;
    io_.restart();
    io_.run_for(std::chrono::milliseconds(5));
  }
  return true;
}

void Fleet::run_for(std::chrono::milliseconds time, const std::function<void()>& each) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) {
    each();
    io_.restart();
    io_.run_for(std::chrono::milliseconds(1));
  }
}

std::size_t Fleet::streaming() const {
  return static_cast<std::size_t>(
      std::count_if(members_.begin(), members_.end(), [](const auto& member) {
        return member->session && member->session->state() == UplinkState::kStreaming;
      }));
}

bool Fleet::delivered() const {
  return std::all_of(members_.begin(), members_.end(),
                     [](const auto& member) { return member->waiting.empty(); });
}

std::uint64_t Fleet::acknowledged(std::size_t i) const {
  const auto& cursor = members_[i]->spill.cursor();
  return cursor ? cursor->next_offset : 0;
}

std::uint64_t Fleet::next_offset(std::size_t i) const { return members_[i]->spill.next_offset(); }

std::vector<double> Fleet::take_latencies_ms(std::size_t i) {
  return std::exchange(members_[i]->latencies_ms, {});
}

const std::string& Fleet::last_error(std::size_t i) const { return members_[i]->error; }

}  // namespace spillway::uplink::test
