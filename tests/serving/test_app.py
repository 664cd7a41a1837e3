"""The app, by Streamlit's own test: what it shows for good, several and broken pictures."""

import cv2
import numpy as np
import pytest

from lesions import classes
from lesions.inference import familiarity
from lesions.serving.texts import TEXTS
from lesions.system.folders import REPOSITORY

testing = pytest.importorskip(
    "streamlit.testing.v1", reason="streamlit is not installed; see requirements-app.txt"
)
pytest.importorskip("qrcode", reason="qrcode is not installed; see requirements-app.txt")
if not hasattr(testing.AppTest, "file_uploader"):
    pytest.skip("this Streamlit cannot upload files in a test", allow_module_level=True)
SECONDS = 300


@pytest.fixture(scope="module")
def model(tiny_model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESIONS_MODEL", str(tiny_model))
        yield tiny_model


@pytest.fixture
def page(model):
    """The app as it is first shown."""
    page = testing.AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=SECONDS).run()
    assert not page.exception
    return page


@pytest.fixture(scope="module")
def photographs(demo_metadata):
    """The contents of two photographs."""
    contents = []
    for path in demo_metadata["image_path"].iloc[:2]:
        with open(path, "rb") as file:
            contents.append(file.read())
    return contents


def upload(page, **contents):
    """Upload pictures and let the page run."""
    for name, content in contents.items():
        suffix = "png" if content[:4] == b"\x89PNG" else "jpg"
        kind = "image/png" if suffix == "png" else "image/jpeg"
        page.file_uploader[0].upload(f"{name}.{suffix}", content, kind)
    page.run()
    assert not page.exception
    return page


def sentences(elements):
    return " ".join(str(element.value) for element in elements)


def test_the_empty_page_says_what_it_is(page):
    assert page.header[0].value == TEXTS["title"]
    assert TEXTS["introduction"] in sentences(page.markdown)
    assert classes.NOTICE in sentences(page.html)
    assert TEXTS["privacy"] in sentences(page.caption)
    assert "cnn, 64 px" in sentences(page.markdown)


def test_a_photograph_is_assessed(page, photographs):
    upload(page, photo=photographs[0])
    named = page.subheader[0].value
    (lesion_class,) = [one for one in classes.CLASSES if named == f"{one.name} ({one.code})"]
    assert lesion_class.description in sentences(page.markdown)
    shares = {metric.label: int(metric.value.rstrip("%")) for metric in page.metric}
    assert shares["Malignant"] + shares["Benign"] in (99, 100, 101)
    assert TEXTS["no_record"] in sentences(page.markdown)
    assert len(page.download_button) == 1


def test_the_heat_map_is_that_of_the_class_that_is_chosen(page, photographs):
    upload(page, photo=photographs[0])
    chosen = page.main.selectbox[0]
    other = next(code for code in classes.CODES if f"({code})" not in page.subheader[0].value)
    chosen.select_index(classes.CODES.index(other)).run()
    assert not page.exception
    (caption,) = page.main.image[0].captions
    assert TEXTS["heat_map"].format(code=other) in caption
    page.slider[0].set_value(0).run()
    assert not page.exception


def test_each_picture_starts_with_the_map_of_its_own_class(page, photographs):
    upload(page, one=photographs[0], same=photographs[0])
    named = page.main.selectbox[1].value
    other = next(code for code in classes.CODES if code != named)
    page.main.selectbox[1].select_index(classes.CODES.index(other)).run()
    assert TEXTS["heat_map"].format(code=other) in page.main.image[0].captions[0]
    page.main.selectbox[0].select_index(1).run()
    assert page.main.selectbox[1].value == named
    assert TEXTS["heat_map"].format(code=named) in page.main.image[0].captions[0]


def test_a_name_is_no_markdown(page, photographs):
    upload(page, **{"mole *1* of $2": photographs[0], "no *1* of $2": b"text"})
    assert page.main.image[0].captions[0].startswith(r"mole \*1\* of \$2\.jpg, centre")
    assert page.error[0].value.startswith(r"no \*1\* of \$2\.jpg is not an image")


def test_a_removed_picture_is_forgotten(page, photographs):
    upload(page, photo=photographs[0])
    assert len(page.session_state["assessments"]) == 1 and "maps" in page.session_state
    page.file_uploader[0].clear().run()
    assert not page.exception and not page.main.image
    assert page.session_state["assessments"] == {} and "maps" not in page.session_state


def test_what_may_pass_is_tried_again(page, photographs, monkeypatch):
    from lesions import serving

    def fails(*_):
        raise ChildProcessError("no process could be started; try again")

    with monkeypatch.context() as patch:
        patch.setattr(serving.Assessor, "assess", fails)
        upload(page, photo=photographs[0])
        assert "try again" in sentences(page.error).replace("\\", "")
    page.run()
    assert not page.error and len(page.subheader)


def test_several_pictures_give_a_table_and_a_broken_one_a_sentence(page, photographs):
    china = cv2.imencode(".png", familiarity.everyday_pictures()["china"][..., ::-1])[1].tobytes()
    upload(page, photo=photographs[0], text=b"not an image", cup=china)
    assert [error.value.replace("\\", "") for error in page.error] == [
        "text.jpg is not an image or is damaged; use an intact .jpg or .png file."
    ]
    rows = page.dataframe[0].value
    assert rows["image"].tolist() == ["photo.jpg", "cup.png"]
    assert "unlike the dermatoscopic photographs" in rows["warnings"].iloc[1]
    page.main.selectbox[0].select_index(1).run()
    assert not page.exception
    assert "unlike the dermatoscopic photographs" in sentences(page.warning)


def test_age_sex_and_site_change_the_answer_and_are_named(patient_model, photographs, monkeypatch):
    import streamlit

    streamlit.cache_resource.clear()
    monkeypatch.setenv("LESIONS_MODEL", str(patient_model))
    page = testing.AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=SECONDS).run()
    upload(page, photo=photographs[0])
    assert TEXTS["alone"] in sentences(page.caption)
    before = [metric.value for metric in page.metric]
    page.number_input[0].set_value(75)
    page.main.selectbox[0].select("male")
    page.main.selectbox[1].select("upper extremity").run()
    assert not page.exception
    assert "given age 75, male, upper extremity" in sentences(page.caption)
    assert [metric.value for metric in page.metric] != before
    page.number_input[0].set_value(None)
    page.main.selectbox[0].select("unknown")
    page.main.selectbox[1].select("unknown").run()
    assert [metric.value for metric in page.metric] == before
    streamlit.cache_resource.clear()


def test_twenty_megabytes_are_the_limit(page):
    noise = np.random.default_rng(0).bytes(20_100_000)
    upload(page, large=b"\x89PNG" + noise)
    assert "over the limit of 20 MB" in page.error[0].value


def test_a_backend_that_cannot_be_used_is_named(python):
    code = (
        "from streamlit.testing.v1 import AppTest\n"
        "page = AppTest.from_file('app.py', default_timeout=300).run()\n"
        "print(len(page.exception), page.error[0].value)"
    )
    assert (
        python(code, KERAS_BACKEND="nonsense")
        .splitlines()[-1]
        .startswith("0 KERAS_BACKEND names the Keras backend 'nonsense'")
    )


def test_a_network_that_is_missing_is_named(model, monkeypatch):
    import streamlit

    streamlit.cache_resource.clear()
    monkeypatch.setenv("LESIONS_MODEL", "/nowhere/model.h5")
    page = testing.AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=SECONDS).run()
    assert "/nowhere/model.h5" in page.error[0].value and not page.exception
    streamlit.cache_resource.clear()
