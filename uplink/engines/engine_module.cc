#include "uplink/engines/engine_module.h"

#include <dlfcn.h>

#include <cctype>
#include <cstring>
#include <filesystem>

namespace spillway::uplink {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

/// What the loader has to say, once.
std::string load_error() {
  const char* text = ::dlerror();  // NOLINT(concurrency-mt-unsafe): before any thread starts
  return text == nullptr ? "unknown error" : text;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

Result<std::string> module_path(const std::string& name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return fail(ErrorCode::kIo, "cannot read /proc/self/exe: " + error.message());
  const auto room = self.parent_path().parent_path() / SPILLWAY_MODULES;
  return (room / ("lib" + name + ".so")).string();
}

}  // namespace

Result<std::string_view> engine_of(std::span<const EngineKind> kinds, std::string_view scheme,
                                   const std::string& whose, const std::string& none) {
  const auto found = std::find_if(kinds.begin(), kinds.end(),
                                  [&](const EngineKind& kind) { return kind.scheme == scheme; });
  if (found != kinds.end()) return found->engine;
  return fail(ErrorCode::kInvalidArgument, whose + ": " + std::string(scheme) + ":// " + none);
}

Result<const EngineModule*> load_engine_module(const std::string& role, std::string_view engine,
                                               const std::string& whose) {
  const std::string name = "spillway-" + role + "-" + std::string(engine);
  SPILLWAY_TRY(path, module_path(name));
  const std::string needs = whose + ": needs the package " + name;
  if (!std::filesystem::exists(path)) {
    return fail(ErrorCode::kInvalidArgument,
                needs + ", and there is no " + path + ": install it (or build with -DSPILLWAY_" +
                    upper(role) + "_" + upper(std::string(engine)) + "=ON)");
  }
  void* const module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (module == nullptr) {
    return fail(ErrorCode::kInvalidArgument,
                needs + ", which cannot be loaded: " + load_error() + ": install it anew");
  }
  const std::string symbol = "spillway_" + role + "_module";
  const auto* found = static_cast<const EngineModule*>(::dlsym(module, symbol.c_str()));
  if (found == nullptr) {
    return fail(ErrorCode::kInvalidArgument, needs + ", and " + path + " is none: " + load_error());
  }
  if (std::strcmp(found->version, SPILLWAY_VERSION) != 0) {
    return fail(ErrorCode::kInvalidArgument, needs + " of version " SPILLWAY_VERSION + ", and " +
                                                 path + " is of " + found->version +
                                                 ": install both of one version");
  }
  return found;
}

}  // namespace spillway::uplink
