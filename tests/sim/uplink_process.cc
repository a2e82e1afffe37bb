#include "tests/sim/uplink_process.h"

#include <tuple>

namespace spillway::sim {

namespace {

constexpr std::uint64_t kReconnectNsMin = 200 * kMs;
constexpr std::uint64_t kReconnectNsMax = 8 * kSecond;
constexpr std::uint64_t kOldCursorTicks = 3;
constexpr std::size_t kCursorFileBytes = 8192;

}  // namespace

UplinkProcess::UplinkProcess(Context& context, Machine& machine, Path& path, Ledger& ledger,
                             UplinkSetup setup)
    : context_(context),
      machine_(machine),
      path_(path),
      ledger_(ledger),
      setup_(std::move(setup)),
      backoff_(kReconnectNsMin, kReconnectNsMax) {}

UplinkProcess::~UplinkProcess() {
  if (link_) link_->die(Side::kUplink);
}

void UplinkProcess::lose_power() {
  if (link_) link_->vanish(Side::kUplink);
  link_.reset();
}

void UplinkProcess::later(std::uint64_t delay_ns, std::function<void()> work) {
  context_.timeline.after(delay_ns, life_, [this, work = std::move(work)] { machine_.run(work); });
}

void UplinkProcess::start() {
  later(1 * kMs, [this] { wait_for_agent(); });
  later(kSecond, [this] { tick(); });
}

void UplinkProcess::wait_for_agent() {
  const auto opened = open_sources();
  if (opened) return connect();
  context_.trace.note(machine_.name(), "uplink waits for the agent");
  sources_.clear();
  later(kSecond, [this] { wait_for_agent(); });
}

core::Result<void> UplinkProcess::open_sources() {
  for (const std::string& stream : setup_.streams) {
    SPILLWAY_TRY(source,
                 uplink::StreamSource::open(machine_.env(), Machine::kSpill, stream, kUplinkName));
    sources_.push_back(
        std::make_unique<CheckedSource>(context_, ledger_, setup_.gateway, std::move(source)));
  }
  return {};
}

void UplinkProcess::connect() {
  std::vector<uplink::BlockSource*> sources;
  for (const auto& source : sources_) sources.push_back(source.get());
  uplink::UplinkSessionOptions options{setup_.gateway, setup_.gateway_name, kUplinkName,
                                       setup_.window_bytes};
  session_.emplace(std::move(options), sources);
  path_.connect(
      life_,
      [this](std::shared_ptr<Link> link) {
        machine_.run([this, &link] { on_open(std::move(link)); });
      },
      [this] { machine_.run([this] { retry(); }); });
}

void UplinkProcess::on_open(std::shared_ptr<Link> link) {
  link_ = std::move(link);
  link_->attach(
      Side::kUplink, life_,
      {[this](Bytes bytes) { machine_.run([this, &bytes] { on_message(std::move(bytes)); }); },
       [this] { machine_.run([this] { pump(); }); },
       [this] { machine_.run([this] { on_closed(); }); }});
  auto hello = session_->on_open(machine_.env().boottime_ns());
  if (!hello) return end_session(hello.error());
  context_.trace.note(machine_.name(), "says Hello");
  sent_.clear();
  send(std::move(*hello));
}

void UplinkProcess::on_message(Bytes bytes) {
  if (context_.mutant == Mutant::kStartFromCursor) bytes = with_cursors(std::move(bytes));
  const auto outcome = session_->on_message(bytes, machine_.env().boottime_ns());
  if (!outcome) return end_session(outcome.error());
  if (session_->progressed()) backoff_.reset();
  pump();
}

void UplinkProcess::wake() {
  later(context_.between(2 * kMs, 20 * kMs), [this] { pump(); });
}

void UplinkProcess::pump() {
  if (!link_ || !session_) return;
  while (link_ && link_->queued(Side::kUplink) < kQueuedMessagesMax) {
    const std::uint64_t before = session_->in_flight_bytes();
    auto message = session_->pull(machine_.env().boottime_ns());
    if (!message) return end_session(message.error());
    if (!*message) return;
    if (before != 0 && session_->in_flight_bytes() > session_->window_bytes()) {
      context_.trace.find("more is on its way than the window allows: " +
                          std::to_string(session_->in_flight_bytes()));
    }
    context_.trace.note(machine_.name(), "sends", (*message)->size());
    send(std::move(**message));
  }
}

void UplinkProcess::send(Bytes message) {
  if (sent_.size() < kSentKept) sent_.push_back(message);
  link_->send(Side::kUplink, std::move(message));
}

void UplinkProcess::end_session(const core::Error& error) {
  context_.trace.note(machine_.name(), "session ends: " + error.message);
  if (!link_) return;
  if (session_->farewell()) link_->send(Side::kUplink, *session_->farewell());
  const auto link = std::exchange(link_, nullptr);
  link->close(Side::kUplink);
}

void UplinkProcess::on_closed() {
  context_.trace.note(machine_.name(), "not connected");
  link_.reset();
  retry();
}

void UplinkProcess::retry() {
  std::uint64_t wait_ns = uplink::Backoff::kWaitNsMin;
  const std::uint64_t chance = machine_.env().random_u64();
  if (session_->pause() == uplink::Pause::kBackoff) wait_ns = backoff_.next_ns(chance);
  if (session_->pause() == uplink::Pause::kLong) wait_ns = backoff_.long_ns(chance);
  later(wait_ns, [this] { connect(); });
}

void UplinkProcess::tick() {
  later(kSecond, [this] { tick(); });
  ++ticks_;
  // Not power-safe is not lost: tried again next second.
  for (const auto& source : sources_) static_cast<void>(source->inner().sync_cursor());
  if (context_.mutant == Mutant::kCursorGoesBack) plant_old_cursor();
  check_cursors();
  if (!link_) return;
  const auto outcome = session_->on_tick(machine_.env().boottime_ns());
  if (!outcome) return end_session(outcome.error());
  pump();
}

std::string UplinkProcess::cursor_path(const std::string& stream) const {
  return std::string(Machine::kSpill) + "/" + stream + "/cursors/" + kUplinkName;
}

/// What the agent frees segments by: never ahead of the consumer, and never back within a life.
void UplinkProcess::check_cursors() {
  for (const auto& source : sources_) {
    const auto position = core::Cursor::load(machine_.env(), cursor_path(source->name()));
    if (!position || !*position) continue;
    if (!source->is_committed(**position)) {
      context_.trace.find("stream " + source->name() + ": the cursor stands at " +
                          std::to_string((*position)->next_offset) + ", which is not committed");
    }
    auto& known = cursors_[source->name()];
    // A write that failed half-way leaves what was synced last.
    if (!machine_.disk_failed() &&
        std::tie((*position)->journal_sequence, (*position)->next_offset) <
            std::tie(known.journal_sequence, known.next_offset)) {
      context_.trace.find("stream " + source->name() + ": the cursor went back from " +
                          std::to_string(known.next_offset) + " to " +
                          std::to_string((*position)->next_offset));
    }
    known = **position;
  }
}

void UplinkProcess::plant_old_cursor() {
  for (const auto& source : sources_) {
    auto file = machine_.env().open(cursor_path(source->name()), core::env::OpenMode::kReadWrite);
    if (!file) continue;
    auto& old = old_cursors_[source->name()];
    if (ticks_ % (2 * kOldCursorTicks) == kOldCursorTicks) {
      old.resize(kCursorFileBytes);
      const auto read = (*file)->read(0, old);
      old.resize(read.value_or(0));
    }
    if (ticks_ % (2 * kOldCursorTicks) == 0) static_cast<void>((*file)->write(0, old));
  }
}

/// A bug: where sending starts is what the cursor says.
Bytes UplinkProcess::with_cursors(Bytes bytes) {
  const auto message = uplink::decode(bytes);
  if (!message || !std::holds_alternative<uplink::Welcome>(*message)) return bytes;
  auto welcome = std::get<uplink::Welcome>(*message);
  for (auto& wanted : welcome.streams) {
    if (wanted.stream >= sources_.size()) continue;
    const auto position =
        core::Cursor::load(machine_.env(), cursor_path(sources_[wanted.stream]->name()));
    if (!position || !*position) continue;
    for (auto& journal : wanted.journals) {
      if (journal.journal == (*position)->journal) journal.next_offset = (*position)->next_offset;
    }
  }
  return uplink::encode(welcome);
}

}  // namespace spillway::sim
