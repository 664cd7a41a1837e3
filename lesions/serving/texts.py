"""Texts that the app, the report and the page in the browser show alike, kept as data."""

from lesions import classes
from lesions.data import Patient
from lesions.inference import familiarity

ADVICE = "A benign answer is no reason to wait: show a lesion that worries you to a doctor."
TEXTS = {
    "title": "What a network sees in a picture of a skin lesion",
    "introduction": f"It names one of seven diagnoses, even for a picture of a cup. {ADVICE}",
    "advice": ADVICE,
    "notice": classes.NOTICE,
    "credit": "Trained on HAM10000 (Tschandl et al. 2018, CC BY-NC 4.0).",
    "upload": "Dermatoscopic photographs, one lesion in the middle (.jpg or .png, up to 20 MB "
    "each)",
    "privacy": "Pictures stay in this computer's memory and are never written to disk.",
    "patient": "Age, sex and site of the patient (optional)",
    "alone": "From the picture alone.",
    "given": "From the picture, given {patient}.",
    "probability": "Probability at the class frequencies of HAM10000",
    "decision_rule": "Another class is more probable. The decision rule divides each probability "
    "by a power of the class's frequency and takes the largest, so that rare classes are not "
    "overlooked.",
    "heat_map": "Grad-CAM for {code}, yellow hottest: roughly where the evidence lies, not whether "
    "it is right. A blob in the middle points at the lesion about as well.",
    "record": "How such answers did in testing",
    "record_elsewhere": "In other clinics",
    "no_record": "No test of this network is recorded here.",
    "warnings": familiarity.WARNINGS,
}


def basis(patient: Patient) -> str:
    """Describe what an answer was made from."""
    return TEXTS["given"].format(patient=patient.describe()) if patient.is_known else TEXTS["alone"]
