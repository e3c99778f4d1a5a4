"""A stand-in for the box: the real protocol, a model of Windows, and a real Linux distro."""
