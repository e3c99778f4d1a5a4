"""Build what every twin's distro starts from, where the cache does not hold it yet."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host import DistroHost
from vengeance.twin.distro.settings import DistroSettings


def main() -> int:
    """Build, or say why not."""
    with tempfile.TemporaryDirectory(prefix="vg-rootfs-") as state:
        try:
            DistroHost(DistroSettings.from_environment(), Path(state), Path(state, "c"), print).prepare()
        except (DistroError, OSError) as error:
            print(f"vengeance: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
