"""Operations on WSL. ``user``, ``conf`` and ``instance`` run on the distro itself, all others on its Windows host."""

from vengeance.operations.wsl.checks import check_distro as check_distro
from vengeance.operations.wsl.distribution import check_registered as check_registered
from vengeance.operations.wsl.distribution import distro as distro
from vengeance.operations.wsl.inside import changes as changes
from vengeance.operations.wsl.inside import check_systemd as check_systemd
from vengeance.operations.wsl.inside import conf as conf
from vengeance.operations.wsl.inside import instance as instance
from vengeance.operations.wsl.inside import terminate as terminate
from vengeance.operations.wsl.inside import user as user
from vengeance.operations.wsl.lifetime import check_running as check_running
from vengeance.operations.wsl.lifetime import keepalive as keepalive
from vengeance.operations.wsl.lifetime import restarted as restarted
from vengeance.operations.wsl.lifetime import terminated as terminated
from vengeance.operations.wsl.package import FEATURE as FEATURE
from vengeance.operations.wsl.package import installed as installed
from vengeance.operations.wsl.program import DOWNLOADS as DOWNLOADS
from vengeance.operations.wsl.program import run_wsl as run_wsl
from vengeance.operations.wsl.program import shut_down as shut_down
from vengeance.operations.wsl.virtual_machine import check_machine as check_machine
from vengeance.operations.wsl.virtual_machine import config as config
from vengeance.operations.wsl.virtual_machine import machine as machine
