#include "edge-agent/ingest/capture/resnapshot.h"

#include "spillway/core/env/posix_env.h"

namespace spillway::agent::capture {
namespace {

std::string path_of(const core::CaptureConfig& capture) {
  return capture.state_dir + "/" + capture.name + ".resnapshot";
}

}  // namespace

core::Result<void> request_resnapshot(const core::CaptureConfig& capture) {
  SPILLWAY_CHECKED(core::env::posix_env().make_directories(capture.state_dir));
  return core::env::replace_file(core::env::posix_env(), path_of(capture), {});
}

core::Result<bool> resnapshot_is_wanted(const core::CaptureConfig& capture) {
  return core::env::posix_env().exists(path_of(capture));
}

core::Result<void> end_resnapshot_request(const core::CaptureConfig& capture) {
  SPILLWAY_TRY(wanted, resnapshot_is_wanted(capture));
  if (!wanted) return {};
  return core::env::posix_env().remove(path_of(capture));
}

}  // namespace spillway::agent::capture
