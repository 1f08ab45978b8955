"""`python -m stock_pipeline.deploy build|deploy …`: what `make build` and `make deploy` run."""

from __future__ import annotations

import argparse
import sys

from stock_pipeline.deploy import sam
from stock_pipeline.deploy.dependencies import TARGETS
from stock_pipeline.errors import DeployError


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m stock_pipeline.deploy", description=__doc__)
    commands = arguments.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build")
    command.add_argument("--target", choices=TARGETS, default="x86_64")
    command = commands.add_parser("deploy")
    command.add_argument("--target", choices=TARGETS, default="x86_64")
    command.add_argument("--stage", default="main")
    command.add_argument("--parameters", default="", help="parameters of the template: 'Seed=11 Symbols=AAPL,MSFT'")
    given = arguments.parse_args()
    try:
        if given.command == "build":
            print(f"built {sam.build(given.target)}")  # noqa: T201
        else:
            parameters = sam.parameters_of(given.parameters)
            if given.target == "arm64":
                parameters = {"Architecture": "arm64", **parameters}
            sam.deploy(sam.BUILT / given.target / "template.yaml", given.stage, parameters)
    except DeployError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
