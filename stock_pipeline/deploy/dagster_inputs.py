"""What the stack of Dagster gets beside what a person gives: outputs of the pipeline, a network, an image or program.

Nothing is guessed: what cannot be looked up is asked for, in words that can be typed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.errors import DeployError
from stock_pipeline.progress import Say

LOOKED_UP = {
    "ecs": ("Vpc", "Subnets", "ImageDigest"),
    "small": ("Vpc", "Subnet", "Zone", "PackageBucket", "PackageKey"),
}
"""The parameters of each form that are looked up here unless they are given."""

_PROGRAM = ("stock_pipeline", "requirements/serve.txt", "deploy/systemd")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # so the same sources are the same bytes


def of_stack(parameters: Mapping[str, Any], pipeline: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The parameters that are outputs of the pipeline's stack. Raises DeployError for one that it lacks.

    Also refuses what somebody gives that the template does not know, or that comes from the pipeline.
    """
    looked_up = {name for names in LOOKED_UP.values() for name in names}
    wanted = {name for name, each in parameters.items() if "Default" not in each and name not in looked_up}
    own = sorted(parameters.keys() - wanted)
    for name in given:
        if name not in own:
            raise DeployError(f"the template of Dagster has no parameter {name} to give; it has {', '.join(own)}")
    if missing := sorted(wanted - pipeline.keys()):
        raise DeployError(f"the pipeline's stack has no output {missing[0]}; it is old: `make deploy` without DAGSTER")
    return {name: pipeline[name] for name in sorted(wanted)}


def network(form: str, known: Mapping[str, str], ec2: Any, report: Say) -> dict[str, str]:
    """Vpc and Subnets (ecs), or Vpc, Subnet and Zone (small): of subnets that are known, else of the default network.

    Raises DeployError where there is no default network, or it has too few zones.
    """
    name = "Subnets" if form == "ecs" else "Subnet"
    if known.get(name):
        found = ec2.describe_subnets(SubnetIds=known[name].split(","))["Subnets"]
    else:
        networks = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        if not networks:
            raise DeployError(
                f"the account has no default network here; give subnets of yours: PARAMS='{name}=subnet-…'"
            )
        of_network = [
            {"Name": "vpc-id", "Values": [networks[0]["VpcId"]]},
            {"Name": "default-for-az", "Values": ["true"]},
        ]
        found = ec2.describe_subnets(Filters=of_network)["Subnets"]
        report(f"it will be in the default network {networks[0]['VpcId']}; no port is opened")
    found = sorted(found, key=lambda each: (each["AvailabilityZone"], each["SubnetId"]))
    zones, vpcs = {each["AvailabilityZone"] for each in found}, {each["VpcId"] for each in found}
    if len(vpcs) != 1:
        raise DeployError(f"the subnets are of {len(vpcs)} networks; give subnets of one: PARAMS='{name}=subnet-…'")
    if form == "small":
        return {"Vpc": vpcs.pop(), "Subnet": found[0]["SubnetId"], "Zone": found[0]["AvailabilityZone"]}
    if len(zones) < 2:
        raise DeployError(
            "the database needs subnets in two availability zones; give them: PARAMS='Subnets=subnet-…,subnet-…'"
        )
    return {"Vpc": vpcs.pop(), "Subnets": ",".join(each["SubnetId"] for each in found)}


def image(parameters: Mapping[str, Any], known: Mapping[str, str], ecr: Any) -> dict[str, str]:
    """The digest of the image that has the tag now, so that every task runs the same. Raises DeployError."""
    repository, tag = (known.get(name) or parameters[name]["Default"] for name in ("Repository", "ImageTag"))
    try:
        found = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"]
    except ClientError as error:
        code = error.response["Error"].get("Code")
        if code not in {"RepositoryNotFoundException", "ImageNotFoundException"}:
            raise
        raise DeployError(
            f"there is no image {repository}:{tag} in the account's registry; build and push it first "
            "(docs/operations.md, Deploying it)"
        ) from error
    return {"ImageDigest": found[0]["imageDigest"]}


def program(stack: str, bucket: str | None, s3: Any, account: str) -> dict[str, str]:
    """Put the program into the SAM CLI's bucket, under a key with its hash; returns where it is. Raises DeployError."""
    if bucket is None:
        raise DeployError(
            "the SAM CLI has no bucket here yet; deploy the pipeline first: `make deploy` without DAGSTER"
        )
    packed = packed_program()
    key = f"{stack}/{hashlib.sha256(packed).hexdigest()[:32]}.zip"
    s3.put_object(Bucket=bucket, Key=key, Body=packed, ExpectedBucketOwner=account)
    return {"PackageBucket": bucket, "PackageKey": key}


def packed_program(root: Path = CHECKOUT) -> bytes:
    """What the small machine runs: the package, its pinned requirements and its units, as a zip file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(root):
            about = zipfile.ZipInfo(str(path.relative_to(root)), _EPOCH)
            about.external_attr = 0o644 << 16
            archive.writestr(about, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _files(root: Path) -> Iterator[Path]:
    for name in _PROGRAM:
        place = root / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                yield path
