// The gateway's identity: a UUID made at first start, kept in <spill_dir>/gateway.
#pragma once

#include <string>

#include "spillway/core/env/env.h"
#include "spillway/core/uuid.h"

namespace spillway::core {

struct Gateway {
  Uuid id;
  Uuid cloned_from;  // nil unless this spill directory was copied from another machine
};

/// The agent's call: reads the file, or makes it with a hash of the machine id; where the hash does
/// not fit this machine, takes a new id and notes the old one as cloned_from. `known`: who this agent
/// is already, if it is: that it goes on as where the file is gone (a card that was wiped under it).
[[nodiscard]] Result<Gateway> claim_gateway(env::Env& env, const std::string& spill_dir,
                                            const std::string& machine_id,
                                            const Gateway& known = {});
/// Everybody else's: kNotFound until the agent has run once.
[[nodiscard]] Result<Gateway> load_gateway(env::Env& env, const std::string& spill_dir);
/// The machine id that systemd or dbus keeps; empty if there is none.
[[nodiscard]] std::string read_machine_id();

}  // namespace spillway::core
