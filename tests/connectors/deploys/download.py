"""Has the box download the file that the environment names."""

import os

from pyinfra.context import host

from vengeance.operations import windows

if "windows" in host.groups:
    windows.download(
        name="A download",
        url=os.environ["DOWNLOAD_URL"],
        dest=os.environ["DOWNLOAD_DEST"],
        sha256=os.environ["DOWNLOAD_SHA256"],
    )
