"""Facts of a Windows host.

Each runs one shipped script. ``requires_command`` is never set: pyinfra wraps such a fact in POSIX shell.
"""

from vengeance.facts.windows.answers import parse as parse
from vengeance.facts.windows.files import DirectoryAccess as DirectoryAccess
from vengeance.facts.windows.files import File as File
from vengeance.facts.windows.files import Sha256 as Sha256
from vengeance.facts.windows.gpu import GpuProcesses as GpuProcesses
from vengeance.facts.windows.installers import FileVersion as FileVersion
from vengeance.facts.windows.installers import Product as Product
from vengeance.facts.windows.machine import Account as Account
from vengeance.facts.windows.machine import FolderSizes as FolderSizes
from vengeance.facts.windows.machine import Gpu as Gpu
from vengeance.facts.windows.machine import Gpus as Gpus
from vengeance.facts.windows.machine import Hardware as Hardware
from vengeance.facts.windows.machine import SystemClock as SystemClock
from vengeance.facts.windows.network import FirewallRules as FirewallRules
from vengeance.facts.windows.network import Listeners as Listeners
from vengeance.facts.windows.network import NetworkProfiles as NetworkProfiles
from vengeance.facts.windows.network import PortProxies as PortProxies
from vengeance.facts.windows.network import ReservedPorts as ReservedPorts
from vengeance.facts.windows.processes import Processes as Processes
from vengeance.facts.windows.system import Boot as Boot
from vengeance.facts.windows.system import BootState as BootState
from vengeance.facts.windows.system import Feature as Feature
from vengeance.facts.windows.system import Os as Os
from vengeance.facts.windows.system import PendingReboot as PendingReboot
from vengeance.facts.windows.system import Power as Power
from vengeance.facts.windows.system import RegistryValue as RegistryValue
from vengeance.facts.windows.system import Service as Service
from vengeance.facts.windows.system import WsmanQuota as WsmanQuota
from vengeance.facts.windows.tasks import ScheduledTask as ScheduledTask
from vengeance.facts.windows.variables import Environment as Environment
from vengeance.facts.windows.work import Work as Work
