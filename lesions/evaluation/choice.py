"""Which single network is best, by what each says of rows that it was not trained on."""

from lesions.evaluation.bootstrap import score
from lesions.evaluation.predictions import rows_of


def of_the_split(found: dict) -> dict:
    """Keep entries (name to `comparison.Entry`) that predict the validation split.

    Networks of folds, several together and a network of all rows do not.
    """
    return {
        name: entry
        for name, entry in found.items()
        if "config" in entry.record
        and entry.record.get("networks", 1) == 1
        and not entry.record.get("answers_from")
    }


def of_folds(found: dict, twins: bool = False) -> dict:
    """Keep the entries of networks of all folds: those that others taught, twins, or the others."""
    return {
        name: entry
        for name, entry in found.items()
        if entry.members and name != "ensemble" and bool(entry.record.get("teacher")) == twins
    }


def best_of_the_split(found: dict) -> str | None:
    """Return which entry of `of_the_split` has the lowest log loss on it; None without any."""
    losses = {name: _log_loss(one) for name, one in of_the_split(found).items()}
    return min(losses, key=losses.get, default=None)


def best_single(found: dict) -> str | None:
    """Choose the best network by what it says of rows that it was not trained on.

    Of the networks that predict the validation split, the one with the lowest log loss on it. A
    network of all rows, which a twin answers for on one fold, takes its place if its log loss is
    not above that network's, nor that of the networks of folds, each over the rows that neither
    was trained on. Of several such networks, the one with the lowest log loss over the rows that
    all their twins answer for. The ensemble is no candidate.

    Returns:
        A name of `comparison.entries`; None where there is no single network.
    """
    best = best_of_the_split(found)
    rivals = [*of_folds(found).values(), *([found[best]] if best else [])]
    taught = {
        name: entry
        for name, entry in found.items()
        if entry.record.get("answers_from") and all(_not_worse(entry, one) for one in rivals)
    }
    if not taught:
        return best
    shared = set.intersection(*map(_held_out, taught.values()))
    losses = {name: _log_loss(entry, shared or None) for name, entry in taught.items()}
    return min(losses, key=losses.get)


def _held_out(entry) -> set[str]:
    return set(rows_of(entry.predictions, "validation")["image_id"])


def _log_loss(entry, image_ids=None) -> float:
    answers = entry.answers("validation")
    if image_ids is not None:
        answers = answers[answers["image_id"].isin(image_ids)]
    return score(answers, "log_loss", resamples=0).value


def _not_worse(entry, rival) -> bool:
    shared = _held_out(entry) & _held_out(rival)
    return bool(shared) and _log_loss(entry, shared) <= _log_loss(rival, shared)
