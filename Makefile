# One environment, two commands: `make study` and `make test`; and `make app` to try the network.
PYTHON ?= python3
PROFILE ?= auto
BIN := .venv/bin
export PROFILE QUICK RETRAIN HAM10000_DIR PRETRAINED_DIR EXTERNAL_DIR
export TF_CPP_MIN_LOG_LEVEL = 3

.DEFAULT_GOAL := help
# Half an environment, left by Ctrl-C, is no environment.
.DELETE_ON_ERROR:
.PHONY: help study test test-fast test-platforms app serve site site-serve lint format evaluate publish clean

help:
	@echo "make study     run every notebook and print the comparison table"
	@echo "make test      run all tests, every notebook on the demo set among them; those of app,"
	@echo "               service and page once \`make app\` or \`make serve\` has installed what they need"
	@echo "make test-fast  the half of them that needs no network, in about a minute"
	@echo "make test-platforms  the model and notebooks on Kaggle's and Colab's versions"
	@echo "make app       show the network in the browser;  make serve  as an HTTP service"
	@echo "make site      write build/site, the page that computes in the reader's browser;"
	@echo "               make site-serve  shows it"
	@echo "make lint      check style;  make format  fix it"
	@echo "make evaluate  remake models/comparison.csv, the pages' tables and the numbers that the"
	@echo "               notebooks quote from the predictions"
	@echo "make publish   copy the last study's notebooks, runs and best model from build/; where the"
	@echo "               best model is another than before, CONTRIBUTING.md says what else it takes"
	@echo "make clean     remove build/ (image stores, runs, executed notebooks)"
	@echo
	@echo "Knobs, before or behind the target:"
	@echo "  HAM10000_DIR=<folder>    real images; without it data/, Kaggle's and kagglehub's"
	@echo "                           folders are looked in, else the synthetic demo set is drawn"
	@echo "  PRETRAINED_DIR=<folder>  ImageNet weights for machines that cannot download them"
	@echo "  EXTERNAL_DIR=<folder>    other clinics' photographs: isic2017/ and ph2/, each with a"
	@echo "                           metadata.csv, for the galleries of notebook 10"
	@echo "  PROFILE=demo|cpu|gpu     drawn 32 to 128 px; real 128 to 192 px; real 224 to 320 px; default: the"
	@echo "                           recorded one, or, to train, what the hardware allows"
	@echo "  QUICK=1                  about 1,500 images and two epochs"
	@echo "  RETRAIN=1                train where a recorded run is at hand"
	@echo "  LESIONS_BUILD=<folder>   where everything made here goes; default build/"
	@echo "  LESIONS_MODEL=<file.h5>  the network of the app; default models/best_model.h5"
	@echo "  PYTHON=<interpreter>     Python 3.11 to 3.13 for .venv; default python3"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: Python 3.11 to 3.13 is needed, $(PYTHON) is another; name one by PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear .venv || { rm -rf .venv; exit 1; }

.venv/study: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

.venv/tests: requirements.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

.venv/app: requirements.txt requirements-app.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements-app.txt
	@touch $@

study: .venv/study
	$(BIN)/python -m lesions.study run

test: .venv/tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# What needs no network: tables, photographs, figures of merit, and the structure of the package.
test-fast: .venv/tests
	$(BIN)/python -m pytest tests/data tests/evaluation tests/system tests/wild tests/test_rooms.py \
	  -m "not slow" --numprocesses 2 --dist loadfile

test-platforms: .venv/tests
	$(BIN)/python tests/platforms/prepare.py
	$(BIN)/python -m pytest tests/platforms/platforms.py --numprocesses 2

app: .venv/app
	$(BIN)/python -m streamlit run app.py

serve: .venv/app
	$(BIN)/python -m lesions serve

site: .venv/app
	cd site && npm install --omit=dev --no-package-lock --no-audit --no-fund --loglevel=error
	$(BIN)/python -m lesions site

# The service worker and the camera need https, or this computer's own address.
site-serve: site
	@echo "http://localhost:8080"
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory "$$($(BIN)/python -c \
	  'from lesions.system import folders; print(folders.build_folder() / "site")')" 8080

lint: .venv/tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: .venv/tests
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

evaluate: .venv/study
	$(BIN)/python -m lesions.study publish table

publish: .venv/study
	$(BIN)/python -m lesions.study publish runs
	$(BIN)/python -m lesions familiarity
	$(BIN)/python -m lesions.study publish notebooks

clean:
	rm -rf build
