"""The twin's stand-in for PyTorch: ``torch.cuda`` looks for the card as the real one does. Nothing can be computed.

Never install it on a real box.
"""

from . import cuda as cuda
from . import version as version

__version__ = version.__version__
