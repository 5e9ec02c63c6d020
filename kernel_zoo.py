"""The command `kernel-zoo`. It stands above all else: nothing of the project imports it."""

import registry


def main() -> None:
    """Run the command."""
    registry.call_by_name("kernels._cli", "main")


if __name__ == "__main__":
    main()
