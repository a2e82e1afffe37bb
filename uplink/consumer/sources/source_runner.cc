#include "uplink/consumer/sources/source_runner.h"

#include <chrono>
#include <future>

#include "spillway/core/log.h"

namespace spillway::consumer {

using core::Error;
using core::Result;

SourceRunner::SourceRunner(std::unique_ptr<BrokerSource> source, InboxWriter& writer,
                           SourceGate& gate, RecordRules rules, core::env::Env& env)
    : source_(std::move(source)),
      writer_(writer),
      gate_(gate),
      env_(env),
      intake_(rules),
      read_marks_([this] { return read_marks(); }),
      thread_([this] { run(); }) {}

void SourceRunner::stop() {
  {
    const std::lock_guard lock(mailbox_->mutex);
    mailbox_->stopping = true;
  }
  mailbox_->wake.notify_all();
  if (thread_.joinable()) thread_.join();
}

SourceCounts SourceRunner::counts() const {
  return {messages_.load(std::memory_order_relaxed), refused_count_.load(std::memory_order_relaxed),
          turned_away_.load(std::memory_order_relaxed),
          connections_.load(std::memory_order_relaxed)};
}

void SourceRunner::run() {
  while (!is_stopping()) {
    if (!gate_.is_ready()) {
      pause(kWaitNs);
      continue;
    }
    const auto ended = read();
    source_->disconnect();
    if (ended) break;
    note_failure(ended.error());
    pause(backoff_.next_ns(env_.random_u64()));
  }
  const SourceCounts total = counts();
  spdlog::info("source {}: {} messages, {} of them refused", source_->name(), total.messages,
               total.refused);
}

Result<void> SourceRunner::read() {
  ++connection_;
  queue_ = {};
  latest_tag_ = 0;
  settled_tag_ = 0;
  unpassed_ = 0;
  static_cast<void>(intake_.take(0));
  refused_.clear();
  marks_.clear();
  SPILLWAY_CHECKED(source_->connect(kConnectNs, read_marks_));
  connections_.fetch_add(1, std::memory_order_relaxed);
  logged_.clear();
  spdlog::info("source {}: connected", source_->name());
  while (!is_stopping()) SPILLWAY_CHECKED(step());
  // Nobody waits for how it ends: what is not settled comes again.
  if (auto goodbye = say_goodbye(); !goodbye) note_failure(goodbye.error());
  return {};
}

Result<void> SourceRunner::step() {
  SPILLWAY_CHECKED(take_answers());
  SPILLWAY_CHECKED(settle());
  SPILLWAY_CHECKED(fetch());
  if (unpassed_ != 0) return pass_on();
  store_marks();
  // Without room nothing is fetched, and nothing is waited for there: others may fill the inbox.
  if (queue_.groups() != 0 || !has_room()) wait_for_answer(kCommitWaitNs);
  return {};
}

bool SourceRunner::has_room() const {
  return queue_.groups() < kGroupsMax && writer_.queued_bytes() <= InboxWriter::kQueueBytesMax;
}

Result<void> SourceRunner::fetch() {
  const std::uint64_t wait_ns = queue_.groups() == 0 && marks_.empty() ? kWaitNs : 0;
  return source_->fetch(wait_ns, has_room() ? BrokerIntake::kGroupMessagesMax : 0,
                        [this](const BrokerMessage& message) {
                          on_message(message);
                          return !intake_.is_full();
                        });
}

void SourceRunner::on_message(const BrokerMessage& message) {
  messages_.fetch_add(1, std::memory_order_relaxed);
  latest_tag_ = message.tag;
  ++unpassed_;
  const auto envelope = BrokerIntake::read(*message.header);
  if (!envelope) {
    refused_.push_back({message.tag, envelope.error().message});
    return;
  }
  if (auto refusal = gate_.refusal(envelope->gateway)) {
    note_turned_away(envelope->gateway);
    refused_.push_back({message.tag, std::move(*refusal)});
    return;
  }
  if (const auto taken = intake_.accept(*envelope, message.payload); !taken) {
    refused_.push_back({message.tag, taken.error().message});
  }
}

/// The group that has come: to the inbox, and what is none of it back to the engine.
Result<void> SourceRunner::pass_on() {
  for (const Refused& refused : std::exchange(refused_, {})) {
    refused_count_.fetch_add(1, std::memory_order_relaxed);
    complain(refused.why);
    SPILLWAY_CHECKED(source_->refuse(refused.tag, refused.why));
  }
  unpassed_ = 0;
  std::vector<InboxBatch> batches = intake_.take(env_.utc_ns());
  note_gateways(batches);
  if (!batches.empty()) batches.front().marks = std::exchange(marks_, {});
  const std::uint64_t group = queue_.begin(latest_tag_, batches.size());
  for (InboxBatch& batch : batches) apply(std::move(batch), group);
  return {};
}

void SourceRunner::apply(InboxBatch batch, std::uint64_t group) {
  writer_.apply(std::move(batch), [mailbox = mailbox_, connection = connection_, group](
                                      const InboxBatch&, Result<void> outcome) {
    {
      const std::lock_guard lock(mailbox->mutex);
      mailbox->answers.push_back({connection, group, std::move(outcome)});
    }
    mailbox->wake.notify_all();
  });
}

Result<void> SourceRunner::take_answers() {
  std::vector<Answer> answers;
  {
    const std::lock_guard lock(mailbox_->mutex);
    answers.swap(mailbox_->answers);
  }
  for (Answer& answer : answers) {
    if (answer.connection != connection_) continue;
    if (!answer.outcome) return tl::unexpected(std::move(answer.outcome).error());
    queue_.committed(answer.group);
    backoff_.reset();
  }
  return {};
}

Result<void> SourceRunner::settle() {
  const auto tag = queue_.settled();
  if (!tag || *tag <= settled_tag_) return {};
  settled_tag_ = *tag;
  SPILLWAY_CHECKED(source_->settle(*tag));
  auto marks = source_->marks(*tag);
  if (!marks.empty()) marks_ = std::move(marks);
  return {};
}

void SourceRunner::store_marks() {
  if (marks_.empty() || queue_.groups() != 0) return;
  InboxBatch batch;
  batch.loose = true;
  batch.marks = std::exchange(marks_, {});
  apply(std::move(batch), queue_.begin(latest_tag_, 1));
}

Result<void> SourceRunner::say_goodbye() {
  const std::uint64_t until_ns = env_.boottime_ns() + kGoodbyeNs;
  if (unpassed_ != 0) SPILLWAY_CHECKED(pass_on());
  while (env_.boottime_ns() < until_ns) {
    SPILLWAY_CHECKED(take_answers());
    SPILLWAY_CHECKED(settle());
    store_marks();
    if (queue_.groups() == 0) return {};
    wait_for_answer(kCommitWaitNs);
  }
  return {};
}

Result<std::vector<InboxMark>> SourceRunner::read_marks() {
  std::promise<Result<std::vector<InboxMark>>> answer;
  writer_.ask_marks(source_->name(), [&answer](Result<std::vector<InboxMark>> marks) {
    answer.set_value(std::move(marks));
  });
  return answer.get_future().get();
}

void SourceRunner::note_gateways(const std::vector<InboxBatch>& batches) {
  const std::uint64_t now_ns = env_.boottime_ns();
  if (noted_ns_.size() > kNotedMax) noted_ns_.clear();
  for (const InboxBatch& batch : batches) {
    const auto [at, is_new] = noted_ns_.try_emplace(batch.key.gateway, now_ns);
    if (!is_new && now_ns - at->second < kNoteEveryNs) continue;
    at->second = now_ns;
    Sighting sighting;
    sighting.name = batch.key.gateway_name;
    sighting.address = source_->name();
    sighting.at_ns = batch.received_at_ns;
    gate_.note(batch.key.gateway, sighting);
  }
}

void SourceRunner::note_turned_away(const core::Uuid& gateway) {
  turned_away_.fetch_add(1, std::memory_order_relaxed);
  Sighting sighting;
  sighting.address = source_->name();
  sighting.at_ns = env_.utc_ns();
  sighting.turned_away = 1;
  gate_.note(gateway, sighting);
}

/// Whoever floods a queue with rubbish does not flood the log.
void SourceRunner::complain(const std::string& why) {
  ++complaints_;
  const std::uint64_t now_ns = env_.boottime_ns();
  if (complained_ns_ != 0 && now_ns - complained_ns_ < kComplainEveryNs) return;
  complained_ns_ = now_ns;
  spdlog::warn("source {}: refused {} messages, the latest because {}", source_->name(),
               std::exchange(complaints_, 0), why);
}

/// Each trouble once, however often it is met.
void SourceRunner::note_failure(const Error& error) {
  if (error.message == logged_) return;
  logged_ = error.message;
  spdlog::warn("source {}: {}; it is tried again", source_->name(), error.message);
}

void SourceRunner::wait_for_answer(std::uint64_t wait_ns) {
  std::unique_lock lock(mailbox_->mutex);
  mailbox_->wake.wait_for(lock, std::chrono::nanoseconds(wait_ns),
                          [this] { return !mailbox_->answers.empty(); });
}

void SourceRunner::pause(std::uint64_t wait_ns) {
  std::unique_lock lock(mailbox_->mutex);
  mailbox_->wake.wait_for(lock, std::chrono::nanoseconds(wait_ns),
                          [this] { return mailbox_->stopping; });
}

bool SourceRunner::is_stopping() {
  const std::lock_guard lock(mailbox_->mutex);
  return mailbox_->stopping;
}

}  // namespace spillway::consumer
