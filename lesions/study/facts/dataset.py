"""Facts of the data set: they need HAM10000's table, with columns `split` and `label`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lesions import classes, data, evaluation
from lesions.data import balance, images, leaky_splits
from lesions.evaluation import Interval, score
from lesions.study import leakage, recipes
from lesions.study.facts.common import PROFILE


def notebook_01(metadata: pd.DataFrame) -> dict:
    """Return the facts of notebook 01: the data set."""
    counts = metadata["dx"].value_counts()
    malignant = metadata["dx"].isin(classes.MALIGNANT)
    per_lesion = metadata["lesion_id"].value_counts()
    sites = pd.crosstab(metadata["localization"], metadata["dx"], normalize="columns")
    known = metadata[metadata["sex"] != "unknown"]
    men = known["sex"].eq("male").groupby(known["dx"]).mean()
    ages = metadata.groupby("dx")["age"].median()
    rarest = (metadata.loc[metadata["split"] == "test", "dx"] == "df").sum()
    return {
        "photographs": len(metadata),
        "lesions": len(per_lesion),
        "commonest_share": counts["nv"] / len(metadata),
        "rarest_share": counts["df"] / len(metadata),
        "imbalance": counts["nv"] / counts["df"],
        "malignant": malignant.sum(),
        "chance": 1 / len(classes.CODES),
        **{f"age_{code}": ages[code] for code in ("nv", "bcc")},
        "age_zero": (metadata["age"] == 0).sum(),
        "age_missing": metadata["age"].isna().sum(),
        "site_missing": (metadata["localization"] == "unknown").sum(),
        "men": known["sex"].eq("male").mean(),
        **{f"men_{code}": men[code] for code in ("vasc", "akiec")},
        **{f"site_{code}": sites[code].max() for code in classes.CODES},
        "benign_histo": metadata.loc[~malignant, "dx_type"].eq("histo").mean(),
        "follow_up": (metadata["dx_type"] == "follow_up").sum(),
        "confocal": (metadata["dx_type"] == "confocal").sum(),
        "repeated_lesions": (per_lesion > 1).sum(),
        "most_photographs": per_lesion.max(),
        "siblings_share": per_lesion[per_lesion > 1].sum() / len(metadata),
        **_leaked(metadata),
        "test_df": rarest,
        "test_step": 100 / rarest,
        "test_step_balanced": 100 / rarest / len(classes.CODES),
        **_covered(metadata),
    }


def _covered(metadata: pd.DataFrame) -> dict:
    """Return how much lesions cover, and how many cover the middle, of notebook 01's masks."""
    train = metadata[metadata["split"] == "train"].reset_index(drop=True)
    some = train[train["mask_path"].notna()].sample(frac=1, random_state=7).groupby("dx").head(30)
    if some.empty:
        return {}
    masks = [images.read_mask(path, 64) for path in some["mask_path"]]
    found = pd.DataFrame(
        {
            "share": [mask.mean() for mask in masks],
            "middle": [mask[28:36, 28:36].mean() > 0.5 for mask in masks],
        }
    ).groupby(some["dx"].to_numpy())
    share, middle = found["share"].median(), found["middle"].mean()
    lowest = middle.idxmin()
    return {
        "masks": found.size().max(),
        "smallest": share.min(),
        "smallest_class": f"`{share.idxmin()}`",
        "largest": share.max(),
        "largest_class": f"`{share.idxmax()}`",
        "middle_lowest": middle[lowest],
        "middle_lowest_class": f"`{lowest}`",
        "middle_others": middle.drop(lowest).min(),
    }


def _leaked(metadata: pd.DataFrame) -> dict[str, float]:
    """Return which share of the test photographs a split by image leaks, of all and melanomas."""
    rows = data.split_by_image(metadata)
    train, test = (rows[rows["split"] == split] for split in ("train", "test"))
    seen = test["lesion_id"].isin(train["lesion_id"])
    return {"leaked_share": seen.mean(), "leaked_mel": seen[test["dx"] == "mel"].mean()}


def notebook_02(metadata: pd.DataFrame) -> dict:
    """Return the facts of notebook 02 that are about the training split."""
    train = metadata[metadata["split"] == "train"]
    validation = metadata.loc[metadata["split"] == "validation", "dx"]
    labels = train["label"].to_numpy()
    counts = pd.Series(np.bincount(labels, minlength=len(classes.CODES)), classes.CODES)
    weights = {name: balance.class_weights(labels, name) for name in balance.WEIGHTINGS}
    weighting = recipes.balance_experiments(PROFILE)["all"].class_weighting
    repeated = np.bincount(labels[balance.oversample(labels)], minlength=len(counts))
    claims = pd.Series(repeated * weights[weighting], classes.CODES)
    return {
        "train_nv": counts["nv"],
        "train_df": counts["df"],
        "train_ratio": counts["nv"] / counts["df"],
        "validation_nv": (validation == "nv").mean(),
        **{f"ratio_{name}": one.max() / one.min() for name, one in weights.items()},
        "loss_nv": counts["nv"] / counts.sum(),
        "loss_all_nv": claims["nv"] / claims.sum(),
        "loss_all_df": claims["df"] / claims.sum(),
    }


def notebook_03(metadata: pd.DataFrame) -> dict:
    """Return the facts of notebook 03 that are about the training split."""
    train = metadata[metadata["split"] == "train"]
    batch_size = recipes.config("cnn", PROFILE).batch_size
    return {
        "train_nv": (train["dx"] == "nv").mean(),
        "steps": len(train) // batch_size,
        "batch_size": batch_size,
        "rows": len(balance.oversample(train["label"].to_numpy())),
    }


def notebook_07(metadata: pd.DataFrame) -> dict:
    """Return the facts of notebook 07 that are about its three splits."""
    found = {}
    rows = {name: leaky_splits.protocol_rows(metadata, name) for name in leaky_splits.PROTOCOLS}
    for protocol, split in rows.items():
        shared = leaky_splits.shared_lesions(split)
        found[f"lesion_{protocol}"] = shared["same_lesion"]
        found[f"image_{protocol}"] = shared["same_image"]
    clean = metadata[metadata["split"] == "test"]  # set aside by every protocol
    found["moles"] = (clean["dx"] == "nv").mean()
    found["lesion_before"] = _leaked(metadata)["leaked_share"]
    found |= {"clean": len(clean), "clean_lesions": clean["lesion_id"].nunique()}
    return found | _of_known_lesions(rows["image"])


def _of_known_lesions(rows: pd.DataFrame) -> dict:
    """Return the scores of the split by image on lesions that are in training, and on others."""
    own, _ = leakage.sides("image")
    known = own["lesion_id"].isin(rows.loc[rows["split"] == "train", "lesion_id"])
    sides = {"known": own[known], "unknown": own[~known]}
    found = {name: score(one, "balanced_accuracy") for name, one in sides.items()}
    found |= {f"{name}_images": len(one) for name, one in sides.items()}
    gap = Interval(**evaluation.independent_difference(*sides.values()))
    return found | {"known_gap": gap * 100}
