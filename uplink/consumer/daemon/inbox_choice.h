// InboxChoice: which database [consumer] inbox names, and how each part of the consumer opens it.
//
// PostgreSQL is a CMake option (SPILLWAY_INBOX_POSTGRES); a build without it needs no libpq.
#pragma once

#include <memory>
#include <string>

#include "spillway/core/config.h"
#include "uplink/consumer/gateways/gateway_store.h"
#include "uplink/consumer/inbox/dead_store.h"
#include "uplink/consumer/inbox/inbox.h"
#include "uplink/consumer/inbox/retention.h"

namespace spillway::consumer {

struct InboxChoice {
  std::string sqlite_path;
  std::string postgres_url;  // one of the two is empty
  std::string password;
};

/// kInvalidArgument: it is no database, or one that this build does not have.
[[nodiscard]] core::Result<InboxChoice> choose_inbox(const core::ConsumerConfig& config);

[[nodiscard]] core::Result<std::unique_ptr<Inbox>> open_inbox_of(const InboxChoice& choice);
/// For the consumer, which makes the tables; for a command they must be there.
[[nodiscard]] core::Result<std::unique_ptr<GatewayStore>> open_gateways(const InboxChoice& choice);
[[nodiscard]] core::Result<std::unique_ptr<GatewayStore>> open_existing_gateways(
    const InboxChoice& choice);
[[nodiscard]] core::Result<std::unique_ptr<DeadStore>> open_dead_rows(const InboxChoice& choice);
[[nodiscard]] core::Result<std::unique_ptr<Pruner>> open_pruner(const InboxChoice& choice,
                                                                RetentionRules rules);

}  // namespace spillway::consumer
