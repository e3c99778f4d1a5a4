"""The smallest shared library that Linux' loader takes, made without a compiler: a name and nothing in it.

The loader finds and maps it as any other, so that search paths, the loader's cache and what hides what are real.
System V ABI, gABI chapters 4 and 5, and its AMD64 supplement.
"""

from __future__ import annotations

import struct

_HEADER, _PROGRAM, _SYMBOL, _DYNAMIC = 64, 56, 24, 16
_PT_LOAD, _PT_DYNAMIC, _PT_GNU_STACK = 1, 2, 0x6474E551
_READ, _WRITE = 4, 2
_DT_NULL, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_SONAME = 0, 4, 5, 6, 10, 11, 14
_PAGE = 0x1000


def shared_object(name: str) -> bytes:
    """Return the bytes of a library for x86-64 whose name (DT_SONAME) is ``name``; it defines no symbol."""
    names = b"\0" + name.encode() + b"\0"
    symbols = bytes(_SYMBOL)
    # One bucket and one symbol, the undefined one that every table begins with.
    table = struct.pack("<4I", 1, 1, 0, 0)
    at_dynamic = _HEADER + 3 * _PROGRAM
    at_table = at_dynamic + 7 * _DYNAMIC
    at_symbols = at_table + len(table)
    at_names = at_symbols + len(symbols)
    size = at_names + len(names)
    entries = (
        (_DT_SONAME, 1),
        (_DT_HASH, at_table),
        (_DT_STRTAB, at_names),
        (_DT_SYMTAB, at_symbols),
        (_DT_STRSZ, len(names)),
        (_DT_SYMENT, _SYMBOL),
        (_DT_NULL, 0),
    )
    dynamic = b"".join(struct.pack("<2Q", *entry) for entry in entries)

    def program(kind: int, flags: int, start: int, length: int, alignment: int) -> bytes:
        return struct.pack("<2I6Q", kind, flags, start, start, start, length, length, alignment)

    header = struct.pack(
        "<16s2HI3QI6H",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little-endian, version 1
        3,  # ET_DYN
        62,  # EM_X86_64
        1,
        0,
        _HEADER,
        0,
        0,
        _HEADER,
        _PROGRAM,
        3,
        64,
        0,
        0,
    )
    # Older loaders write into the dynamic section, and without the third a stack that can be executed is asked for.
    programs = (
        program(_PT_LOAD, _READ | _WRITE, 0, size, _PAGE)
        + program(_PT_DYNAMIC, _READ | _WRITE, at_dynamic, len(dynamic), 8)
        + program(_PT_GNU_STACK, _READ | _WRITE, 0, 0, 16)
    )
    return header + programs + dynamic + table + symbols + names
