"""Uploads to the Hugging Face hub, or to the server that HF_ENDPOINT names: one commit a repository."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.keys import Key, failure_of, said_by

_REPLACED = ("*.safetensors", "*.safetensors.index.json", "*.parquet")
"""Files of an earlier upload that loaders would read beside the new ones."""


class HubError(Exception):
    """Nothing could be uploaded, or not all; the message is one line that says what to do."""


@dataclass(frozen=True)
class Upload:
    """A folder and the repository whose files it becomes; `kind` is "model" or "dataset"."""

    name: str
    kind: str
    folder: Path


class Hub:
    """The hub, to a person who has logged in."""

    def __init__(self, api: Any, key: Key) -> None:
        self._api, self._key = api, key
        place = urlsplit(api.endpoint)
        self._address = f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"

    @classmethod
    def logged_in(cls, names: Sequence[str]) -> Hub:
        """The hub with the token of $HF_TOKEN or of huggingface_hub's login; asks nothing of it yet.

        HubError where huggingface_hub is not installed, is offline or has no token, or could have no
        repositories of these names.
        """
        try:
            from huggingface_hub import HfApi, get_token, is_offline_mode, set_client_factory
            from huggingface_hub.utils import disable_progress_bars, logging, validate_repo_id
        except ImportError:
            raise HubError("this needs huggingface_hub: pip install 'huggingface_hub>=1.0'") from None
        for name in names:
            try:
                validate_repo_id(name)
            except ValueError:
                name = ""
            if name.count("/") != 1:
                raise HubError(
                    "--to: write it as org/name, of letters, digits, '.', '_' and '-', 85 characters at most"
                )
        if is_offline_mode():
            raise HubError("HF_HUB_OFFLINE is set: unset it, so that something can be uploaded")
        token = get_token()
        if not token:
            raise HubError("there is no login for the hub: set HF_TOKEN, or type `hf auth login`")
        logging.set_verbosity_error()
        if not sys.stderr.isatty():
            disable_progress_bars()
        set_client_factory(_client)
        return cls(HfApi(token=token, library_name="rzero"), Key(token))

    def upload(self, uploads: Sequence[Upload], message: str, public: bool) -> Iterator[str]:
        """Make the repositories that do not exist, then fill each in one commit; a line as each is done.

        A new one is private unless `public`. HubError where that cannot be: a repository whose line has not
        come is as it was, or new and empty.
        """
        found = []
        for each in uploads:
            with self._explained(each.name):
                self._api.create_repo(each.name, repo_type=each.kind, private=not public, exist_ok=True)
                found.append(self._api.repo_info(each.name, repo_type=each.kind))
            if not found[-1].private and not public:
                raise HubError(f"{each.name} exists and is public: add --public, or choose another name")
        for each, before in zip(uploads, found, strict=True):
            with self._explained(each.name):
                self._api.create_commit(
                    each.name,
                    _operations(each.folder, [file.rfilename for file in before.siblings or ()]),
                    commit_message=message,
                    repo_type=each.kind,
                    parent_commit=before.sha,
                )
            where = f"{self._address}/{'datasets/' if each.kind == 'dataset' else ''}{each.name}"
            files = len(list(each.folder.iterdir()))
            yield f"{where}: {files} files, {'private' if before.private else 'public'}"

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Whatever fails within, as a HubError about the repository of this name."""
        import httpx
        from huggingface_hub.errors import HfHubHTTPError

        try:
            yield
        # What reads and sends large files wraps what went wrong in a RuntimeError.
        except (httpx.HTTPError, OSError, RuntimeError, ValueError, KeyError) as error:
            causes = list(_causes(error))
            refused = next((each for each in causes if isinstance(each, HfHubHTTPError)), None)
            if refused is not None:
                said = self._refusal(name, refused.response.status_code, refused.server_message)
                raise HubError(said) from None
            unheard = next((each for each in causes if isinstance(each, httpx.HTTPError)), None)
            if unheard is not None:
                why = failure_of(unheard)
                raise HubError(f"{name}: no answer from {self._address} ({why}): try again") from None
            said = said_by(str(causes[-1]), self._key)
            raise HubError(f"{name} was not uploaded: {said or type(causes[-1]).__name__}") from None

    def _refusal(self, name: str, status: int, server_message: str | None) -> str:
        said = said_by(server_message or "", self._key)
        answer = f"{name}: {self._address} answered {status}{f' ({said})' if said else ''}: try again later"
        no_right = f"{name}: this login has no right to write there: use a token with write access to it"
        changed = f"{name} was changed by somebody meanwhile: push again"
        unknown = f"{self._address} does not accept the token: set another HF_TOKEN, or type `hf auth login`"
        return {401: unknown, 403: no_right, 404: no_right, 409: changed, 412: changed}.get(status, answer)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from, to the last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _client() -> Any:
    """A client whose requests end: huggingface_hub's own wait for ever."""
    import httpx

    return httpx.Client(follow_redirects=True, timeout=httpx.Timeout(300.0, connect=30.0))


def _operations(folder: Path, before: Sequence[str]) -> list[Any]:
    """To add all files of the folder, and to remove those before it that loaders would read beside them."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    files = {path.name: path for path in sorted(folder.iterdir())}
    left = [
        name
        for name in before
        if "/" not in name and name not in files and any(fnmatch(name, pattern) for pattern in _REPLACED)
    ]
    added = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path)) for name, path in files.items()]
    return [*added, *(CommitOperationDelete(path_in_repo=name) for name in left)]
