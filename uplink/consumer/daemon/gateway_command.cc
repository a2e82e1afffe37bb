// spillway-consumer gateway: who sends here, and who may.
#include <algorithm>
#include <boost/json.hpp>
#include <iostream>

#include "uplink/consumer/daemon/tool.h"

namespace spillway::consumer::tool {

namespace {

namespace json = boost::json;
using core::Result;

constexpr std::size_t kNameBytesMax = 255;

struct Wishes {
  std::vector<std::string> gateways;  // allow, revoke
  std::string gateway;                // rename
  std::string name;
  std::string state;
  bool as_json = false;
};

Result<std::unique_ptr<GatewayStore>> open_registry(const std::string& config) {
  SPILLWAY_TRY(choice, load_inbox_choice(config));
  return open_existing_gateways(choice);
}

json::object describe(const GatewayRow& row) {
  return {{"gateway", row.id},
          {"name", row.given_name.empty() ? row.name : row.given_name},
          {"own_name", row.name},
          {"state", row.state},
          {"connected", row.connected},
          {"first_seen_ns", row.first_seen_ns},
          {"last_seen_ns", row.last_seen_ns},
          {"address", row.address},
          {"certificate", row.certificate},
          {"uplinks", row.uplinks},
          {"sessions", row.sessions},
          {"conflicts", row.conflicts},
          {"turned_away", row.turned_away},
          {"records", row.records},
          {"dead", row.dead}};
}

void print(const GatewayRow& row) {
  std::cout << row.id << "  " << row.state << (row.connected != 0 ? ", connected" : "") << "  "
            << (row.given_name.empty() ? row.name : row.given_name);
  if (!row.given_name.empty() && row.given_name != row.name && !row.name.empty()) {
    std::cout << " (calls itself " << row.name << ")";
  }
  std::cout << "\n  last seen " << utc_text(row.last_seen_ns) << " from "
            << (row.address.empty() ? "-" : row.address) << ", " << row.records << " records in "
            << row.sessions << " sessions";
  if (row.dead != 0) std::cout << ", " << row.dead << " dead";
  if (row.turned_away != 0) std::cout << ", turned away " << row.turned_away << " times";
  std::cout << '\n';
  if (!row.certificate.empty()) std::cout << "  certificate " << row.certificate << '\n';
  if (row.conflicts != 0) {
    std::cout << "  CONFLICTS: " << row.conflicts
              << " times two claimed to be it; if that goes on, one is a clone\n";
  }
}

int run_list(const std::string& config, const Wishes& wishes) {
  auto registry = open_registry(config);
  if (!registry) return report(registry.error());
  auto rows = (*registry)->list();
  if (!rows) return report(rows.error());
  std::erase_if(*rows, [&](const GatewayRow& row) {
    return !wishes.state.empty() && row.state != wishes.state;
  });
  json::array list;
  for (const GatewayRow& row : *rows) {
    if (wishes.as_json) {
      list.push_back(describe(row));
    } else {
      print(row);
    }
  }
  if (wishes.as_json) {
    std::cout << json::serialize(json::object{{"gateways", std::move(list)}}) << '\n';
  } else if (rows->empty()) {
    std::cout << "no gateway\n";
  }
  return kDone;
}

/// What was changed, in one line or one object.
int say(const Wishes& wishes, const json::array& changed, std::string_view what) {
  if (wishes.as_json) {
    std::cout << json::serialize(json::object{{"state", what}, {"gateways", changed}}) << '\n';
    return kDone;
  }
  for (const auto& gateway : changed) {
    std::cout << std::string_view(gateway.as_string()) << ' ' << what << '\n';
  }
  return kDone;
}

/// An unknown name is the answer no; the rest is wrong use or the system's.
int fail_with(const core::Error& error) {
  if (error.code == core::ErrorCode::kNotFound) return report(kNo, error.message);
  return report(error);
}

int run_set_state(const std::string& config, const Wishes& wishes, GatewayState state) {
  auto registry = open_registry(config);
  if (!registry) return report(registry.error());
  std::vector<core::Uuid> gateways;
  for (const std::string& wanted : wishes.gateways) {
    const auto found = (*registry)->find(wanted);
    if (!found) return fail_with(found.error());
    gateways.push_back(*found);
  }
  json::array changed;
  for (const core::Uuid& gateway : gateways) {
    if (const auto set = (*registry)->set_state(gateway, state); !set) return report(set.error());
    changed.emplace_back(gateway.text());
  }
  return say(wishes, changed, name_of(state));
}

int run_rename(const std::string& config, const Wishes& wishes) {
  auto registry = open_registry(config);
  if (!registry) return report(registry.error());
  const bool printable = std::all_of(wishes.name.begin(), wishes.name.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 32 && static_cast<unsigned char>(c) != 127;
  });
  if (wishes.name.size() > kNameBytesMax || !printable) {
    return report(kWrongUse, "a name has at most 255 bytes and no control characters");
  }
  const auto found = (*registry)->find(wishes.gateway);
  if (!found) return fail_with(found.error());
  if (const auto renamed = (*registry)->rename(*found, wishes.name); !renamed) {
    return fail_with(renamed.error());
  }
  return say(wishes, {found->text()}, "renamed");
}

}  // namespace

void add_gateway_command(CLI::App& app, const std::string& config, int& exit_code) {
  auto* command = app.add_subcommand("gateway", "Who sends here, and who may");
  command->require_subcommand(1)->fallthrough();
  auto wishes = std::make_shared<Wishes>();
  const auto add = [&](const char* name, const char* help) {
    auto* added = command->add_subcommand(name, help)->fallthrough();
    added->add_flag("--json", wishes->as_json, "answer as JSON");
    return added;
  };
  auto* list = add("list", "List the gateways that were seen, allowed or revoked");
  list->add_option("--state", wishes->state, "only those that are new, allowed or revoked")
      ->check(CLI::IsMember({"new", "allowed", "revoked"}));
  list->callback([=, &config, &exit_code] { exit_code = run_list(config, *wishes); });
  auto* allow = add("allow", "Let gateways in, also such as were never seen yet");
  allow->add_option("gateway", wishes->gateways, "id, or name")->required();
  allow->callback([=, &config, &exit_code] {
    exit_code = run_set_state(config, *wishes, GatewayState::kAllowed);
  });
  auto* revoke = add("revoke", "Let gateways in no more; a session that stands is ended at once");
  revoke->add_option("gateway", wishes->gateways, "id, or name")->required();
  revoke->callback([=, &config, &exit_code] {
    exit_code = run_set_state(config, *wishes, GatewayState::kRevoked);
  });
  auto* rename = add("rename", "Give a gateway a name here; an empty one: its own again");
  rename->add_option("gateway", wishes->gateway, "id, or name")->required();
  rename->add_option("name", wishes->name, "the new name")->required();
  rename->callback([=, &config, &exit_code] { exit_code = run_rename(config, *wishes); });
}

}  // namespace spillway::consumer::tool
