"""Which of some names a wrong one was meant to be: by what people mistake, not by letters alone."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial

SYNONYMS = {
    "learningrate": "lr", "learning": "lr", "baselr": "lr", "wd": "weight_decay",
    "bs": "batch_size", "batch": "batch_size", "model": "arch",
    "architecture": "arch", "backbone": "arch",
    "opt": "optimizer", "solver": "optimizer", "sched": "schedule", "lrscheduler": "schedule",
    "scheduler": "schedule", "lrschedule": "schedule", "resolution": "image_size",
    "imgsize": "image_size", "inputsize": "image_size", "size": "image_size",
    "numepochs": "epochs", "maxepochs": "epochs", "numsteps": "steps", "maxsteps": "steps",
    "warmupsteps": "warmup", "smoothing": "label_smoothing", "ema": "ema_decay",
    "amp": "precision", "dtype": "precision", "fp16": "float16", "half": "float16",
    "bf16": "bfloat16", "fp32": "float32", "full": "float32", "droprate": "dropout",
    "drop": "dropout", "droppathrate": "drop_path", "stochasticdepth": "drop_path",
    "numworkers": "workers", "gradaccum": "accumulate", "accumsteps": "accumulate",
    "gradientaccumulationsteps": "accumulate", "clipgrad": "clip_norm", "gradclip": "clip_norm",
    "threshold": "min_confidence", "confidence": "min_confidence", "mu": "unlabeled_ratio",
    "hflip": "flip", "aa": "randaugment", "autoaugment": "randaugment", "reprob": "random_erasing",
    "syncbn": "sync_batch_norm", "checkpointing": "checkpoint_activations",
    "gradcheckpointing": "checkpoint_activations", "randomseed": "seed", "traindir": "labeled",
    "path": "source", "dataset": "source", "root": "source", "eps": "epsilons",
    "epsilon": "epsilons", "type": "kind", "imagenet": "imagenet-1k",
}  # fmt: skip
"""What timm, torchvision, Lightning, Transformers and lm-eval call a key or a value, without
separators, and what it is called here."""

Likeness = Callable[[str, str], float | None]


def most_alike(name: str, names: Iterable[str]) -> str | None:
    """The name that was most probably meant, None where none is near.

    names: the most usual ones first, which goes where several are as near. What is the same but for
    case, separators, or letters that look alike (o and 0, l and 1) is nearest; then a synonym,
    a beginning, an abbreviation of each word (`vit_b_16`), and at last a slip of the fingers.
    """
    valid = list(dict.fromkeys(names))
    plain = SYNONYMS.get(_plain(name))
    for alike in (
        _same,
        _begun,
        # Before abbreviations: imagenet-d is nearer to imagenet-a than to imagenet-3dcc.
        partial(_mistyped, limit=1),
        _abbreviated,
        partial(_mistyped, limit=max(1, round(len(_folded(name)) / 4))),
    ):
        found = _best(name, valid, alike)
        if found is None and alike is _same and plain in valid:
            return plain
        if found is not None:
            return found
    # difflib's own cutoff of 0.6 finds two words of which one was left out, and not another word.
    return next(iter(difflib.get_close_matches(name, valid, n=1)), None)


def _best(name: str, valid: Sequence[str], alike: Likeness) -> str | None:
    """The first of the names that are the least away."""
    measured = [(away, number) for number, one in enumerate(valid)
                if (away := alike(name, one)) is not None]  # fmt: skip
    return valid[min(measured)[1]] if measured else None


def _plain(name: str) -> str:
    """Without case and separators."""
    return re.sub(r"[\W_]+", "", name.lower())


def _folded(name: str) -> str:
    """The same, with one letter for those that look alike."""
    return _plain(name).translate(str.maketrans("oli", "011"))


def _same(name: str, one: str) -> float | None:
    if _folded(name) != _folded(one):
        return None
    return 0 if _plain(name) == _plain(one) else 1


def _begun(name: str, one: str) -> float | None:
    # A single letter begins too many names to mean any of them.
    if len(name) < 2 or not _folded(one).startswith(_folded(name)):
        return None
    return 0 if len(one) - len(name) == 1 else 1


def _abbreviated(name: str, one: str) -> float | None:
    """Whether the words of a name begin words of the other, in order and from the first one on."""
    words, others = (re.findall(r"[a-z]+|\d+", text.lower()) for text in (name, one))
    if len(words) < 2 or not others or not _begins(words[0], others[0]):
        return None
    rest = iter(others)
    return 0 if all(any(_begins(word, other) for other in rest) for word in words) else None


def _begins(word: str, other: str) -> bool:
    # 5 is no short form of 50.
    return word == other if word.isdigit() else other.startswith(word)


def _mistyped(name: str, one: str, *, limit: int) -> float | None:
    """Letters that are missing, too many, wrong, or swapped; less where the beginning is right."""
    a, b = _folded(name), _folded(one)
    if len(a) < 3 or abs(len(a) - len(b)) > limit:
        return None
    away = _edits(a, b)
    if away > limit:
        return None
    shorter = min(len(a), len(b))
    right = next((n for n in range(shorter) if a[n] != b[n]), shorter)
    return away - right / (len(a) + 1)


def _edits(a: str, b: str) -> int:
    """The restricted Damerau-Levenshtein distance (optimal string alignment)."""
    before, row = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above, row = row, [i]
        for j, y in enumerate(b, start=1):
            best = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before = above
    return row[-1]
