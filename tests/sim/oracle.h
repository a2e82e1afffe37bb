// Oracle: what must hold when a world has healed and half a minute has passed. It knows the truth from
// outside: from the producers, who know each byte they have put and how safe it was called, and from the
// consumer's inbox.
#pragma once

#include <memory>
#include <vector>

#include "tests/sim/gateway.h"
#include "tests/sim/sim_inbox.h"

namespace spillway::sim {

/// Notes what is wrong in the trace:
///  - a stream that is not drained, or whose consumer does not stand where the stream ends;
///  - a record that is not what was put, is there twice, or stands before an older one of its producer;
///  - a record that is missing and could not be lost, unless it lies inside a reported gap of a kind that
///    its stream may have;
///  - offsets of a journal that are neither stored nor reported.
void judge(Context& context, const std::vector<std::unique_ptr<Gateway>>& gateways,
           const SimInbox& inbox);

/// Every consumer's position is its stream's end.
[[nodiscard]] bool has_converged(Context& context,
                                 const std::vector<std::unique_ptr<Gateway>>& gateways,
                                 const SimInbox& inbox);

}  // namespace spillway::sim
