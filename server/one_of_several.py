"""One server process of several: the application on a shared port; see `server.several`."""

from __future__ import annotations

import argparse
import sys

import uvloop

from server.app import serve_on
from server.environment import SettingsError, load_settings
from server.logs import configure_logging
from server.pulse import die_with
from server.services import ServicesError, attached_services
from server.several import shared_listener


def main(arguments: list[str] | None = None) -> None:
    """The process that `server.several` starts: settings from the environment, the rest as options."""
    parser = argparse.ArgumentParser(prog="python -m server.one_of_several", description=__doc__)
    parser.add_argument("--name", required=True, help="unique to this life of this process")
    parser.add_argument("--parent", type=int, required=True, help="process id of the owner")
    options = parser.parse_args(arguments)
    die_with(options.parent)
    try:
        settings = load_settings()
        services = attached_services(settings)
        with shared_listener(settings) as listener:
            configure_logging(settings.log_level, settings.log_format)
            uvloop.run(serve_on(listener, settings, services, name=options.name, alone=False))
    except (SettingsError, ServicesError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
