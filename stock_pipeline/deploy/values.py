"""What a template's names, numbers and conditions are for given parameters, before CloudFormation has made anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_UNKNOWN = object()


@dataclass(frozen=True)
class Values:
    """A template with the values of its parameters, and the account and region that it is deployed to.

    Parameters that are not given have the template's defaults. What only CloudFormation knows (`Fn::GetAtt`, a `Ref` to
    a resource) is None.
    """

    template: Mapping[str, Any]
    given: Mapping[str, str]
    account: str
    region: str

    def parameters(self) -> dict[str, str]:
        """The value of each parameter of the template, as text."""
        return {
            name: str(self.given.get(name, parameter.get("Default", "")))
            for name, parameter in self.template.get("Parameters", {}).items()
        }

    def made(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The logical names and properties of the resources of a type that these parameters ask for."""
        for name, resource in self.template["Resources"].items():
            if resource["Type"] == kind and ("Condition" not in resource or self.holds(resource["Condition"])):
                yield name, resource.get("Properties", {})

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template holds."""
        return bool(self.of(self.template["Conditions"][condition]))

    def of(self, written: Any) -> Any:
        """The value of an expression of the template; None if only CloudFormation knows it."""
        found = self._of(written)
        return None if found is _UNKNOWN else found

    def _of(self, written: Any) -> Any:
        if not isinstance(written, Mapping):
            return written
        (function, inside), *more = written.items()
        evaluate: dict[str, Callable[[Any], Any]] = {
            "Ref": self._named,
            "Condition": self.holds,
            "Fn::Sub": self._substituted,
            "Fn::If": lambda of: self._of(of[1] if self.holds(of[0]) else of[2]),
            "Fn::Equals": lambda of: str(self._of(of[0])) == str(self._of(of[1])),
            "Fn::Not": lambda of: not self._of(of[0]),
            "Fn::And": lambda of: all(map(self._of, of)),
            "Fn::Or": lambda of: any(map(self._of, of)),
        }
        return evaluate[function](inside) if function in evaluate and not more else _UNKNOWN

    def _named(self, name: str) -> Any:
        pseudo = {"AWS::AccountId": self.account, "AWS::Region": self.region}
        return pseudo.get(name, self.parameters().get(name, _UNKNOWN))

    def _substituted(self, written: Any) -> Any:
        text, names = (written, {}) if isinstance(written, str) else written
        values = {
            name: self._of(names[name]) if name in names else self._named(name) for name in _REFERENCE.findall(text)
        }
        if any(value is _UNKNOWN for value in values.values()):
            return _UNKNOWN
        return _REFERENCE.sub(lambda found: str(values[found[1]]), text)


_REFERENCE = re.compile(r"\$\{([A-Za-z0-9:.]+)\}")
