#include "uplink/sinks/nats/nats_setup.h"

#include "uplink/engines/nats/nats_connection.h"
#include "uplink/sinks/nats/nats_sink.h"

namespace spillway::uplink {

namespace {

using core::Result;

constexpr std::uint64_t kTimeoutNs = 10'000'000'000;

std::string describe(const core::NatsConfig& config) {
  std::string text =
      "stream " + config.stream + ": file storage, subjects " + config.subjects + ", replicas " +
      std::to_string(config.replicas) + ", duplicate window " +
      std::to_string(config.duplicate_window_ns / 1'000'000'000) + " s, at most " +
      (config.max_bytes == 0 ? "any bytes" : std::to_string(config.max_bytes) + " bytes") +
      " (then it refuses new ones)";
  return text;
}

}  // namespace

Result<void> set_up_nats(const core::UplinkConfig& uplink, SinkSetup& setup) {
  const core::NatsConfig& config = uplink.engine.nats;
  setup.lines.push_back(describe(config));
  if (setup.dry_run) return {};
  SPILLWAY_TRY(address, nats_address(uplink));
  SPILLWAY_TRY(session, connect_nats(address, kTimeoutNs));
  const char* subjects[] = {config.subjects.c_str()};
  jsStreamConfig wanted;
  jsStreamConfig_Init(&wanted);
  wanted.Name = config.stream.c_str();
  wanted.Subjects = subjects;
  wanted.SubjectsLen = 1;
  wanted.Storage = js_FileStorage;
  wanted.Discard = js_DiscardNew;
  wanted.Duplicates = static_cast<std::int64_t>(config.duplicate_window_ns);
  wanted.Replicas = static_cast<std::int64_t>(config.replicas);
  if (config.max_bytes != 0) wanted.MaxBytes = static_cast<std::int64_t>(config.max_bytes);
  if (config.max_age_ns != 0) wanted.MaxAge = static_cast<std::int64_t>(config.max_age_ns);
  jsErrCode code{};
  natsStatus status = js_AddStream(nullptr, session.context.get(), &wanted, nullptr, &code);
  if (code == JSStreamNameExistErr) {
    status = js_UpdateStream(nullptr, session.context.get(), &wanted, nullptr, &code);
  }
  if (status == NATS_OK) return {};
  natsStatus detail = NATS_OK;
  return tl::unexpected(
      nats_error("NATS at " + address.url.hosts_text() + ": stream " + config.stream, status, code,
                 nats_GetLastError(&detail)));
}

}  // namespace spillway::uplink
