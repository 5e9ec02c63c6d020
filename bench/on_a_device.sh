#!/usr/bin/env bash
# A lane of the checks on a GPU, for a machine that is only borrowed: one that has no network, and is there for minutes.
#
#   bench/on_a_device.sh pack [PACKAGE ...]     at home: fetch wheels of what the machine lacks into $WHEELS, or .wheels/
#   bench/on_a_device.sh LANE [ARGUMENT ...]    there: run a lane; its log and the results that it wrote come to $OUT, or to device/
#
# Lanes, in the order in which what fails first explains what fails later: list, device, conformance, memcheck, racecheck,
# initcheck, bench. Arguments go to the lane's own command: conformance -k matmul; memcheck matmul triton; bench --only "matmul 1024".
# A lane is ended after LIMIT seconds (570), and what it has left by then comes back too. Wheels are for MACHINE_PYTHON (3.12).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} wheels=${WHEELS:-.wheels}
usage() { sed -n '2,/^set/{/^#/{s/^# \{0,1\}//;p}}' "$0" >&2; exit 2; }
[ $# -gt 0 ] || usage
lane=$1
shift

if [ "$lane" = pack ]; then
    # Beside torch, Triton, numba-cuda, hypothesis, pytest, pytest-benchmark and pytest-xdist, which such a machine has.
    [ $# -gt 0 ] || set -- annotated-types array-api-compat array-api-strict expecttest greenlet jaxtyping keopscore platformdirs pykeops
    rm -rf "$wheels"
    for package in "$@"; do
        "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "${MACHINE_PYTHON:-3.12}" \
            --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
            --dest "$wheels" "$package" 2>/dev/null ||
            "$python" -m pip wheel --quiet --no-deps --wheel-dir "$wheels" "$package" # what comes as its source alone
    done
    du -sh "$wheels"
    exit
fi

case $lane in
list) set -- -m registry list "$@" ;;
device) set -- -m pytest -m cuda -x tests/cuda/test_cuda_device.py "$@" ;;
conformance) set -- -m pytest -m cuda -n 4 tests/conformance/test_conformance.py "$@" ;;
memcheck | racecheck | initcheck) set -- bench/sanitize.py --tool "$lane" "$@" ;;
bench) set -- bench/gpu.py "$@" ;;
*) echo "no lane is called $lane" >&2; usage ;;
esac

out=${OUT:-device}
mkdir -p "$out"
packed=$(mktemp -d)
trap 'rm -rf "$packed"' EXIT
if [ -d "$wheels" ]; then
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$packed" "$wheels"/*.whl
fi
export PYTHONPATH="$PWD:$packed${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
touch "$packed/started"
code=0
timeout --kill-after 5 "${LIMIT:-570}" "$python" "$@" 2>&1 | tee "$out/$lane.log" || code=$?
find bench/results bench/plots -type f -newer "$packed/started" -exec cp {} "$out" \;
exit "$code"
