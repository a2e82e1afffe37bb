"""Reads core/format.fbs and works out where every field stands, by FlatBuffers' rule for structs: each field at the next
multiple of its own alignment, the whole rounded up to the largest. Shares no code with flatc or with the product."""

import re

SCALARS = {"ubyte": 1, "uint16": 2, "uint32": 4, "uint64": 8}
SHORT = {"ubyte": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64"}


class Field:
    def __init__(self, name, type_name, offset, size):
        self.name, self.type_name, self.offset, self.size = name, type_name, offset, size


class Struct:
    def __init__(self, name):
        self.name, self.fields, self.size, self.alignment = name, [], 0, 1


def round_up(value, step):
    return -(-value // step) * step


def layout(schema_text):
    """({struct name: Struct}, {enum name: {value: name}})"""
    text = re.sub(r"//.*", "", schema_text)
    structs, enums = {}, {}
    for kind, name, body in re.findall(r"\b(struct|enum)\s+(\w+)[^{]*\{([^}]*)\}", text):
        if kind == "enum":
            enums[name] = {int(value): key for key, value in re.findall(r"(\w+)\s*=\s*(\d+)", body)}
        else:
            structs[name] = _struct(name, body, structs)
    return structs, enums


def _struct(name, body, known):
    struct = Struct(name)
    for field, array, element, count, plain in re.findall(r"(\w+)\s*:\s*(?:(\[)(\w+):(\d+)\]|(\w+))\s*;", body):
        element = element or plain
        size, alignment = (SCALARS[element],) * 2 if element in SCALARS else (known[element].size, known[element].alignment)
        shown = f"{SHORT.get(element, element)}[{count}]" if array else SHORT.get(element, element)
        offset = round_up(struct.size, alignment)
        struct.fields.append(Field(field, shown, offset, size * int(count or 1)))
        struct.size = offset + size * int(count or 1)
        struct.alignment = max(struct.alignment, alignment)
    struct.size = round_up(struct.size, struct.alignment)
    return struct
