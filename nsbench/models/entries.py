"""Which weights of a checkpoint file count: the averaged ones, by all spellings of the field."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nsbench.util.errors import NsbenchError
from nsbench.util.progress import say

State = dict[str, torch.Tensor]

PLAIN = ("state_dict", "model_state_dict", "model")
"""Last words of entries that hold the model itself, the most usual first."""

# Words in the names of averaged weights: exponential moving averages, stochastic weight averaging.
_AVERAGED = {"ema", "emas", "swa", "averaged", "average", "averaging", "avg", "shadow", "polyak"}
# Words that say the opposite beside one of them: `model_non_ema`, the `backup` of an EMA class.
_NOT_AVERAGED = {"non", "no", "not", "without", "raw", "backup", "original", "collected", "current"}
# Entries whose tensors are the memory of a training and no model.
_TRAINING = {"optimizer", "optimizers", "optim", "opt", "scheduler", "schedulers", "scaler", "rng"}
# Numbers that torch, mmengine, ema-pytorch and latent diffusion keep beside averaged weights.
_COUNTERS = ("n_averaged", "steps", "step", "initted", "num_updates", "decay")
# Tensors of a state dict that are no parameters, which averages of parameters alone leave out.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class _Entry:
    """Weights in a file. name: the keys that lead there, joined by dots, empty for the file itself.

    tensors: by name, or in the order of the model's parameters.
    """

    name: str
    tensors: State | list[torch.Tensor]

    @property
    def averaged(self) -> bool:
        """Whether its name, or the counter in torch's AveragedModel, says that it is an average."""
        words = _words(self.name)
        if words & _NOT_AVERAGED:
            return False
        counted = isinstance(self.tensors, dict) and "n_averaged" in self.tensors
        return bool(words & _AVERAGED) or counted

    def state(self, raw: State | None) -> State | None:
        """The tensors by their names in the bare model, None if nothing tells the names.

        raw: the weights whose names those without any are given, in their order.
        """
        if isinstance(self.tensors, dict):
            return _by_short_name(_bare(self.tensors), raw or {})
        return _by_order(self.tensors, raw)


def choose(content: Any, path: Path, wanted: str | None = None) -> tuple[State, str | None]:
    """The weights that count in what a checkpoint file holds, by name, and the entry they were in.

    wanted: the entry to take; without it averaged weights are taken before raw ones, and what was
    left is said. Names are without the prefixes of wrappers. The entry is None for a file that is
    one state dict. Raises NsbenchError where there are no weights, no such entry, or no way to tell
    which of several count.
    """
    entries = _entries(content)
    if not entries:
        inside = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else ""
        raise NsbenchError(
            f"{path} holds no state dict but {inside or type(content).__name__}: save the model's "
            "state_dict() alone"
        )
    entry = _wanted(entries, wanted, path) if wanted is not None else _preferred(entries, path)
    state, added = _named(entry, entries, path)
    if len(entries) > 1:
        kind = "averaged weights " if entry.averaged else "weights "
        others = _listed([other for other in entries if other is not entry])
        say(f"{path}: the {kind}in {entry.name} are read{added}, not {others}; --entry chooses")
    return state, entry.name or None


def _entries(content: Any, name: str = "") -> list[_Entry]:
    """Every state dict in nested dicts and lists, and every list of averaged tensors."""
    if _words(name) & _TRAINING:
        return []
    if isinstance(content, list | tuple):
        if content and all(isinstance(value, torch.Tensor) for value in content):
            listed = _Entry(name, list(content))
            return [listed] if listed.averaged else []
        content = {str(index): value for index, value in enumerate(content)}
    if not isinstance(content, Mapping):
        return []
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, torch.Tensor)}
    # The state of an optimizer has tensors too, but none that is called a weight.
    found = _split(tensors, name) if any(key.endswith("weight") for key in tensors) else []
    for key, value in named.items():
        found += _entries(value, f"{name}.{key}" if name else key)
    return found


def _split(tensors: State, name: str) -> list[_Entry]:
    """A state dict as one entry, or as several if a module kept its average beside the model."""
    groups: dict[str, State] = {}
    for key, value in tensors.items():
        first, dot, rest = key.partition(".")
        if not dot and key.startswith("ema_"):  # buffers of mmcv, which cannot have dots
            first, dot, rest = "ema", ".", key.removeprefix("ema_")
        apart = first if dot and _words(first) & _AVERAGED else ""
        groups.setdefault(apart, {})[rest if apart else key] = value
    groups = {k: g for k, g in groups.items() if any(key.endswith("weight") for key in g)}
    if list(groups) == [""]:
        return [_Entry(name, tensors)]
    if "" in groups and not name:  # a name for --entry, which the model itself has none of
        firsts = {key.partition(".")[0] for key in groups[""]}
        groups[firsts.pop() if len(firsts) == 1 else "rest"] = groups.pop("")
    return [_Entry(".".join(filter(None, (name, key))), state) for key, state in groups.items()]


def _wanted(entries: Sequence[_Entry], name: str, path: Path) -> _Entry:
    for entry in entries:
        if entry.name == name:
            return entry
        if isinstance(entry.tensors, dict):
            whole = f"{entry.name}." if entry.name else ""
            parts = by_first_name(_bare(entry.tensors))
            part = next((parts[first] for first in parts if whole + first == name), None)
            if part:
                return _Entry(name, part)
    if not entries[0].name and len(entries) == 1:
        raise NsbenchError(f"{path} is one state dict without entries: leave out --entry {name}")
    raise NsbenchError(
        f"{path} has no weights in an entry '{name}': --entry can be {_listed(entries)}"
    )


def _preferred(entries: Sequence[_Entry], path: Path) -> _Entry:
    """The averaged weights, else the model's, else the only ones."""
    # As in timm: averaged weights are what those who keep them report.
    averaged = [entry for entry in entries if entry.averaged]
    if len(averaged) == 1:
        return averaged[0]
    chosen = None if averaged else _plain(entries)
    if chosen is None:
        which = "averaged weights" if averaged else "weights"
        raise NsbenchError(
            f"{path} holds several {which}, {_listed(averaged or entries)}: choose by --entry NAME"
        )
    return chosen


def _plain(entries: Sequence[_Entry]) -> _Entry | None:
    """The model's own weights among entries, None where that cannot be told."""
    raw = [entry for entry in entries if not entry.averaged]
    if len(raw) == 1:
        return raw[0]
    for word in PLAIN:
        named = [entry for entry in raw if entry.name.rpartition(".")[2] == word]
        if len(named) == 1:
            return named[0]
    return next((entry for entry in raw if not entry.name), None)


def _named(entry: _Entry, entries: Sequence[_Entry], path: Path) -> tuple[State, str]:
    """The entry's tensors by name, with what an average of parameters alone lacks, and a clause."""
    base = _plain(entries) if entry.averaged else None
    raw = base.state(None) if base else None
    state = entry.state(raw)
    if state is None:
        raise NsbenchError(
            f"{path} holds averaged weights in {entry.name} that have no names, and none that they "
            "can be named after: store them by name, or choose other weights by --entry NAME"
        )
    lacking = raw.keys() - state.keys() if raw else set()
    if base is None or raw is None or not lacking or not state.keys() < raw.keys():
        return state, ""
    if not all(key.endswith(_BUFFERS) for key in lacking):
        return state, ""  # which does not fit the architecture, as the error will say
    return raw | state, f" with the running statistics in {base.name or 'the rest'}"


def by_first_name(state: State) -> dict[str, State]:
    """The tensors whose names begin alike, by what they begin with and without it."""
    parts: dict[str, State] = {}
    for key, value in state.items():
        first, _, rest = key.partition(".")
        if rest:
            parts.setdefault(first, {})[rest] = value
    return parts


def _by_order(tensors: list[torch.Tensor], raw: State | None) -> State | None:
    """Tensors named in the order of the raw parameters, as torch_ema and diffusers store them."""
    everything = list(raw or {})
    for names in ([key for key in everything if not key.endswith(_BUFFERS)], everything):
        if raw and [raw[key].shape for key in names] == [tensor.shape for tensor in tensors]:
            return dict(zip(names, tensors, strict=True))
    return None


def _by_short_name(state: State, raw: State) -> State:
    """The state with the names of the raw weights, where its own are those without dots."""
    for dot in ("", "_"):  # latent diffusion, mmcv
        names = {key.replace(".", dot): key for key in raw}
        if len(names) == len(raw) and state.keys() <= names.keys():
            return {names[key]: value for key, value in state.items()}
    return state


def _bare(tensors: State) -> State:
    """Without the names that wrappers put before all, and without the counters beside them."""
    state = {key: value for key, value in tensors.items() if key not in _COUNTERS}
    # One name before all others is that of what the model was kept in: `module`, `_orig_mod`,
    # `model`, `net`, `backbone` and so on. No classifier of timm's has all of it in one part.
    while len({key.partition(".")[0] for key in state}) == 1 and all("." in key for key in state):
        state = {key.partition(".")[2]: value for key, value in state.items()}
    # DistributedDataParallel and torch.compile may also wrap a part of a model.
    short = {re.sub(r"^((module|_orig_mod)\.)+", "", key): value for key, value in state.items()}
    return short if len(short) == len(state) else state  # two tensors must not become one


def _words(name: str) -> set[str]:
    """The words of a name in any case: `EMACallback.state_dict` has ema, callback, state, dict."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def _listed(entries: Sequence[_Entry]) -> str:
    names = [entry.name or "those of the file itself" for entry in entries]
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
