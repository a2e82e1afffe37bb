// How a message is called in an engine: the subject, topic or key that the configuration asks for, and the
// identity by which whoever has it twice can tell.
#pragma once

#include <string>
#include <string_view>

#include "uplink/protocol/envelope.h"

namespace spillway::uplink {

/// Writes a value as the engine's names allow it.
using WriteValue = void (*)(std::string_view value, std::string& name);

/// `form` with {gateway}, {stream} and {topic} filled in.
[[nodiscard]] std::string fill_in(std::string_view form, const Envelope& envelope,
                                  WriteValue write);

/// Different for different messages, the same for the same one, whenever it is sent.
[[nodiscard]] std::string message_id(const Envelope& envelope);

}  // namespace spillway::uplink
