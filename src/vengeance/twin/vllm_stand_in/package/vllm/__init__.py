"""The twin's stand-in for vLLM 0.15.1: its command line and its web interface, without a model.

It judges the flags as vLLM 0.15.1 does, takes the memory of the twin's card that the real one would hold (or says why
it cannot, in vLLM's words), says that it is healthy and lists the model it was given. It computes nothing and loads no
weights. Never install it on a real box.
"""

__version__ = "0.15.1+twin"
