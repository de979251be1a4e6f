# Two commands: `make run` for the result, `make test` for every check. Each step of the set-up is
# skipped when it is already done, and may be interrupted and repeated.

STITCH := target/release/stitch

# The steps of the set-up build on each other.
.NOTPARALLEL:
.PHONY: help run test parity bench faults fuzz figures man models build data venv outside lint clean

help:
	@echo 'make run    set up, then train both models and compare them with the paper'
	@echo 'make test   set up, then every check'
	@echo 'make parity run the notebook and the port on the whole data, and compare them'
	@echo 'make bench  measure speed and memory against the notebook, PyTorch and candle (most of an hour)'
	@echo 'make faults kill runs and fail their writes, and look at what is left'
	@echo 'make fuzz   feed damaged files to the readers, a minute each'
	@echo 'make figures draw the figures of README again'
	@echo 'make man    write the manual pages to $(MAN)'
	@echo 'make models train the models in models/ again'
	@echo 'make build  set up libtorch and build $(STITCH)'
	@echo 'make data   build, then get Fashion-MNIST'
	@echo 'make lint   formatting, clippy, documentation'
	@echo 'make clean  remove what make built (.venv and the data set stay)'

run: data
	$(STITCH) reproduce --force

test: venv data outside lint
	cargo test --release --locked --workspace

# Both models, the original beside the port, traced; compared to the last record.
PARITY_RUNS := runs/parity
parity: venv data
	@for model in mlp lenet5; do \
	    .venv/bin/python -W ignore tests/reference/notebook.py --model $$model --trace \
	        --out $(PARITY_RUNS)/notebook-$$model >/dev/null && \
	    $(STITCH) train $$model --trace --force --out $(PARITY_RUNS)/$$model >/dev/null && \
	    $(STITCH) parity $(PARITY_RUNS)/notebook-$$model $(PARITY_RUNS)/$$model || exit 1; \
	done

# Some minutes; as root, a small file system is mounted too. A short part is in `make test`.
faults: data
	cargo test --release --locked --test cli faults:: -- --include-ignored --nocapture --test-threads 1

# Needs a nightly compiler.
fuzz:
	@sh setup/fuzz.sh

# Some fifty minutes on two cores that have nothing else to do. PAIRS=1 is for a first look.
PAIRS := 5
CANDLE := target/candle
bench: venv data
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement benches/requirements.txt
	cd benches/candle && cargo build --release --locked --target-dir ../../$(CANDLE)
	.venv/bin/python benches/training.py $(STITCH) $(CANDLE)/release/lenet5-candle --pairs $(PAIRS)
	.venv/bin/python benches/chart.py
	.venv/bin/python benches/evaluation.py $(STITCH) --pairs $(PAIRS)
	.venv/bin/python benches/fast_accuracy.py $(STITCH)
	.venv/bin/python benches/checkpoints.py $(STITCH)
	.venv/bin/python benches/study.py $(STITCH)
	.venv/bin/python benches/parity.py $(STITCH)
	cargo bench --locked --bench parts --bench formats
	.venv/bin/python benches/goals.py

# Those in docs/figures, from the two runs of `make run`.
figures: run
	cp runs/reproduce/accuracy_comparison.svg docs/figures/
	cp runs/reproduce/mlp/confusion_matrix.svg docs/figures/confusion_matrix_mlp.svg
	cp runs/reproduce/lenet5/confusion_matrix.svg docs/figures/confusion_matrix_lenet5.svg
	$(STITCH) study report docs/study/results.csv --output target/study
	cp target/study/accuracies.svg target/study/summary.csv docs/study/

# `man target/man/stitch.1`
MAN := target/man
man: build
	$(STITCH) man $(MAN)

# What `stitch predict` has built in. It is built again with the new ones.
models: data
	@sh setup/models.sh
	@sh setup/build.sh

# A LIBTORCH of the user's own wins: then neither Python nor a virtual environment is needed.
build:
	@sh setup/prerequisites.sh
	@test -n "$$LIBTORCH" || sh setup/venv.sh
	@sh setup/build.sh

data: build
	@sh setup/data.sh

# The reference that the tests run beside the port.
venv:
	@sh setup/prerequisites.sh
	@sh setup/venv.sh

# A browser and others that the tests show the results to, where apt-get can install them.
outside:
	@sh setup/outside.sh

lint: venv
	@sh setup/lint.sh

clean:
	cargo clean
