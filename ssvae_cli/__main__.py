"""`python -m ssvae_cli`, the same as `ssvae`."""

from ssvae_cli.cli.main import main

if __name__ == "__main__":
    main()
