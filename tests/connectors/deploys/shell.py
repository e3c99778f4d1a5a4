"""Every global argument, and the signs that shells trip over, through server.shell."""

from pyinfra.operations import server

from tests.connectors.signs import SIGNS

server.shell(name="signs", commands=["printf %s '" + SIGNS.replace("'", "'\"'\"'") + "' >/opt/signs"])
server.shell(name="env", commands=['printf %s "$WORD" >/opt/env'], _env={"WORD": SIGNS})
server.shell(name="chdir", commands=["pwd >here"], _chdir="/var/tmp")
server.shell(name="stdin", commands=["cat >/opt/stdin"], _stdin=["one 'line'", "two $x"])
server.shell(name="sudo user", commands=["id -un >/tmp/sudo-user"], _sudo=True, _sudo_user="steam")
server.shell(name="su user", commands=["id -un >/tmp/su-user"], _su_user="steam")
server.shell(name="codes", commands=["exit 67"], _success_exit_codes=[67])
server.shell(name="bash", commands=["[[ a == a ]] && echo yes >/opt/bash"], _shell_executable="bash")
server.shell(name="several", commands=["echo 1 >>/opt/several", "echo 2 >>/opt/several"])
