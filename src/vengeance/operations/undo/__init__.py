"""Operations that take back what the deploys did, by what they kept from before: see ``deploys/undo.py``."""

from vengeance.operations.undo.asking import asked as asked
from vengeance.operations.undo.asking import begins as begins
from vengeance.operations.undo.asking import possible as possible
from vengeance.operations.undo.inside import environment as environment
from vengeance.operations.undo.inside import is_there as is_there
from vengeance.operations.undo.inside import packages as packages
from vengeance.operations.undo.inside import servers as servers
from vengeance.operations.undo.inside import token as token
from vengeance.operations.undo.inside import vllm_models as vllm_models
from vengeance.operations.undo.inside import wsl_conf as wsl_conf
from vengeance.operations.undo.network import firewall_rules as firewall_rules
from vengeance.operations.undo.network import forwarded_ports as forwarded_ports
from vengeance.operations.undo.network import reserved_ports as reserved_ports
from vengeance.operations.undo.network import served_ports as served_ports
from vengeance.operations.undo.network import tailscale as tailscale
from vengeance.operations.undo.ollama import ollama_app as ollama_app
from vengeance.operations.undo.ollama import ollama_models as ollama_models
from vengeance.operations.undo.ollama import ollama_uninstalled as ollama_uninstalled
from vengeance.operations.undo.ollama import variables as variables
from vengeance.operations.undo.system import WORK_FOLDER as WORK_FOLDER
from vengeance.operations.undo.system import features as features
from vengeance.operations.undo.system import folder as folder
from vengeance.operations.undo.system import power as power
from vengeance.operations.undo.wsl import distribution as distribution
from vengeance.operations.undo.wsl import wsl_uninstalled as wsl_uninstalled
from vengeance.operations.undo.wsl import wslconfig as wslconfig
