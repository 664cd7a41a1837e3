"""The study's network in the browser: `make app`, or `streamlit run app.py`.

The screen only; what is said comes from `lesions.answers`. $LESIONS_MODEL names another network.
"""

import io
import os

import altair
import pandas as pd
import qrcode
import streamlit as st

from lesions import classes, explanation, inference
from lesions.serving import answers, report
from lesions.system import hardware
from lesions.system.console import quiet_tensorflow

NOTICE_STYLE = """<style>
.notice {position: fixed; bottom: 0; left: 0; right: 0; z-index: 1000000; padding: 0.45rem 1rem;
  background: #7a1f00; color: white; text-align: center; font-weight: 600}
.stMainBlockContainer {padding-top: 2.5rem; padding-bottom: 5rem; max-width: 72rem}
</style>"""


@st.cache_resource(show_spinner="Reading the network …")
def desk() -> answers.AnswerDesk:
    quiet_tensorflow()
    return answers.AnswerDesk(os.environ.get("LESIONS_MODEL") or inference.BEST_MODEL)


def model_name() -> str:
    details = desk().classifier.details
    return f"{details['architecture']}, {details['image_size']} px"


def phone() -> None:
    st.subheader("On a phone")
    if os.environ.get("LESIONS_CONTAINER"):  # whose own address nobody outside can reach
        st.markdown("In the same network, open the address of the computer that runs this.")
        return
    address = f"http://{hardware.local_address()}:{st.get_option('server.port')}"
    picture = io.BytesIO()
    qrcode.make(address, box_size=6, border=2).save(picture)
    st.image(picture.getvalue(), width=190)
    st.markdown(
        f"In the same network, scan this or open [{address}]({address}). "
        "“Upload” on a phone offers its camera too."
    )


def sidebar() -> None:
    with st.sidebar:
        phone()
        st.subheader("The network")
        st.markdown(f"{model_name()}, trained on HAM10000 (Tschandl et al. 2018, CC BY-NC 4.0).")
        if desk().record and desk().record.headline:
            st.markdown(desk().record.headline)
        if desk().unjudged:
            st.warning(desk().unjudged)
        st.caption("Pictures stay in this computer's memory and are never written to disk.")


def uploads() -> list:
    where = st.segmented_control(
        "Where is the picture?",
        ("Upload", "Camera"),
        default="Upload",
        label_visibility="collapsed",
    )
    if where == "Camera":
        taken = st.camera_input("Take a picture of one lesion, filling the middle of the frame")
        st.caption("Browsers give the camera to this page on this computer or over https only.")
        return [taken] if taken else []
    return st.file_uploader(
        "Dermatoscopic photographs, one lesion in the middle (.jpg or .png, up to 20 MB each)",
        ["jpg", "jpeg", "png"],
        accept_multiple_files=True,
    )


def answered(files: list) -> list[answers.Answer]:
    """Answer what is new; what was removed from the page is forgotten."""
    known = st.session_state.get("answers", {})
    kept = {}
    for file in files:
        if file.file_id not in known:
            with st.spinner(f"Looking at {file.name} …"):
                try:
                    known[file.file_id] = desk().answer(file.getvalue(), file.name)
                except ValueError as error:
                    known[file.file_id] = str(error)
        kept[file.file_id] = known[file.file_id]
    st.session_state["answers"] = kept
    for faulty in (answer for answer in kept.values() if isinstance(answer, str)):
        st.error(faulty)
    return [answer for answer in kept.values() if isinstance(answer, answers.Answer)]


def several(found: list[answers.Answer]) -> answers.Answer:
    """Show the table of all answers and let one be chosen."""
    table = answers.table(found)
    shares = ["malignant", *classes.CODES]
    st.dataframe(table.style.format("{:.1%}", subset=shares), hide_index=True)
    csv = table.to_csv(index=False, float_format="%.6f")
    st.download_button("Download the table (CSV)", csv, "answers.csv", "text/csv")
    numbers = range(len(found))
    names = [f"{number + 1}: {answer.name}" for number, answer in enumerate(found)]
    return found[st.selectbox("Picture", numbers, format_func=names.__getitem__)]


def bars(answer: answers.Answer) -> None:
    table = pd.DataFrame(
        {
            "class": [f"{classes.NAMES[code]} ({code})" for code in classes.CODES],
            "probability": answer.probabilities,
            "colour": [classes.COLOURS[code] for code in classes.CODES],
        }
    )
    chart = altair.Chart(table).encode(
        altair.X("probability", title="Calibrated probability", axis=altair.Axis(format="%")).scale(
            domain=[0, 1.12]
        ),
        altair.Y("class", sort=None, title=None, axis=altair.Axis(labelLimit=320)),
    )
    numbers = chart.mark_text(align="left", dx=4).encode(
        text=altair.Text("probability", format=".1%")
    )
    coloured = chart.mark_bar().encode(altair.Color("colour", scale=None))
    st.altair_chart((coloured + numbers).properties(height=250))


def heat_map(answer: answers.Answer, code: str):
    """Give the heat map, drawn once for each class of a picture."""
    maps = st.session_state.setdefault("maps", {})
    if maps.get("of") is not answer:
        maps.clear()
        maps["of"] = answer
    if code not in maps:
        maps[code] = desk().heat_map(answer, code)
    return maps[code]


def one(answer: answers.Answer) -> None:
    """Show all that is said about one picture."""
    lesion_class = classes.CLASSES[classes.CODES.index(answer.predicted)]
    # The answer comes first, so that on a phone it stands above the picture.
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(f"{lesion_class.name} ({lesion_class.code})")
        st.markdown(lesion_class.description)
        for sentence in answer.warnings:
            st.warning(sentence)
        if answer.probability < answer.probabilities.max():
            st.caption(
                "Another class is more probable, but this one most exceeds its frequency among "
                "such photographs: the rule by which rare classes are not overlooked."
            )
        named, malignant, benign = st.columns(3)
        named.metric("This class", f"{answer.probability:.0%}")
        malignant.metric("Malignant", f"{answer.malignant:.0%}")
        benign.metric("Benign", f"{1 - answer.malignant:.0%}")
        bars(answer)
    with right:
        code = st.selectbox(
            "Show the evidence for",
            classes.CODES,
            classes.CODES.index(answer.predicted),
            format_func=lambda code: f"{classes.NAMES[code]} ({code})",
        )
        opacity = st.slider("Opacity of the heat map", 0, 100, 45, format="%d%%") / 100
        shown = heat_map(answer, code)
        st.image(
            explanation.overlay(answer.picture, shown, opacity),
            caption=f"{answer.name}, centre square; Grad-CAM for {code}: where the network looks, "
            "not whether it is right",
            width="stretch",
        )
    record = desk().record
    sentences = record.sentences(answer.predicted, answer.probability) if record else []
    st.subheader("What that was worth in testing")
    st.markdown("\n".join(f"- {sentence}" for sentence in sentences) or "No test is recorded.")
    page = report.one_page(answer, shown, code, sentences, model_name(), opacity)
    st.download_button("Download the report (PNG)", page, "report.png", "image/png")


def main() -> None:
    st.set_page_config("Skin lesions: what a network says", "🔬", layout="wide")
    st.html(f"{NOTICE_STYLE}<div class='notice'>{classes.NOTICE}</div>")
    st.header("What a network says to a picture of a skin lesion")
    st.markdown(
        "It names one of seven diagnoses, even for a picture of a cup. A benign answer is no "
        "reason to wait: show a lesion that worries you to a doctor."
    )
    try:
        sidebar()
    except ValueError as error:
        st.error(str(error))
        st.stop()
    found = answered(uploads())
    if found:
        one(several(found) if len(found) > 1 else found[0])


main()
