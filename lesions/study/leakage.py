"""What leakage adds: the recorded runs of notebook 07's three ways to split, and their table."""

import functools

import pandas as pd

from lesions import evaluation, training
from lesions.data import leaky_splits
from lesions.evaluation import Interval, comparison
from lesions.study import tables
from lesions.system.folders import MODELS

LABELS = {
    "oversampled": "oversampled, then split by image",
    "image": "split by image",
    "lesion": "split by lesion, as everywhere else here",
}


@functools.cache
def run(protocol: str) -> training.Run:
    """Read the recorded run of a protocol of `LABELS`; of several, the one trained last."""
    folders = list(MODELS.glob(f"*-leak-{protocol}-*/config.json"))
    if not folders:
        raise ValueError(f"models/ holds no run of the protocol {protocol!r}; publish one.")
    newest = max(folders, key=lambda path: (comparison.read_record(path)["date"], path))
    return training.read_run(newest.parent)


@functools.cache
def sides(protocol: str, by_rule: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what a protocol's network answers to its own test set and to the common clean set.

    At the class frequencies and by the decision rule, or, without `by_rule`, as the network
    answers, where the most probable class counts.
    """
    found = run(protocol).predictions
    if by_rule:
        found = evaluation.answer(found, run(protocol).metrics)
    return tuple(evaluation.rows_of(found, split) for split in ("test", leaky_splits.CLEAN))


@functools.cache
def score(protocol: str, by_rule: bool = True, metric: str = "balanced_accuracy"):
    """Score both of `sides`: an `Interval` of the own test set, and one of the clean set."""
    return tuple(evaluation.score(one, metric) for one in sides(protocol, by_rule))


@functools.cache
def gap(protocol: str, by_rule: bool = True) -> Interval:
    """Return how far the balanced accuracy of the first of `sides` is above that of the second."""
    return Interval(**evaluation.independent_difference(*sides(protocol, by_rule)))


def steps(protocol: str) -> int:
    """Return the training steps of a protocol's run, to the nearest hundred."""
    record = run(protocol).record
    batches = record["images"]["train"] / record["config"]["batch_size"]
    return int(round(batches * record["epochs_trained"], -2))


def block() -> str:
    """Write the table on leakage for the pages: what each protocol reports, and what holds."""
    rows = []
    for protocol, label in LABELS.items():
        cells = [label, *(f"{one:.3f}" for one in score(protocol))]
        cells += [f"{gap(protocol, by_rule):+.3f}" for by_rule in (True, False)]
        cells += [f"{one.value:.3f}" for one in score(protocol, False, "accuracy")]
        rows.append(cells)
    table = tables.markdown(
        "| protocol | balanced accuracy on its own test set | on unseen lesions | difference "
        "| without correction and rule | accuracy on its own test set | on unseen lesions |",
        rows,
    )
    record, config = run("lesion").record, run("lesion").record["config"]
    losses = [run(protocol).history["loss"].iloc[-1] for protocol in LABELS]
    counted = [steps(protocol) for protocol in LABELS]
    text = (
        f"{comparison.NETWORKS[config['architecture']]} at {config['image_size']} px, initial "
        f"weights {record['initial_weights']}, {min(counted):,} to {max(counted):,} steps without "
        f"augmentation ({run('oversampled').record['epochs_trained']} epochs where oversampled "
        f"first, else {record['epochs_trained']}), to training losses of {min(losses):.3f} to "
        f"{max(losses):.3f}; one view. Unseen: the test split of the other pages, with which no "
        "protocol shares a lesion. The difference, with its 95% interval, holds the leak, the "
        "draw of lesions, and what the correction and the decision rule fit to the protocol's own "
        "validation rows; without these two, the most probable class counts. Accuracy is of the "
        "most probable class. Rows cannot be compared: only the first was trained and tested on "
        f"classes of equal size. One seed ({config['seed']}) and one draw of each split."
    )
    return f"{table}\n\n{text}"
