"""The study's network in the browser: `make app`, or `streamlit run app.py`.

The screen only; what it shows comes from `lesions.serving`. $LESIONS_MODEL names another network.
"""

import io
import os
import re

import altair
import pandas as pd
import qrcode
import streamlit as st

from lesions.system import environment

try:
    environment.check_keras()
except ValueError as problem:
    st.error(str(problem))
    st.stop()

from lesions import classes, explanation, inference
from lesions.data import SEXES, SITES, UNKNOWN_PATIENT, Patient
from lesions.data.cells import to_cell
from lesions.serving import Assessment, Assessor, report, table
from lesions.serving.texts import TEXTS, basis
from lesions.system import allocator, hardware
from lesions.system.console import quiet_tensorflow
from lesions.system.folders import named_by

NOTICE_STYLE = """<style>
.notice {position: fixed; bottom: 0; left: 0; right: 0; z-index: 1000000; padding: 0.45rem 1rem;
  background: #7a1f00; color: white; text-align: center; font-weight: 600}
.stMainBlockContainer {padding-top: 2.5rem; padding-bottom: 5rem; max-width: 72rem}
</style>"""


@st.cache_resource(show_spinner="Reading the network …")
def assessor() -> Assessor:
    quiet_tensorflow()
    allocator.keep_memory()
    return Assessor(named_by("LESIONS_MODEL") or inference.BEST_MODEL)


def model_name() -> str:
    details = assessor().classifier.details
    return f"{details['architecture']}, {details['image_size']} px"


def phone() -> None:
    st.subheader("On a phone")
    if os.environ.get("LESIONS_CONTAINER"):  # whose own address nobody outside can reach
        st.markdown("On the same network, open the address of the computer that runs this.")
        return
    address = f"http://{hardware.local_address()}:{st.get_option('server.port')}"
    picture = io.BytesIO()
    qrcode.make(address, box_size=6, border=2).save(picture)
    st.image(picture.getvalue(), width=190)
    st.markdown(
        f"On the same network, scan this or open [{address}]({address}). "
        "“Upload” on a phone offers its camera too."
    )


def sidebar() -> None:
    with st.sidebar:
        phone()
        st.subheader("The network")
        st.markdown(f"{model_name()}. {TEXTS['credit']}")
        record = assessor().record
        if record and record.headline:
            st.markdown(record.headline)
        if assessor().familiarity_problem:
            st.warning(assessor().familiarity_problem)
        st.caption(TEXTS["privacy"])


def uploads() -> list:
    where = st.segmented_control(
        "Where is the picture?",
        ("Upload", "Camera"),
        default="Upload",
        label_visibility="collapsed",
    )
    if where == "Camera":
        taken = st.camera_input("Take a picture of one lesion, filling the middle of the frame")
        st.caption("Browsers allow the camera only on this computer itself or over https.")
        return [taken] if taken else []
    return st.file_uploader(
        TEXTS["upload"],
        ["jpg", "jpeg", "png"],
        accept_multiple_files=True,
    )


def given_patient() -> Patient:
    """Ask for age, sex and site, which count for all pictures of the page."""
    if not assessor().classifier.takes_patients:
        return UNKNOWN_PATIENT
    st.markdown(TEXTS["patient"])
    age, sex, site = st.columns(3)
    unknown_first = {"key": lambda one: one != "unknown"}
    return Patient.read(
        age.number_input("Age in years", 0, 120, None, placeholder="unknown"),
        sex.selectbox("Sex", sorted(SEXES, **unknown_first)),
        site.selectbox("Site", [one.replace("_", " ") for one in sorted(SITES, **unknown_first)]),
    )


def assessed(files: list, patient: Patient) -> list[Assessment]:
    """Assess what is new; what was removed from the page is forgotten."""
    # Kept from the first one on, so that a run that is cut short is not repeated from the start.
    known = st.session_state.setdefault("assessments", {})
    kept = {}
    for file in files:
        key = (file.file_id, patient)
        if key not in known:
            with st.spinner(f"Assessing {plain(file.name)} …"):
                try:
                    known[key] = assessor().assess(file.getvalue(), file.name, patient)
                except ValueError as error:
                    known[key] = str(error)
                except ChildProcessError as error:  # it may pass: the next run tries again
                    st.error(plain(str(error)))
                    continue
        kept[key] = known[key]
    st.session_state["assessments"] = kept
    for problem in (one for one in kept.values() if isinstance(one, str)):
        st.error(plain(problem))
    return [one for one in kept.values() if not isinstance(one, str)]


def plain(text: str) -> str:
    """Escape what Streamlit would take for Markdown, such as stars in a file's name."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def choose(found: list[Assessment]) -> Assessment:
    """Show the table of all assessments and let one be chosen."""
    rows = table(found)
    shares = ["malignant", *classes.CODES]
    st.dataframe(rows.style.format("{:.1%}", subset=shares), hide_index=True)
    csv = rows.assign(image=rows["image"].map(to_cell)).to_csv(index=False, float_format="%.6f")
    st.download_button("Download the table (CSV)", csv, "answers.csv", "text/csv")
    numbers = range(len(found))
    names = [f"{number + 1}: {one.picture.name}" for number, one in enumerate(found)]
    return found[st.selectbox("Picture", numbers, format_func=names.__getitem__)]


def bars(assessment: Assessment) -> None:
    rows = pd.DataFrame(
        {
            "class": [f"{classes.NAMES[code]} ({code})" for code in classes.CODES],
            "probability": assessment.probabilities,
            "colour": [classes.COLOURS[code] for code in classes.CODES],
        }
    )
    chart = altair.Chart(rows).encode(
        altair.X("probability", title=TEXTS["probability"], axis=altair.Axis(format="%")).scale(
            domain=[0, 1.12]
        ),
        altair.Y("class", sort=None, title=None, axis=altair.Axis(labelLimit=320)),
    )
    numbers = chart.mark_text(align="left", dx=4).encode(
        text=altair.Text("probability", format=".1%")
    )
    coloured = chart.mark_bar().encode(altair.Color("colour", scale=None))
    st.altair_chart((coloured + numbers).properties(height=250))


def heat_map(assessment: Assessment, code: str):
    """Return the heat map, computed once for each class of a picture."""
    maps = st.session_state.setdefault("maps", {})
    if maps.get("of") is not assessment:
        maps.clear()
        maps["of"] = assessment
    if code not in maps:
        maps[code] = assessor().heat_map(assessment, code)
    return maps[code]


def show(assessment: Assessment) -> None:
    """Show the whole assessment of one picture."""
    lesion_class = classes.BY_CODE[assessment.predicted]
    # The prediction comes first, so that on a phone it stands above the picture.
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(f"{lesion_class.name} ({lesion_class.code})")
        st.markdown(lesion_class.description)
        for sentence in assessment.warnings:
            st.warning(sentence)
        if assessment.probability < assessment.probabilities.max():
            st.caption(TEXTS["decision_rule"])
        predicted, malignant, benign = st.columns(3)
        predicted.metric("This class", f"{assessment.probability:.0%}")
        malignant.metric("Malignant", f"{assessment.malignant:.0%}")
        benign.metric("Benign", f"{1 - assessment.malignant:.0%}")
        st.caption(basis(assessment.picture.patient))
        bars(assessment)
    with right:
        code = st.selectbox(
            "Show the evidence for",
            classes.CODES,
            classes.CODES.index(assessment.predicted),
            format_func=lambda code: f"{classes.NAMES[code]} ({code})",
            key=f"class {id(assessment)}",  # each picture starts with its own class
        )
        opacity = st.slider("Opacity of the heat map", 0, 100, 45, format="%d%%") / 100
        shown = heat_map(assessment, code)
        st.image(
            explanation.overlay(assessment.picture.shown, shown, opacity),
            caption=f"{plain(assessment.picture.name)}, centre square; "
            f"{TEXTS['heat_map'].format(code=code)}",
            width="stretch",
        )
    sentences, elsewhere = assessor().testing(assessment)
    st.subheader(TEXTS["record"])
    st.markdown(bullets(sentences) or TEXTS["no_record"])
    if elsewhere:
        st.markdown(f"**{TEXTS['record_elsewhere']}**\n\n{bullets(elsewhere)}")
    page = report.one_page(assessment, shown, code, sentences, model_name(), opacity)
    st.download_button("Download the report (PNG)", page, "report.png", "image/png")


def bullets(sentences: list[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def main() -> None:
    st.set_page_config(TEXTS["title"], "🔬", layout="wide")
    st.html(f"{NOTICE_STYLE}<div class='notice'>{classes.NOTICE}</div>")
    st.header(TEXTS["title"])
    st.markdown(TEXTS["introduction"])
    try:
        sidebar()
    except ValueError as error:
        st.error(str(error))
        st.stop()
    files = uploads()
    found = assessed(files, given_patient() if files else UNKNOWN_PATIENT)
    if found:
        show(choose(found) if len(found) > 1 else found[0])
    else:
        st.session_state.pop("maps", None)


main()
