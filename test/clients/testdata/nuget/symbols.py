"""Copies a program and its debug symbols, and symbols of another build, from PyPI's clr-loader, and writes what a debugger asks by.

usage: symbols.py NAME

It makes NAME.dll, NAME.pdb, other/NAME.pdb and debugger.json (signature, also in upper case, and checksum).

It reads the debug directory of the program (PE Format, .debug section; PE-COFF.md of .NET): entry 2, CodeView, has "RSDS", a GUID and an
age, entry 19 the algorithm and the checksum of the symbols.
"""

import json
import pathlib
import struct
import subprocess
import sys
import uuid

name = sys.argv[1]
place = "import clr_loader, pathlib; print(pathlib.Path(clr_loader.__file__).parent / 'ffi' / 'dlls')"
dlls = pathlib.Path(subprocess.check_output(["python-packaging", "-c", place], text=True).strip())
for source, target in {"amd64/ClrLoader.dll": f"{name}.dll", "amd64/ClrLoader.pdb": f"{name}.pdb", "x86/ClrLoader.pdb": f"other/{name}.pdb"}.items():
    pathlib.Path(target).parent.mkdir(exist_ok=True)
    pathlib.Path(target).write_bytes((dlls / source).read_bytes())

image = pathlib.Path(f"{name}.dll").read_bytes()
header = struct.unpack_from("<I", image, 0x3C)[0]
(sections,) = struct.unpack_from("<H", image, header + 6)
(optional,) = struct.unpack_from("<H", image, header + 20)
directories = header + 24 + (112 if struct.unpack_from("<H", image, header + 24)[0] == 0x20B else 96)
address, size = struct.unpack_from("<II", image, directories + 6 * 8)
for i in range(sections):
    length, start, _, at = struct.unpack_from("<IIII", image, header + 24 + optional + 40 * i + 8)
    if start <= address < start + length:
        break
found = {}
for entry in range(address - start + at, address - start + at + size, 28):
    kind, length, _, at_file = struct.unpack_from("<IIII", image, entry + 12)
    found[kind] = image[at_file : at_file + length]
assert found[2][:4] == b"RSDS"
signature = uuid.UUID(bytes_le=found[2][4:20]).hex + "FFFFFFFF"
algorithm, _, checksum = found[19].partition(b"\0")
assert algorithm == b"SHA256" and len(checksum) == 32
pathlib.Path("debugger.json").write_text(json.dumps({"signature": signature, "upper": signature.upper(), "checksum": checksum.hex()}))
