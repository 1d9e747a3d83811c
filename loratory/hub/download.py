"""Find a model: a folder or file on this machine, or a repository of the Hugging Face Hub, fetched once."""

import difflib
import glob
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loratory.errors import UserError
from loratory.files import DiskFull, bytes_free, is_disk_full
from loratory.hub.selection import MODEL_INDEX, WEIGHTS_SUFFIX, select_files

_PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface|hf)\.co/([^/?#@]+/[^/?#@]+)(?:/(?:blob|resolve)/[^/]+/([^?#@]+))?"
)
"""The address of a repository, or of a file in it, as a browser shows it."""
_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*")
_FILE_SUFFIXES = frozenset({".safetensors", ".ckpt", ".bin", ".pt", ".pth", ".gguf", ".onnx"})
# How errors of the libraries that carry the bytes are told from faults of our own.
_TRANSPORT_LIBRARIES = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"})
_MOST_SIBLINGS = 10_000
_TOKENS_PAGE = "https://huggingface.co/settings/tokens"


def resolve_model(
    path_or_id: str,
    *,
    revision: str | None = None,
    variant: str | None = None,
    allow_patterns: Sequence[str] | None = None,
    token: str | None = None,
) -> Path:
    """The folder or file of a model, downloaded to the Hub's cache if it is not on this machine.

    `path_or_id` is a path, a repository (`owner/name`), or one weight file in a repository
    (`owner/name/file.safetensors`). Of a repository the files that a loader needs are fetched: configs, tokenizers
    and safetensors, of `variant` (such as "fp16") where there is one; `allow_patterns` fetches what matches these
    patterns instead. `token` is HF_TOKEN if not given. HF_HUB_OFFLINE=1 takes what is in the cache.

    Raises UserError with one sentence for what can go wrong, DiskFull when there is no room.
    """
    try:
        path = Path(path_or_id).expanduser()
        exists = bool(path_or_id.strip()) and path.exists()
    except (OSError, RuntimeError) as error:
        raise UserError(f"The model path {path_or_id!r} cannot be followed ({error}); correct it.") from error
    if exists:
        return path
    repository, file = split_id(path_or_id)
    if repository is None:
        raise no_model(path_or_id, path)
    with _explained(repository, revision, path):
        if file is not None:
            return _fetch_file(repository, file, revision, token)
        if allow_patterns is not None:
            return _fetch(repository, list(allow_patterns), revision, token)
        return _fetch_model(repository, revision, variant, token)


def no_model(path_or_id: str, path: Path) -> UserError:
    """What to say of a text that names neither something of this machine nor a repository."""
    return UserError(
        f"There is no model at {path_or_id!r}: it is neither a file or folder on this machine nor a repository "
        f"of the form owner/name{_did_you_mean(path)}",
        code="missing_model",
    )


def split_id(text: str) -> tuple[str | None, str | None]:
    """The repository and the file in it that a text names; (None, None) when it can only be a path."""
    owner_and_name = "/".join(text.split("/")[:2])
    file = text[len(owner_and_name) + 1 :]
    if _PAGE.match(text) or not _REPOSITORY.fullmatch(owner_and_name) or ".." in text or "--" in owner_and_name:
        return None, None
    if not file:
        is_file_name = Path(text).suffix.lower() in _FILE_SUFFIXES
        return (None, None) if is_file_name or text.endswith("/") else (text, None)
    return (owner_and_name, file) if file.endswith(WEIGHTS_SUFFIX) and "\\" not in file else (None, None)


def _did_you_mean(path: Path) -> str:
    """The end of a sentence: a question when something in the same folder has nearly that name, else a full stop."""
    if page := _PAGE.match(path.as_posix().replace(":/", "://", 1)):
        return f"; did you mean {'/'.join(filter(None, page.groups()))!r}?"
    parent = path.parent
    if not path.name or not parent.is_dir():
        return "."
    with os.scandir(parent) as entries:
        names = [entry.name for _, entry in zip(range(_MOST_SIBLINGS), entries, strict=False)]
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(path.name.casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean {str(parent / folded[near[0]])!r}?" if near else "."


# Fetching


def _fetch(repository: str, patterns: list[str], revision: str | None, token: str | None) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns, token=token))


def _fetch_file(repository: str, file: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repository, file, revision=revision, token=token))


def _fetch_model(repository: str, revision: str | None, variant: str | None, token: str | None) -> Path:
    # The small index comes first: it says which folders belong to the model. With it comes the list of files.
    snapshot = _fetch(repository, [MODEL_INDEX], revision, token)
    commit = snapshot.name
    files = _files_of(repository, commit, snapshot)
    components = _components(snapshot / MODEL_INDEX)
    wanted = select_files(files, components=components, variant=variant)
    weights = [path for path in wanted if path.endswith(WEIGHTS_SUFFIX)]
    if not weights:
        raise UserError(
            f"The repository {repository!r} has no weights in safetensors form; choose another one, "
            "or convert its weights and give the path of the result."
        )
    if components is None and "config.json" not in files and len(weights) > 1:
        shown = ", ".join(f"{repository}/{path}" for path in weights[:3])
        raise UserError(
            f"The repository {repository!r} holds {len(weights)} single weight files and no pipeline; "
            f"name the one you want, for example: {shown}."
        )
    return _fetch(repository, [glob.escape(path) for path in wanted], commit, token)


def _files_of(repository: str, commit: str, snapshot: Path) -> list[str]:
    """All files of a commit, from the list that the download left in the cache, else those that are on the disk."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return [file.path for file in get_cached_repo_tree(repository, revision=commit)]
    except CachedRepoTreeNotFoundError:  # offline, with a snapshot that an older version of the library has left
        return [path.relative_to(snapshot).as_posix() for path in sorted(snapshot.rglob("*")) if path.is_file()]


def _components(model_index: Path) -> list[str] | None:
    """The folders that a diffusers index names; None when there is no index."""
    if not model_index.exists():
        return None
    try:
        index = json.loads(model_index.read_bytes())
        return [name for name, value in index.items() if isinstance(value, list) and value and value[0] is not None]
    except (ValueError, AttributeError) as error:
        raise UserError(f"{model_index} is damaged ({error}); delete it, and it will be downloaded again.") from error


# Explaining


@contextmanager
def _explained(repository: str, revision: str | None, path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        explanation = _explain(error, repository, revision, path)
        if explanation is None:
            raise
        raise explanation from error


def _explain(error: Exception, repository: str, revision: str | None, path: Path) -> UserError | None:
    """What an error of the Hub's library means to a user; None for what is no fault of theirs or of the network."""
    from huggingface_hub import constants, errors

    page = f"https://huggingface.co/{repository}"
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, errors.HfHubHTTPError):
        error = error.__cause__  # "not in the cache" is what the library says after the Hub has refused
    if is_disk_full(error) or "No space left on device" in str(error):
        cache = Path(constants.HF_HUB_CACHE)
        return DiskFull(cache, bytes_free(cache), ", or set HF_HOME to a folder on a larger disk,")
    if isinstance(error, errors.GatedRepoError):
        return _explain_gate(error, repository, page)
    if isinstance(error, errors.DisabledRepoError):
        return UserError(
            f"The model {repository!r} has been disabled on the Hub ({page}); choose another one.", code="missing_model"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UserError(
            f"The model {repository!r} has no revision {revision!r}; see {page}/commits for those it has.",
            code="missing_model",
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return UserError(
            f"The repository {repository!r} has no such file; see {page}/tree/main for those it has.",
            code="missing_model",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return UserError(
            f"There is no model {repository!r} on the Hub, or it is private: check the spelling at {page}, or set "
            f"HF_TOKEN to a token that may read it{_did_you_mean(path)}",
            code="missing_model",
        )
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled) and constants.is_offline_mode():
        return UserError(
            f"The model {repository!r} is not, or not wholly, in the cache {constants.HF_HUB_CACHE}, and "
            f"HF_HUB_OFFLINE forbids a download: unset it{_without_network(repository)}{_did_you_mean(path)}",
            code="missing_model",
        )
    if isinstance(error, errors.HFValidationError):
        return UserError(f"{repository!r} is no valid name of a repository on the Hub ({error}).")
    return _explain_network(error, repository)


def _explain_gate(error: Exception, repository: str, page: str) -> UserError:
    """A gated repository answers 401 where no token came, 403 where the token's account may not read it."""
    from huggingface_hub import errors

    told = isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 403
    if told:
        return UserError(
            f"The model {repository!r} is gated, and the account of your token may not read it: accept its licence at "
            f"{page} with that account (some licences are granted only after a while), or set HF_TOKEN to a token of "
            "an account that has.",
            code="gated_model",
        )
    return UserError(
        f"The model {repository!r} is gated: accept its licence at {page}, make a token with the right to read at "
        f"{_TOKENS_PAGE}, and write HF_TOKEN=… into a file named .env in the folder that you start from (or into the "
        "environment).",
        code="gated_model",
    )


def _without_network(repository: str) -> str:
    """The middle of a sentence: how to bring a repository to a machine that cannot download it."""
    return (
        f"; or run `hf download {repository} --local-dir FOLDER` where there is a network, bring the folder here and "
        "give its path instead"
    )


def _explain_network(error: Exception, repository: str) -> UserError | None:
    from huggingface_hub import errors

    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if status == 403 and "fine-grained" in str(error):
        return UserError(
            f"The token in HF_TOKEN may not read gated models such as {repository!r}: allow it to read public gated "
            f"repositories in its settings ({_TOKENS_PAGE}), or make one of the kind Read.",
            code="gated_model",
        )
    if status in (401, 403):
        return UserError(
            f"The Hub refused access to {repository!r} (HTTP {status}): the token is wrong, has expired or may not "
            f"read it; make a new one at {_TOKENS_PAGE} and set HF_TOKEN to it.",
            code="gated_model",
        )
    if status == 429:
        return UserError(
            f"The Hub asks for a pause (HTTP 429) before {repository!r}; try again in a few minutes.", code="no_network"
        )
    if status is not None and status >= 500:
        return UserError(
            f"The Hub has trouble (HTTP {status}) with {repository!r}; try again later.", code="no_network"
        )
    library = type(error).__module__.partition(".")[0]
    lost = isinstance(error, errors.LocalEntryNotFoundError | errors.XetDownloadError | ConnectionError | TimeoutError)
    if lost or library in _TRANSPORT_LIBRARIES:
        cause = error.__cause__ or error
        return UserError(
            f"The Hub could not be reached for {repository!r} ({type(cause).__name__}); check the network and start "
            f"again, what has been downloaded is kept{_without_network(repository)}.",
            code="no_network",
        )
    return None
