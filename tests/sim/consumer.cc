#include "tests/sim/consumer.h"

#include <algorithm>

namespace spillway::sim {

using consumer::ConsumerSession;
using consumer::ConsumerState;
using consumer::InboxBatch;
using core::Result;

struct Consumer::Connection {
  Connection(std::shared_ptr<Link> to, const consumer::ConsumerSessionOptions& options)
      : link(std::move(to)), session(options) {}
  std::shared_ptr<Link> link;
  ConsumerSession session;
  std::uint64_t waiting_bytes = 0;
  bool paused = false;
};

Consumer::Consumer(Context& context, SimInbox& inbox) : context_(context), inbox_(inbox) {
  options_.window_bytes = context.between(64 * 1024, 2048 * 1024);
  options_.takes_zstd = context.random.chance(80);
}

void Consumer::start() {
  context_.trace.note("consumer", "starts");
  life_ = begin_life();
  listener_ = [this](const std::shared_ptr<Link>& link) { return std::pair(life_, accept(link)); };
}

void Consumer::kill() {
  if (!runs()) return;
  context_.trace.note("consumer", "killed with requests waiting", queue_.size());
  listener_ = nullptr;
  life_.reset();
  for (const auto& connection : connections_) connection->link->die(Side::kConsumer);
  connections_.clear();
  owners_.clear();
  queue_.clear();
  working_ = false;
  death_ = Death::kNone;
  inbox_.crash();
  context_.timeline.after(context_.between(10 * kMs, 4 * kSecond), [this] { start(); });
}

LinkHandlers Consumer::accept(const std::shared_ptr<Link>& link) {
  auto connection = std::make_shared<Connection>(link, options_);
  connections_.push_back(connection);
  return {[this, weak = std::weak_ptr(connection)](Bytes bytes) {
            if (const auto living = weak.lock()) on_message(living, std::move(bytes));
          },
          [] {},
          [this, weak = std::weak_ptr(connection)] {
            if (const auto living = weak.lock()) on_closed(living);
          }};
}

void Consumer::on_message(const ConnectionPointer& connection, Bytes bytes) {
  context_.trace.note("consumer", "receives", bytes.size());
  const auto shared = std::make_shared<const Bytes>(std::move(bytes));
  ConsumerSession& session = connection->session;
  if (const auto outcome = session.on_message(shared, context_.timeline.now_ns()); !outcome) {
    return give_up(*connection, outcome.error().message);
  }
  if (auto query = session.take_query()) {
    // Before the question: what the older session queued is ahead of it, and nothing comes after.
    claim_streams(connection);
    queue_.push_back(Question{connection, std::move(*query)});
  }
  if (auto batch = session.take_batch()) apply(connection, std::move(*batch));
  send_output(*connection);
  wake();
}

void Consumer::claim_streams(const ConnectionPointer& connection) {
  for (const auto& stream : connection->session.streams()) {
    auto& owner = owners_[{connection->session.gateway(), stream.name()}];
    const auto older = owner.lock();
    owner = connection;
    if (!older || older == connection || older->session.state() == ConsumerState::kClosed) continue;
    const auto error = older->session.end(uplink::RefusalCode::kFenced, "a newer session");
    give_up(*older, error.message);
  }
}

void Consumer::apply(const ConnectionPointer& connection, InboxBatch batch) {
  connection->waiting_bytes += batch.payload_bytes();
  queue_.push_back(Order{connection, std::move(batch)});
  if (connection->waiting_bytes <= options_.window_bytes) return;
  connection->paused = true;
  connection->link->pause_reading(Side::kConsumer, true);
  // One message more, as it came and decoded.
  if (connection->waiting_bytes > options_.window_bytes + 2 * uplink::kMessageBytesTarget) {
    context_.trace.find("the consumer holds more than its window: " +
                        std::to_string(connection->waiting_bytes));
  }
}

void Consumer::send_output(Connection& connection) {
  while (auto message = connection.session.take_output()) {
    connection.link->send(Side::kConsumer, std::move(*message));
  }
}

void Consumer::give_up(Connection& connection, const std::string& why) {
  context_.trace.note("consumer", "session ends: " + why);
  send_output(connection);
  connection.link->close(Side::kConsumer);
}

void Consumer::on_closed(const ConnectionPointer& connection) {
  static_cast<void>(connection->session.end(uplink::RefusalCode::kNone, "the connection is gone"));
  std::erase(connections_, connection);
}

void Consumer::wake() {
  if (working_ || queue_.empty()) return;
  working_ = true;
  context_.timeline.after(context_.between(commit_ns_ / 2, commit_ns_), life_, [this] { work(); });
}

void Consumer::work() {
  working_ = false;
  if (const auto* question = std::get_if<Question>(&queue_.front())) {
    answer(*question);
    queue_.pop_front();
  } else {
    commit();
  }
  wake();
}

void Consumer::answer(const Question& question) {
  consumer::Positions positions;
  for (const auto& key : question.query.keys) {
    const auto position = inbox_.position(key);
    positions.push_back(position ? *position : std::nullopt);
  }
  context_.timeline.after(1, life_, [this, connection = question.connection, positions] {
    const auto outcome = connection->session.on_positions(positions);
    if (!outcome) return give_up(*connection, outcome.error().message);
    send_output(*connection);
  });
}

void Consumer::commit() {
  if (death_ == Death::kBeforeCommit) return kill();
  std::vector<ConnectionPointer> connections;
  std::vector<InboxBatch> batches;
  while (!queue_.empty() && batches.size() < kOrdersAtOnceMax) {
    auto* order = std::get_if<Order>(&queue_.front());
    if (order == nullptr) break;
    connections.push_back(order->connection);
    batches.push_back(std::move(order->batch));
    queue_.pop_front();
  }
  std::vector<Result<void>> outcomes;
  inbox_.commit(batches, outcomes);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    context_.trace.note("consumer", outcomes[i] ? "commits to" : "cannot commit to",
                        batches[i].next);
  }
  if (death_ == Death::kBehindCommit) return kill();
  for (std::size_t i = 0; i < batches.size(); ++i) {
    context_.timeline.after(1, life_,
                            [this, connection = connections[i],
                             batch = std::make_shared<InboxBatch>(std::move(batches[i])),
                             outcome = outcomes[i]] { on_applied(*connection, *batch, outcome); });
  }
}

void Consumer::on_applied(Connection& connection, const InboxBatch& batch,
                          const Result<void>& outcome) {
  connection.waiting_bytes -= batch.payload_bytes();
  const bool streaming = connection.session.state() == ConsumerState::kStreaming;
  if (outcome) {
    connection.session.on_committed(batch);
    send_output(connection);
  } else if (streaming) {
    const auto error = connection.session.on_failed(outcome.error());
    give_up(connection, error.message);
  }
  if (!connection.paused || connection.waiting_bytes > options_.window_bytes) return;
  connection.paused = false;
  connection.link->pause_reading(Side::kConsumer, false);
}

}  // namespace spillway::sim
