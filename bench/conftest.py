"""Options of the benchmark suite."""


def pytest_addoption(parser):
    parser.addoption(
        "--limit", type=float, default=2.0, metavar="SECONDS", help="skip a variant whose run would take longer (default: 2)"
    )
