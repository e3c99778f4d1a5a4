"""Operations on Ollama on a Windows host.

The server is a program of one Windows account, the one that the connection signs in as. It takes its environment once,
when it starts, and the tray app hands its own on to it; so each change is followed by ``restarted``, which proves by
the server's own log what it works with.
"""

from vengeance.box.ollama_settings import asked_at as asked_at
from vengeance.operations.ollama.install import DOWNLOADS as DOWNLOADS
from vengeance.operations.ollama.install import installed as installed
from vengeance.operations.ollama.memory import unloaded as unloaded
from vengeance.operations.ollama.pulls import models as models
from vengeance.operations.ollama.restart import restarted as restarted
from vengeance.operations.ollama.starting import autostart as autostart
from vengeance.operations.ollama.variables import settings as settings
