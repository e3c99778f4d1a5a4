"""Operations on a Windows host."""

from vengeance.operations.windows.files import put as put
from vengeance.operations.windows.system import version as version
from vengeance.operations.windows.tasks import scheduled_task as scheduled_task
from vengeance.operations.windows.variables import check_variables as check_variables
from vengeance.operations.windows.variables import environment as environment
