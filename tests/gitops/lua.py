"""Runs Lua programs on objects as Argo CD does: the global `obj` comes in, the returned value goes out.

Argo CD has gopher-lua, an implementation of Lua 5.1, and so both that and Lua 5.1 itself run them.
"""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from builds import built

_WRITER = r"""
local function quoted(text)
  local function escaped(c) return string.format("\\u%04x", c:byte()) end
  return '"' .. text:gsub('[%c"\\\127-\255]', escaped) .. '"'
end
local function json(value)
  if type(value) == "table" then
    local parts = {}
    if #value > 0 then
      for _, item in ipairs(value) do parts[#parts + 1] = json(item) end
      return "[" .. table.concat(parts, ",") .. "]"
    end
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in ipairs(keys) do parts[#parts + 1] = quoted(key) .. ":" .. json(value[key]) end
    return "{" .. table.concat(parts, ",") .. "}"
  end
  if type(value) == "string" then return quoted(value) end
  return tostring(value)
end
local program = assert(loadfile(arg[1]))
for _, each in ipairs(objects) do
  obj = each
  print(json(program()))
end
"""


INTERPRETERS = {"lua5.1": lambda: "lua5.1", "gopher-lua": lambda: str(built("gopher-lua") / "glua")}
"""The command of each interpreter that runs the programs."""


def run(interpreter: str, program: Path, objects: Iterable[Any], folder: Path) -> list[Any]:
    """What a program returns for each object. Raises AssertionError with Lua's words if it fails."""
    script = folder / "run.lua"
    listed = ",\n".join(map(literal, objects))
    script.write_text(f"local objects = {{\n{listed}\n}}\n{_WRITER}")
    done = subprocess.run([interpreter, script, program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def literal(value: Any) -> str:
    """A value as Lua writes it; null is nil, as in Argo CD."""
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            # A decimal escape is the same in every Lua.
            return '"' + "".join(f"\\{byte:03d}" for byte in value.encode()) + '"'
        case dict():
            return "{" + ",".join(f"[{literal(key)}]={literal(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "{" + ",".join(map(literal, value)) + "}"
    raise TypeError(type(value))
