"""Three ways to split the same photographs, to measure what a leak is worth."""

import pandas as pd

from lesions.data import balance, splits

PROTOCOLS = ("oversampled", "image", "lesion")
CLEAN = "clean"


def protocol_rows(metadata: pd.DataFrame, protocol: str, seed: int = 42) -> pd.DataFrame:
    """Split by one protocol, with the same clean rows set aside for all of them.

    The lesion-grouped test rows become the split "clean": no protocol trains on them, nor on
    another photograph of their lesions. All other rows are split anew, 70/15/15.

    Args:
        metadata: Table from `data.read_metadata` with a lesion-grouped column `split`.
        protocol: "lesion" (`splits.split_by_lesion`), "image" (`splits.split_by_image`) or
            "oversampled" (`balance.oversample` first, then every row on its own, so that
            copies of one photograph land on both sides).
        seed: Seed of the split and of the oversampling.

    Returns:
        The rows, index 0 to n-1, with `split` "train", "validation", "test" or "clean". Under
        "oversampled", rows repeat, under the same image_id.

    Raises:
        ValueError: If the protocol is unknown or a class is too small to split again.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"Unknown protocol {protocol!r}; use {', '.join(PROTOCOLS)}.")
    clean = metadata[metadata["split"] == "test"].assign(split=CLEAN)
    rest = metadata[metadata["split"] != "test"]
    splits.check_no_leak(rest, clean)
    if protocol == "lesion":
        rest = splits.split_by_lesion(rest, seed)
    elif protocol == "image":
        rest = splits.split_by_image(rest, seed)
    else:
        repeated = rest.iloc[balance.oversample(rest["label"].to_numpy(), seed)]
        # A name of its own for every row is what makes the split treat copies as strangers.
        names = [f"{image_id} {number}" for number, image_id in enumerate(repeated["image_id"])]
        split = splits.split_by_image(repeated.assign(image_id=names), seed)
        rest = split.assign(image_id=repeated["image_id"].to_numpy())
    rows = pd.concat([rest, clean])
    # One order whatever the draw, so that equal tables train equal networks.
    return rows.sort_values(["image_id", "split"], ignore_index=True)


def shared_lesions(rows: pd.DataFrame) -> dict[str, float]:
    """Measure how much of its own test split the training of `protocol_rows` has seen.

    Returns:
        `training_rows` and `test_rows` (counts); `same_lesion` and `same_image`: shares (0 to
        1) of test rows whose lesion, or very photograph, is among the training rows.
    """
    train, test = (rows[rows["split"] == split] for split in ("train", "test"))
    shared = splits.count_shared_lesions(train, test)
    return {
        "training_rows": len(train),
        "test_rows": len(test),
        "same_lesion": shared["share"],
        "same_image": shared["same_images"] / len(test),
    }
