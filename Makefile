.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PEERS  := $(VENV)/peers
CORPUS_PEERS := $(VENV)/corpus-peers
FOREIGN := $(VENV)/foreign-emoji
TOKENIZE_PEERS := $(VENV)/tokenize-peers
TOOLS  := $(VENV)/duplicates-tools
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo corpus tokenizer tokenize train sample check test bench bench-stream bench-corpus bench-duplicates bench-near-duplicates bench-parity bench-report bench-ranks bench-model bench-stability bench-sampling bench-scale bench-serve bench-choice bench-peers bench-tokenize bench-tokenizers bench-train bench-webdataset fuzz interop soak soak-corpus soak-ranks soak-lost soak-serve clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## install, run the whole flow on the real emoji corpus, and leave runs/emoji/report.html
	$(BIN)/tuwen demo

corpus: $(VENV)/.demo  ## sources → judged, deduplicated pairs (runs/emoji/corpus)
	$(BIN)/tuwen corpus emoji

tokenizer: $(VENV)/.demo  ## train the compact VQ and SentencePiece (runs/emoji/tokenizer, about 15 minutes)
	$(BIN)/tuwen tokenizer emoji

tokenize: $(VENV)/.demo  ## corpus → shards of VQ codes (runs/emoji/shards)
	$(BIN)/tuwen tokenize emoji

train: $(VENV)/.demo  ## shards → checkpoint (runs/emoji/train, about 8 minutes)
	$(BIN)/tuwen train emoji

sample: $(VENV)/.demo  ## paint PROMPT, 一只蜜蜂 if not said
	$(BIN)/tuwen sample runs/emoji --prompt "$(or $(PROMPT),一只蜜蜂)"

check: $(VENV)/.dev $(VENV)/typing/tuwen  ## format, lint, types, and the trap in the folder name tokenize/
	test ! -e tokenize/__init__.py
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p tuwen

test: $(VENV)/.dev  ## the whole suite in two processes, in under five minutes on two slow cores
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: bench-report bench-webdataset  ## the measurements that need no peers and take some minutes

bench-webdataset: $(VENV)/.dev  ## our shards in pipelines of webdataset's own: samples/s beside its own tars
	$(BIN)/python tests/bench/bench_webdataset.py

bench-stream: $(VENV)/.dev bench-peers  ## samples/s of ours and of every peer, side by side (SAMPLES=1000000, half an hour)
	$(BIN)/python tests/bench/bench_stream.py run --samples $(or $(SAMPLES),1000000) --peers-python $(PEERS)/bin/python

bench-corpus: $(VENV)/.dev $(CORPUS_PEERS)/.done  ## the corpus stage beside img2dataset and Data-Juicer (PHASE=all, an hour)
	$(BIN)/python tests/bench/bench_corpus.py $(or $(PHASE),all) --peers $(CORPUS_PEERS)

bench-duplicates: $(VENV)/.dev $(CORPUS_PEERS)/.done  ## near codes: the join beside faiss, imagededup and Data-Juicer; the plan for 10⁹ (half an hour)
	$(BIN)/python tests/bench/bench_duplicates.py --peers $(CORPUS_PEERS)/data-juicer/bin/python

bench-near-duplicates: $(VENV)/.dev $(TOOLS)/.done  ## what is found again, what is merged: PHOTOGRAPHS=folder ARTWORK=folder (tests/bench/duplicates/README.md)
	$(BIN)/python tests/bench/duplicates/picture_sets.py --photographs $(PHOTOGRAPHS)
	$(TOOLS)/bin/python tests/bench/duplicates/transforms.py runs/bench-duplicates/photographs runs/bench-duplicates/emoji
	$(BIN)/python tests/bench/duplicates/bench_perceptual.py photographs emoji
	$(BIN)/python tests/bench/duplicates/bench_false_merges.py --artwork $(ARTWORK)

bench-tokenize: $(VENV)/.dev $(TOKENIZE_PEERS)/.done  ## `tuwen tokenize` beside its bare encoder and decoding, scripts of others and cogdata (PHASE=all, an hour)
	$(BIN)/python tests/bench/bench_tokenize.py $(or $(PHASE),all) --peers $(TOKENIZE_PEERS)

bench-tokenizers: $(VENV)/.dev $(FOREIGN)/.done  ## the shipped tokenizers on held-out emoji and on three sets by other hands (runs/emoji needed)
	$(BIN)/python tests/bench/bench_tokenizers.py --foreign $(FOREIGN)/node_modules/@iconify-json

bench-ranks: $(VENV)/.dev  ## a step with the exact sum, a plain all-reduce, a shared optimizer and FSDP2, 2 and 4 ranks (five minutes)
	$(BIN)/python tests/bench/bench_ranks.py

bench-model: $(VENV)/.dev  ## what each choice of the model is worth at equal compute (SHARDS=runs/emoji/shards, VARIANTS="base qk_norm", SEEDS=3)
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_model.py --shards $(or $(SHARDS),runs/emoji/shards) --seeds $(or $(SEEDS),1) $(if $(VARIANTS),--variants $(VARIANTS))

bench-stability: $(VENV)/.dev  ## a deep, narrow model in float16: pre-LN and Sandwich-LN, without and with PB-relax (five minutes)
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_stability.py

bench-sampling: $(VENV)/.dev  ## sampling with the cache of keys and values beside one pass for each code (two minutes)
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_sampling.py

bench-choice: $(VENV)/.dev  ## own-in-5 of RUN=runs/emoji by the way of sampling: greedy, best of 8, guided (half an hour)
	$(BIN)/python tests/bench/bench_choice.py $(or $(RUN),runs/emoji)

bench-peers: $(PEERS)/.done  ## other people's loaders, in an environment of their own

bench-parity: $(VENV)/.dev  ## our codes beside the authors' own code: ORIGINALS=folder with owner+name of each repository
	$(BIN)/python tests/bench/bench_parity.py $(ORIGINALS)

bench-report: $(VENV)/.dev  ## the report of a million pairs: seconds, memory, bytes
	$(BIN)/python tests/bench/bench_report.py

interop: $(VENV)/.dev bench-peers  ## webdataset, datasets, energon, wids and mlcroissant read an export
	$(BIN)/python tests/bench/interop.py --peers-python $(PEERS)/bin/python

fuzz: $(VENV)/.dev  ## every reader is given broken files, ten minutes each (SECONDS=600); by coverage where atheris is installed
	$(BIN)/python tests/bench/fuzz_readers.py --seconds $(or $(SECONDS),600)

soak-corpus: $(VENV)/.dev  ## corpus and export killed with 9 at random moments: the same bytes (KILLS=20)
	$(BIN)/python tests/bench/soak_kills.py --kills $(or $(KILLS),20)

soak-lost: $(VENV)/.dev  ## 1,000 of 10,000 pictures are spoiled after the corpus was made: counted, and no other lost
	$(BIN)/python -m pytest -q tests/bench/soak_lost_pictures.py

soak-serve: $(VENV)/.dev  ## 10,000 requests, good, bad and broken off: memory stays flat (RUN=a tiny run)
	$(BIN)/python tests/bench/soak_serve.py $(or $(RUN),emoji) --requests $(or $(REQUESTS),10000)

bench-scale: $(VENV)/.dev  ## memory and time of deciding by the pairs of a corpus (PAIRS="100000 1000000")
	$(BIN)/python tests/bench/bench_scale.py --pairs $(or $(PAIRS),100000 300000 1000000)

bench-serve: $(VENV)/.dev  ## pictures/s and latency of a server by its clients, beside painting without one (RUN=emoji)
	$(BIN)/python tests/bench/bench_serve.py $(or $(RUN),emoji)

bench-train: $(VENV)/.dev  ## tokens/s and MFU of a training step beside nanoGPT's (NANOGPT=its checkout)
	$(BIN)/python tests/bench/bench_train.py $(if $(NANOGPT),--nanogpt $(NANOGPT))

soak-ranks: $(VENV)/.dev  ## training killed with 9 at random moments, on 1, 2, 4 and 8 ranks in turn: the same bits (KILLS=10)
	$(BIN)/python tests/bench/soak_ranks.py --kills $(or $(KILLS),10)

soak: $(VENV)/.dev  ## ten minutes of reading while shards are spoiled and restored at random (SECONDS=600)
	$(BIN)/python tests/bench/soak_faults.py --seconds $(or $(SECONDS),600)

clean:  ## remove what was generated: .venv and runs
	rm -rf $(VENV) runs build *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("tuwen needs Python 3.11 or newer; say make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# Editable installs: the shipped recipes and weights are read from the checkout itself.
$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[emoji]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[emoji,dev]'
	@touch $@ $(VENV)/.demo

# Their pins are not ours: what they ask for must never move what we run on.
$(PEERS)/.done: $(BIN)/python tests/bench/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/bench/peers/requirements.txt
	@touch $@

$(TOOLS)/.done: $(BIN)/python
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check opencv-python-headless
	@touch $@

# Drawings as JSON, by Google, Microsoft and Mozilla; nothing of them is shipped.
$(TOKENIZE_PEERS)/.done: $(BIN)/python tests/bench/tokenize_peers/requirements.txt
	$(PYTHON) -m venv $(TOKENIZE_PEERS)
	$(TOKENIZE_PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/bench/tokenize_peers/requirements.txt
	@touch $@

$(FOREIGN)/.done: $(BIN)/python
	npm install --silent --no-audit --no-fund --prefix $(FOREIGN) \
	  @iconify-json/noto@1.2.9 @iconify-json/fluent-emoji-flat@1.2.6 @iconify-json/fxemoji@1.2.2
	@touch $@

# One environment each: they cannot agree. --no-deps: their own wishes would bring torchvision and CUDA.
$(CORPUS_PEERS)/.done: $(BIN)/python tests/bench/corpus_peers/requirements-data-juicer.txt tests/bench/corpus_peers/requirements-img2dataset.txt
	for peer in data-juicer img2dataset; do \
	  $(PYTHON) -m venv $(CORPUS_PEERS)/$$peer && $(CORPUS_PEERS)/$$peer/bin/python -m pip install --quiet --disable-pip-version-check \
	    --no-deps -r tests/bench/corpus_peers/requirements-$$peer.txt || exit 1; done
	@touch $@

# The checkout's folder may have any name, and mypy wants a package called tuwen: links make one.
$(VENV)/typing/tuwen: $(BIN)/python
	mkdir -p $@
	for room in __init__.py __main__.py manifests pipeline tokenize train; do ln -sfn ../../../$$room $@/$$room; done
