"""Build what every twin's distro starts from, where the cache does not hold it yet."""

from __future__ import annotations

import sys

from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.rootfs import rootfs
from vengeance.twin.distro.settings import DistroSettings
from vengeance.twin.distro.vendor_repository import vendor_folder


def main() -> int:
    """Build, or say why not."""
    settings = DistroSettings.from_environment()
    try:
        authority = (vendor_folder(settings.cache, print) / "authority.crt").read_bytes()
        print(rootfs(settings, authority, print).tree)
    except (DistroError, OSError) as error:
        print(f"vengeance: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
