#include "edge-agent/ingest/api/schema_change.h"

#include <flatbuffers/reflection.h>

namespace spillway::agent::api {
namespace {

using reflection::BaseType;

std::string name_of(const flatbuffers::String* name) { return name == nullptr ? "" : name->str(); }

const reflection::Schema& schema_of(std::span<const std::byte> bfbs) {
  return *reflection::GetSchema(bfbs.data());
}

class Change {
 public:
  Change(const reflection::Schema& before, const reflection::Schema& after)
      : before_(before), after_(after) {}

  std::optional<std::string> find() const {
    const std::string root = name_of(before_.root_table()->name());
    if (const std::string now = name_of(after_.root_table()->name()); now != root) {
      return "root_type was " + root + " and is now " + now;
    }
    if (name_of(before_.file_ident()) != name_of(after_.file_ident())) {
      return std::string("file_identifier has changed");
    }
    for (const auto* object : *before_.objects()) {
      if (auto why = compare(*object)) return why;
    }
    for (const auto* one : *before_.enums()) {
      if (auto why = compare(*one)) return why;
    }
    return std::nullopt;
  }

 private:
  template <typename List>
  static auto find_named(const List& list, const std::string& name) -> decltype(list.Get(0)) {
    for (const auto* one : list) {
      if (name_of(one->name()) == name) return one;
    }
    return nullptr;
  }

  static std::string type_text(const reflection::Schema& schema, BaseType base,
                               std::int32_t index) {
    std::string text = reflection::EnumNameBaseType(base);
    if (index < 0) return text;
    const auto at = static_cast<flatbuffers::uoffset_t>(index);
    return text + " " +
           name_of(base == BaseType::Obj ? schema.objects()->Get(at)->name()
                                         : schema.enums()->Get(at)->name());
  }
  static std::string type_text(const reflection::Schema& schema, const reflection::Type& type) {
    const auto base = type.base_type();
    if (base != BaseType::Vector && base != BaseType::Array) {
      return type_text(schema, base, type.index());
    }
    std::string text = "[" + type_text(schema, type.element(), type.index());
    if (base == BaseType::Array) text += ":" + std::to_string(type.fixed_length());
    return text + "]";
  }

  std::optional<std::string> compare(const reflection::Object& object) const {
    const std::string where = (object.is_struct() ? "struct " : "table ") + name_of(object.name());
    const auto* now = find_named(*after_.objects(), name_of(object.name()));
    if (now == nullptr) return where + " is gone";
    if (now->is_struct() != object.is_struct()) return where + " is a table or struct no more";
    for (const auto* field : *object.fields()) {
      if (auto why = compare(where, *field, *now)) return why;
    }
    if (object.is_struct()) {
      const bool same =
          object.fields()->size() == now->fields()->size() && object.bytesize() == now->bytesize();
      return same ? std::nullopt : std::optional(where + " has changed: a struct never may");
    }
    return check_new_fields(where, object, *now);
  }

  std::optional<std::string> compare(const std::string& where, const reflection::Field& field,
                                     const reflection::Object& now) const {
    const std::string name = where + ": field " + name_of(field.name());
    const auto* same = find_named(*now.fields(), name_of(field.name()));
    if (same == nullptr) return name + " is gone: mark it (deprecated) instead";
    if (same->id() != field.id() || same->offset() != field.offset()) {
      return name + " has another place: new fields go behind the old ones";
    }
    const std::string was = type_text(before_, *field.type());
    const std::string is = type_text(after_, *same->type());
    if (was != is) return name + " was " + was + " and is now " + is;
    if (same->required() != field.required()) {
      return name + (same->required() ? " is now required" : " is required no more");
    }
    if (same->optional() != field.optional()) return name + " has changed from or to = null";
    const bool default_stays = same->default_integer() == field.default_integer() &&
                               same->default_real() == field.default_real();
    if (!default_stays) return name + " has another default";
    if (field.deprecated() && !same->deprecated()) return name + " is deprecated no more";
    return std::nullopt;
  }

  static std::optional<std::string> check_new_fields(const std::string& where,
                                                     const reflection::Object& object,
                                                     const reflection::Object& now) {
    for (const auto* field : *now.fields()) {
      // The old ones keep their places, so a new one is behind them.
      if (field->id() < object.fields()->size() || !field->required()) continue;
      return where + ": the new field " + name_of(field->name()) +
             " is required, which old records do not have";
    }
    return std::nullopt;
  }

  std::optional<std::string> compare(const reflection::Enum& one) const {
    const std::string where = (one.is_union() ? "union " : "enum ") + name_of(one.name());
    const auto* now = find_named(*after_.enums(), name_of(one.name()));
    if (now == nullptr) return where + " is gone";
    if (now->is_union() != one.is_union() ||
        now->underlying_type()->base_type() != one.underlying_type()->base_type()) {
      return where + " has another type";
    }
    for (const auto* value : *one.values()) {
      const auto* same = find_named(*now->values(), name_of(value->name()));
      std::string name = where + ": value ";
      name += name_of(value->name());
      if (same == nullptr) return name + " is gone";
      if (same->value() != value->value()) return name + " has another number";
      if (!one.is_union()) continue;
      const std::string was = member_text(before_, *value);
      const std::string is = member_text(after_, *same);
      if (was == is) continue;
      name.append(" was ").append(was).append(" and is now ").append(is);
      return name;
    }
    return std::nullopt;
  }

  static std::string member_text(const reflection::Schema& schema,
                                 const reflection::EnumVal& value) {
    return value.union_type() == nullptr ? "None" : type_text(schema, *value.union_type());
  }

  const reflection::Schema& before_;
  const reflection::Schema& after_;
};

}  // namespace

std::optional<std::string> why_incompatible(std::span<const std::byte> before,
                                            std::span<const std::byte> after) {
  return Change(schema_of(before), schema_of(after)).find();
}

}  // namespace spillway::agent::api
