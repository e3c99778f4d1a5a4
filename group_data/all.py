"""Settings of every host. A host's own data in the inventory wins over what stands in this folder.

windows.py and wsl.py beside this file hold the settings of the Windows side and of the distro. Which Windows machine
and which distro these are, and how to reach them, stands in inventory/.
"""

# The Linux user who owns the Python environment and runs the server; made if it is not there.
linux_user = "steam"
