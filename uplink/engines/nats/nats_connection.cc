#include "uplink/engines/nats/nats_connection.h"

#include <algorithm>

namespace spillway::uplink {

namespace {

using core::Error;
using core::ErrorCode;
using core::Result;

constexpr std::uint64_t kMsNs = 1'000'000;
constexpr std::int64_t kPingIntervalMs = 10'000;
constexpr int kPingsOutMax = 2;
/// More than any window may have on its way: that is bounded by who publishes.
constexpr std::int64_t kPublishesMax = 1 << 20;

std::string url_of(const NatsAddress& address, const core::EngineHost& host) {
  const bool v6 = host.host.find(':') != std::string::npos;
  return (address.secure() ? "tls://" : "nats://") + (v6 ? "[" + host.host + "]" : host.host) +
         ":" + std::to_string(host.port);
}

/// The library's threads call these.
void on_error(natsConnection* connection, natsSubscription* /*subscription*/, natsStatus status,
              void* closure) {
  const auto events = NatsEvents::find(closure);
  if (events == nullptr) return;
  const char* text = nullptr;
  natsConnection_GetLastError(connection, &text);
  events->fail(nats_error("NATS", status, static_cast<jsErrCode>(0), text));
}

void on_gone(natsConnection* connection, void* closure) {
  on_error(connection, nullptr, NATS_CONNECTION_CLOSED, closure);
}

void on_acknowledged(jsCtx* /*context*/, natsMsg* message, jsPubAck* /*ack*/, jsPubAckErr* error,
                     void* closure) {
  NatsAck told{{message, &natsMsg_Destroy}};
  if (error != nullptr) {
    told.status = error->Err == NATS_OK ? NATS_ERR : error->Err;
    told.code = error->ErrCode;
    told.text = error->ErrText == nullptr ? "" : error->ErrText;
  }
  if (const auto events = NatsEvents::find(closure)) events->tell(std::move(told));
}

/// The first step that fails counts.
class Steps {
 public:
  template <typename Call>
  Steps& then(const char* what, Call call) {
    if (status_ != NATS_OK) return *this;
    status_ = call();
    what_ = what;
    return *this;
  }
  [[nodiscard]] natsStatus status() const { return status_; }
  [[nodiscard]] const char* what() const { return what_; }

 private:
  natsStatus status_ = NATS_OK;
  const char* what_ = "";
};

Result<void> secure(natsOptions* options, const NatsAddress& address) {
  const core::TlsConfig& tls = address.tls;
  Steps steps;
  steps.then("turn TLS on", [&] { return natsOptions_SetSecure(options, true); });
  if (!tls.ca.empty()) {
    steps.then(tls.ca.c_str(),
               [&] { return natsOptions_LoadCATrustedCertificates(options, tls.ca.c_str()); });
  }
  if (!tls.certificate.empty()) {
    steps.then(tls.certificate.c_str(), [&] {
      return natsOptions_LoadCertificatesChain(options, tls.certificate.c_str(), tls.key.c_str());
    });
  }
  steps.then("expect the host's name", [&] {
    return natsOptions_SetExpectedHostname(options, address.url.hosts.front().host.c_str());
  });
  if (steps.status() == NATS_OK) return {};
  natsStatus detail = NATS_OK;
  const char* text = nats_GetLastError(&detail);
  return core::fail(ErrorCode::kInvalidArgument,
                    std::string("[uplink.tls]: cannot use ") + steps.what() + ": " +
                        (text == nullptr ? natsStatus_GetText(steps.status()) : text));
}

Result<NatsPointer<natsOptions>> make_options(const NatsAddress& address, NatsEvents& events,
                                              std::uint64_t timeout_ns) {
  natsOptions* raw = nullptr;
  if (natsOptions_Create(&raw) != NATS_OK) return core::fail(ErrorCode::kIo, "no NATS options");
  NatsPointer<natsOptions> options(raw);
  std::vector<std::string> urls;
  urls.reserve(address.url.hosts.size());
  for (const auto& host : address.url.hosts) urls.push_back(url_of(address, host));
  std::vector<const char*> texts;
  texts.reserve(urls.size());
  for (const auto& url : urls) texts.push_back(url.c_str());
  const auto timeout_ms = static_cast<std::int64_t>(std::max<std::uint64_t>(timeout_ns / kMsNs, 1));
  Steps steps;
  steps
      .then(
          "servers",
          [&] { return natsOptions_SetServers(raw, texts.data(), static_cast<int>(texts.size())); })
      .then("timeout", [&] { return natsOptions_SetTimeout(raw, timeout_ms); })
      .then("name", [&] { return natsOptions_SetName(raw, "spillway"); })
      .then("reconnect", [&] { return natsOptions_SetAllowReconnect(raw, false); })
      .then("ping", [&] { return natsOptions_SetPingInterval(raw, kPingIntervalMs); })
      .then("pings", [&] { return natsOptions_SetMaxPingsOut(raw, kPingsOutMax); })
      .then("errors", [&] { return natsOptions_SetErrorHandler(raw, on_error, events.closure()); })
      .then("closing", [&] { return natsOptions_SetClosedCB(raw, on_gone, events.closure()); });
  if (!address.url.user.empty()) {
    steps.then("user", [&] {
      return natsOptions_SetUserInfo(raw, address.url.user.c_str(), address.password.c_str());
    });
  } else if (!address.password.empty()) {
    steps.then("token", [&] { return natsOptions_SetToken(raw, address.password.c_str()); });
  }
  if (steps.status() != NATS_OK) return tl::unexpected(nats_error(steps.what(), steps.status()));
  if (address.secure()) SPILLWAY_CHECKED(secure(raw, address));
  return options;
}

ErrorCode code_of(natsStatus status, jsErrCode code, const std::string& text) {
  if (text.find("ermissions") != std::string::npos ||
      text.find("uthorization") != std::string::npos) {
    return ErrorCode::kPermission;
  }
  switch (code) {
    case JSStreamNotFoundErr:
      return ErrorCode::kNotFound;
    case JSStreamMessageExceedsMaximumErr:
      return ErrorCode::kRefused;
    case JSInsufficientResourcesErr:
    case JSMemoryResourcesExceededErr:
    case JSStorageResourcesExceededErr:
    case JSAccountResourcesExceededErr:
    case JSStreamStoreFailedErr:
      return ErrorCode::kFull;
    default:
      break;
  }
  switch (status) {
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
      return ErrorCode::kPermission;
    case NATS_MAX_PAYLOAD:
      return ErrorCode::kRefused;
    case NATS_NO_RESPONDERS:
    case NATS_NOT_FOUND:
      return ErrorCode::kNotFound;
    default:
      return ErrorCode::kUnavailable;
  }
}

}  // namespace

Error nats_error(const std::string& tried, natsStatus status, jsErrCode code, const char* text) {
  const std::string detail = text != nullptr && *text != '\0' ? text : natsStatus_GetText(status);
  Error error{code_of(status, code, detail), tried + ": " + detail};
  if (error.code == ErrorCode::kPermission) {
    error.message += "; check user, password_file and what the server lets this user do";
  }
  if (status == NATS_SECURE_CONNECTION_REQUIRED)
    error.message += "; it wants TLS: set [uplink.tls]";
  if (status == NATS_SECURE_CONNECTION_WANTED) {
    error.message += "; it has no TLS: take [uplink.tls] away, or set it up there";
  }
  return error;
}

Result<NatsSession> connect_nats(const NatsAddress& address, std::uint64_t timeout_ns) {
  NatsSession session;
  session.events = NatsEvents::make();
  SPILLWAY_TRY(options, make_options(address, *session.events, timeout_ns));
  const std::string what = "NATS at " + address.url.hosts_text();
  natsConnection* connection = nullptr;
  const natsStatus connected = natsConnection_Connect(&connection, options.get());
  if (connected != NATS_OK) {
    natsStatus detail = NATS_OK;
    return tl::unexpected(
        nats_error(what, connected, static_cast<jsErrCode>(0), nats_GetLastError(&detail)));
  }
  session.connection.reset(connection);
  jsOptions wishes;
  jsOptions_Init(&wishes);
  wishes.Wait = static_cast<std::int64_t>(std::max<std::uint64_t>(timeout_ns / kMsNs, 1));
  wishes.PublishAsync.MaxPending = kPublishesMax;
  wishes.PublishAsync.AckHandler = on_acknowledged;
  wishes.PublishAsync.AckHandlerClosure = session.events->closure();
  jsCtx* context = nullptr;
  const natsStatus made = natsConnection_JetStream(&context, connection, &wishes);
  if (made != NATS_OK) return tl::unexpected(nats_error(what, made));
  session.context.reset(context);
  return session;
}

}  // namespace spillway::uplink
