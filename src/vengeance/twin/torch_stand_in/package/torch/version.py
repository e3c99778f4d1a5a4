"""What it was built for, as in PyTorch's wheels of that version."""

__version__ = "2.9.1+twin"
cuda = "12.8"
