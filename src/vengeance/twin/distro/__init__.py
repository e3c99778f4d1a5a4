"""The real Linux of the twin's distro: its root filesystem, how it is started, and the package sources it sees."""
