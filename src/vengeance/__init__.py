"""Turns a freshly installed Windows 11 PC with an NVIDIA card into a home LLM server."""
