"""The region that an environment names, and what to do about errors of credentials, profiles and regions.

boto3 finds the credentials, and its errors are known here by their names; so this module imports nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["is_denied", "is_of_credentials", "region_of", "remedy_of"]

_LOGIN = "sign in again: aws sso login{profile}"
_KEYS = "take new credentials from where you have them, and set AWS_PROFILE or the AWS_… variables"
_REMEDIES = {
    "NoRegionError": "set AWS_REGION, such as AWS_REGION=eu-central-1, or give the profile a region",
    "InvalidRegionError": "set AWS_REGION to a region of AWS, such as eu-central-1",
    "NoCredentialsError": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or sign in: aws sso login",
    "PartialCredentialsError": "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither and AWS_PROFILE",
    "ProfileNotFound": "set AWS_PROFILE to one of `aws configure list-profiles`, or unset it",
    "ConfigParseError": "mend ~/.aws/config; `aws configure list` must work",
    "InvalidConfigError": "mend the profile in ~/.aws/config; `aws configure list` must work",
    "InfiniteLoopConfigError": "mend the profiles in ~/.aws/config: source_profile leads back to where it began",
    "CredentialRetrievalError": "run the credential_process of the profile by hand, to see why it fails",
    "MetadataRetrievalError": "set AWS_PROFILE or keys; this machine gets no credentials from a role",
    # An IAM Identity Center session, or `aws login`
    "SSOTokenLoadError": _LOGIN,
    "UnauthorizedSSOTokenError": _LOGIN,
    "SSOError": _LOGIN,
    "TokenRetrievalError": _LOGIN,
    "LoginError": "sign in again: aws login{profile}",
    # What AWS answers
    "ExpiredToken": "the session has ended; " + _LOGIN + ", or " + _KEYS,
    "ExpiredTokenException": "the session has ended; " + _LOGIN + ", or " + _KEYS,
    "RequestExpired": "the session has ended; " + _LOGIN + ", or " + _KEYS,
    "TokenRefreshRequired": "the session has ended; " + _LOGIN + ", or " + _KEYS,
    "InvalidToken": "AWS_SESSION_TOKEN is wrong; " + _KEYS,
    "ParamValidationError": "this boto3 does not know what it was asked; install a version that pyproject.toml allows",
    "InvalidClientTokenId": "AWS does not know this access key, or it needs AWS_SESSION_TOKEN; " + _KEYS,
    "InvalidAccessKeyId": "AWS does not know this access key, or it needs AWS_SESSION_TOKEN; " + _KEYS,
    "UnrecognizedClientException": "AWS does not know this access key, or it needs AWS_SESSION_TOKEN; " + _KEYS,
    "AuthFailure": "AWS does not know this access key, or it needs AWS_SESSION_TOKEN; " + _KEYS,
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID; " + _KEYS,
    "RequestTimeTooSkewed": "set this machine's clock right",
    "OptInRequired": "the account has not switched on this region or service; AWS_REGION says which region",
    "EndpointConnectionError": "check the network, AWS_REGION (is there such a region?) and AWS_ENDPOINT_URL",
    "ConnectTimeoutError": "check the network, AWS_REGION and AWS_ENDPOINT_URL",
    "ProxyConnectionError": "check HTTPS_PROXY and NO_PROXY",
    "SSLError": "check the certificates; behind a proxy that opens TLS, AWS_CA_BUNDLE must name its certificate",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AccessDeniedByBucketPolicy", "403"}
_ANY = "check AWS_PROFILE, AWS_REGION and your credentials; `aws sts get-caller-identity` must work"


def remedy_of(error: BaseException, environ: Mapping[str, str] = os.environ) -> str:
    """What a person can do about an error of boto3 or of AWS."""
    response: Any = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    if is_denied(error):
        return "ask for this permission, or set AWS_PROFILE to a role that has it"
    names = [code] if code else [kind.__name__ for kind in type(error).__mro__]
    profile = environ.get("AWS_PROFILE")
    found = next((_REMEDIES[name] for name in names if name in _REMEDIES), _ANY)
    return found.format(profile=f" --profile {profile}" if profile else "")


def is_denied(error: BaseException) -> bool:
    """Whether AWS has refused a call because the caller lacks a permission."""
    response: Any = getattr(error, "response", None)
    return isinstance(response, dict) and response.get("Error", {}).get("Code") in _DENIED


def is_of_credentials(error: BaseException) -> bool:
    """Whether AWS has refused a call for what the caller is, not for what the caller may do: a key that has expired."""
    response: Any = getattr(error, "response", None)
    return isinstance(response, dict) and response.get("Error", {}).get("Code") in _REMEDIES


def region_of(environ: Mapping[str, str] = os.environ) -> str | None:
    """The region that an environment names, or None: then the profile's counts.

    AWS_REGION comes first, as in the AWS CLI. boto3 itself reads AWS_DEFAULT_REGION only.
    """
    return environ.get("AWS_REGION", "").strip() or environ.get("AWS_DEFAULT_REGION", "").strip() or None
