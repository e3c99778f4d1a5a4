"""Operations on a Windows host."""

from vengeance.operations.windows.files import directory as directory
from vengeance.operations.windows.files import download as download
from vengeance.operations.windows.files import file as file
from vengeance.operations.windows.files import private_directory as private_directory
from vengeance.operations.windows.files import put as put
from vengeance.operations.windows.files import template as template
from vengeance.operations.windows.installers import installer as installer
from vengeance.operations.windows.installers import msi as msi
from vengeance.operations.windows.installers import uninstalled as uninstalled
from vengeance.operations.windows.network import firewall_rule as firewall_rule
from vengeance.operations.windows.network import port_proxy as port_proxy
from vengeance.operations.windows.network import reserved_port as reserved_port
from vengeance.operations.windows.restart import asks_for_restart as asks_for_restart
from vengeance.operations.windows.restart import reboot as reboot
from vengeance.operations.windows.system import feature as feature
from vengeance.operations.windows.system import power as power
from vengeance.operations.windows.system import registry_value as registry_value
from vengeance.operations.windows.system import service as service
from vengeance.operations.windows.system import version as version
from vengeance.operations.windows.tasks import scheduled_task as scheduled_task
from vengeance.operations.windows.variables import check_variables as check_variables
from vengeance.operations.windows.variables import environment as environment
