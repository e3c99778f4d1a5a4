"""pyinfra's own operations, unchanged, in the distro."""

from io import StringIO
from pathlib import Path

from pyinfra.operations import apt, files, pip, server, systemd

HERE = Path(__file__).parent

apt.update(name="apt lists", cache_time=86400)
apt.packages(name="a package", packages=["tree"])
server.group(name="a group", group="testers")
server.user(name="a user", user="tester", home="/srv/tester", groups=["testers"], shell="/bin/bash", ensure_home=True)
files.directory(name="a folder", path="/opt/wire test [1]", user="tester", group="testers", mode="750")
files.put(
    name="a file",
    src=StringIO("first 'line' $HOME \\ \U0001f389\nsecond\n"),
    dest="/opt/wire test [1]/it's a file.txt",
    user="tester",
    group="testers",
    mode="640",
)
files.template(
    name="a template", src=StringIO("{{ word }} of {{ host.name }}\n"), dest="/opt/template.txt", word="names"
)
files.sync(name="a tree", src=str(HERE), dest="/opt/synced", exclude=["*__pycache__*"], delete=True)
files.line(name="a line", path="/etc/environment", line="one more line", present=True)
files.link(name="a link", path="/opt/link", target="/opt/template.txt")
pip.venv(name="a venv", path="/opt/venv", python="python3")
pip.packages(name="a Python package", packages=["six==1.16.0"], virtualenv="/opt/venv")
files.put(
    name="a unit",
    src=StringIO("[Service]\nExecStart=/usr/bin/python3 -m http.server 18765\n[Install]\nWantedBy=multi-user.target\n"),
    dest="/etc/systemd/system/wire-test.service",
)
systemd.daemon_reload(name="units are read")
systemd.service(name="a service", service="wire-test.service", running=True, enabled=True)
files.put(name="as another user", src=StringIO("mine\n"), dest="/srv/tester/mine.txt", _sudo=True, _sudo_user="tester")
