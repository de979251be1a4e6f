# `make run` trains both models and compares them with the paper, `make test` runs all checks. Set-up steps are skipped
# if they are already done, and can be interrupted and repeated.

STITCH := target/release/stitch

# Set-up steps depend on each other.
.NOTPARALLEL:
.PHONY: help run test check parity ports bench faults fuzz figures man models build install libtorch data venv outside lint clean

help:
	@echo 'make run    set up, then train both models and compare them with the paper'
	@echo 'make test   set up, then run all checks'
	@echo 'make check  run rustfmt, clippy and the unit tests, and compare a short training of each model with the notebook'
	@echo 'make parity run the notebook and the port on the whole data set, and compare them'
	@echo 'make ports  build the ports to candle and burn, and compare them with Python as docs/ports.md does'
	@echo 'make bench  measure speed and memory against the notebook, PyTorch and candle (about two hours)'
	@echo 'make faults kill runs and make their writes fail, and check the files'
	@echo 'make fuzz   fuzz the readers, one minute each'
	@echo 'make figures update the figures of the documentation'
	@echo 'make man    write the manual pages to $(MAN)'
	@echo 'make models retrain the models in models/'
	@echo 'make build  set up libtorch and build stitch and stitch-engine in target/release'
	@echo 'make install set up libtorch and install stitch with cargo, to run it from any folder'
	@echo 'make data   build, then download Fashion-MNIST'
	@echo 'make lint   check formatting, clippy, documentation'
	@echo 'make clean  remove build outputs (.venv and the data set are kept)'

run: data
	$(STITCH) reproduce --force

test: venv data outside lint
	@# By themselves, the crates need no libtorch; with stitch, they would be linked to it.
	cargo test --release --locked --workspace --exclude stitch
	cargo test --release --locked

# A few minutes after a change; `make test` is the complete check.
check: venv data
	@sh setup/check.sh

# Trains all models with the notebook and the port, traced, and compares every record. The page shows the verdicts.
PARITY_RUNS := runs/parity
parity: venv data
	@for model in mlp lenet5 deepcnn; do \
	    .venv/bin/python -W ignore tests/reference/notebook.py --model $$model --trace \
	        --out $(PARITY_RUNS)/notebook-$$model >/dev/null && \
	    $(STITCH) train $$model --trace --force --out $(PARITY_RUNS)/$$model >/dev/null && \
	    $(STITCH) parity $(PARITY_RUNS)/notebook-$$model $(PARITY_RUNS)/$$model || exit 1; \
	done
	@$(STITCH) report $(PARITY_RUNS)/mlp $(PARITY_RUNS)/lenet5 $(PARITY_RUNS)/deepcnn \
	    --force --output $(PARITY_RUNS)/report.html

# Compiling candle and burn took 17 minutes with one job on a busy machine; the rest takes less than one.
ports: venv data
	.venv/bin/python ports/check.py

# Takes some minutes; as root, it also mounts a small file system. `make test` runs a short part.
faults: data
	cargo test --release --locked --test cli faults:: -- --include-ignored --nocapture --test-threads 1

# Needs a nightly compiler.
fuzz:
	@sh setup/fuzz.sh

# Takes about two hours on two idle cores; PAIRS=1 takes 50 minutes and is less precise.
PAIRS := 5
CANDLE := target/candle
bench: venv data
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement benches/requirements.txt
	cd benches/candle && cargo build --release --locked --target-dir ../../$(CANDLE)
	.venv/bin/python benches/training.py $(STITCH) $(CANDLE)/release/lenet5-candle --pairs $(PAIRS)
	.venv/bin/python benches/chart.py
	.venv/bin/python benches/own_network.py $(STITCH) --pairs $(PAIRS)
	.venv/bin/python benches/evaluation.py $(STITCH) --pairs $(PAIRS)
	.venv/bin/python benches/fast_accuracy.py $(STITCH)
	.venv/bin/python benches/checkpoints.py $(STITCH)
	.venv/bin/python benches/study.py $(STITCH)
	.venv/bin/python benches/parity.py $(STITCH)
	cargo bench --locked --bench parts --bench formats
	.venv/bin/python benches/goals.py

# Updates docs/figures from the two runs of `make run`, and docs/study from its tables.
figures: run
	cp runs/reproduce/accuracy_comparison.svg docs/figures/
	cp runs/reproduce/mlp/confusion_matrix.svg docs/figures/confusion_matrix_mlp.svg
	cp runs/reproduce/lenet5/confusion_matrix.svg docs/figures/confusion_matrix_lenet5.svg
	$(STITCH) study report docs/study/results.csv --output target/study
	cp target/study/accuracies.svg target/study/summary.csv docs/study/
	$(STITCH) study report docs/study/future/results.csv --output target/future
	cp target/future/accuracies.svg target/future/summary.csv target/future/effects.csv docs/study/future/

# `man target/man/stitch.1`
MAN := target/man
man: build
	$(STITCH) man $(MAN)

# Retrains the built-in models of `stitch predict`, and rebuilds stitch with them.
models: data
	@sh setup/models.sh
	@sh setup/build.sh

# With LIBTORCH set, neither Python nor a virtual environment is needed.
libtorch:
	@sh setup/prerequisites.sh
	@test -n "$$LIBTORCH" || sh setup/venv.sh libtorch

build: libtorch
	@sh setup/build.sh

# The installed program finds libtorch where it is now.
install: libtorch
	cargo install --locked --path .

data: build
	@sh setup/data.sh

# The Python environment of the reference that the tests compare with.
venv:
	@sh setup/prerequisites.sh
	@sh setup/venv.sh reference

# A browser and other programs that tests open the results with, where apt-get can install them.
outside:
	@sh setup/outside.sh

lint: venv
	@sh setup/lint.sh

clean:
	cargo clean
