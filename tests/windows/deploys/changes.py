"""One of each kind of change, by our operations; all of it is named after these tests."""

from io import StringIO

from pyinfra.context import host

from vengeance.operations import windows

present = host.data.present == "yes"
FOLDER = r"C:\ProgramData\vengeance tests"

windows.environment(name="a variable", variables={"VENGEANCE_TESTS": "by pyinfra"}, present=present)
windows.registry_value(
    name="a value", key=r"HKLM\SOFTWARE\vengeance tests", value_name="by", data="pyinfra", present=present
)
windows.firewall_rule(
    name="a rule", rule="vengeance tests", port=47110, remote_addresses=["192.0.2.0/24"], present=present
)
windows.directory(name="a folder", path=FOLDER, present=present, contents=True)
if present:
    windows.put(name="a file", src=StringIO("by pyinfra\n"), dest=rf"{FOLDER}\file.txt")
