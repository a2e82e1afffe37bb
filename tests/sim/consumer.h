// Consumer: what uplink/consumer/daemon does around the real sessions, over simulated links: claims streams
// for the newer session, queues questions and batches for the inbox in the order they came, commits in
// groups, and tells the sessions. It can be killed at any moment, before or behind a commit.
//
// One thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "tests/sim/network.h"
#include "tests/sim/sim_inbox.h"
#include "uplink/consumer/session/consumer_session.h"

namespace spillway::sim {

class Consumer {
 public:
  enum class Death : std::uint8_t { kNone, kBeforeCommit, kBehindCommit };

  Consumer(Context& context, SimInbox& inbox);

  void start();
  void kill();
  /// At its next commit.
  void kill_at_commit(Death death) { death_ = death; }
  /// How long a commit takes from now on.
  void set_commit_ns(std::uint64_t ns) { commit_ns_ = ns; }

  /// Empty while nobody listens.
  [[nodiscard]] const Path::Accept& listener() const { return listener_; }
  [[nodiscard]] bool runs() const { return life_ != nullptr; }

 private:
  struct Connection;
  using ConnectionPointer = std::shared_ptr<Connection>;
  struct Question {
    ConnectionPointer connection;
    consumer::PositionQuery query;
  };
  struct Order {
    ConnectionPointer connection;
    consumer::InboxBatch batch;
  };
  using Request = std::variant<Question, Order>;
  static constexpr std::size_t kOrdersAtOnceMax = 8;

  [[nodiscard]] LinkHandlers accept(const std::shared_ptr<Link>& link);
  void on_message(const ConnectionPointer& connection, Bytes bytes);
  void on_closed(const ConnectionPointer& connection);
  void claim_streams(const ConnectionPointer& connection);
  void apply(const ConnectionPointer& connection, consumer::InboxBatch batch);
  void send_output(Connection& connection);
  void give_up(Connection& connection, const std::string& why);
  void wake();
  void work();
  void answer(const Question& question);
  void commit();
  void on_applied(Connection& connection, const consumer::InboxBatch& batch,
                  const core::Result<void>& outcome);

  Context& context_;
  SimInbox& inbox_;
  consumer::ConsumerSessionOptions options_;
  Path::Accept listener_;
  std::vector<ConnectionPointer> connections_;  // in the order they came: the same in each run
  std::map<std::pair<core::Uuid, std::string>, std::weak_ptr<Connection>> owners_;
  std::deque<Request> queue_;
  bool working_ = false;
  std::uint64_t commit_ns_ = 2 * kMs;
  Death death_ = Death::kNone;
  Life life_;
};

}  // namespace spillway::sim
