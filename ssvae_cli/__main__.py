"""`ssvae`, and `python -m ssvae_cli`, which is the same."""

import sys


def main() -> None:
    """The entry point: `ssvae_cli.cli.main`, whose import takes long enough to be interrupted."""
    try:
        from ssvae_cli.cli.main import main as command
    except KeyboardInterrupt:
        print("ssvae: stopped by SIGINT", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
