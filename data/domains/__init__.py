"""Domains: kinds of problems. Each file here declares one, under the file's name.

Another package adds its own by an entry point of the group `rzero.domains` that names a `Domain`.
"""

from data.domain import Domain, DomainError
from data.registry import Registry

_REGISTRY = Registry("data.domains", Domain, DomainError)
names = _REGISTRY.names
get = _REGISTRY.get
