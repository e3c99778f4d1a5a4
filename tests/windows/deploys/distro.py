"""The distro of the project's pins under the name of these tests, and pyinfra's own operations in it."""

from io import StringIO

from pyinfra.context import host
from pyinfra.operations import files, server

from vengeance.operations import windows, wsl

DISTRO, FOLDER = "vengeance-tests", r"C:\ProgramData\vengeance tests"

if "windows" in host.groups:
    windows.private_directory(name="the folder of downloads", path=FOLDER)
    wsl.distro(
        name="the distro",
        distro=DISTRO,
        image_url=host.data.distro_url,
        image_sha256=host.data.distro_sha256,
        path=rf"{FOLDER}\{DISTRO}",
        folder=FOLDER,
    )

if "wsl" in host.groups:
    wsl.user(name="a user", user="tester")
    written = wsl.conf(name="its settings", settings={"boot": {"systemd": True}, "user": {"default": "tester"}})
    wsl.instance(name="it runs with systemd", systemd=True, conf=written)
    files.put(name="a file", src=StringIO("it's $HOME\n"), dest="/opt/tests/a file.txt", mode="640", user="tester")
    server.user(name="another user", user="second", home="/srv/second", ensure_home=True)
