"""The configuration of `ssvae train`, composed inside a Python program, which may use Hydra itself."""

import contextlib
from collections.abc import Iterator, Sequence

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf

from ssvae_cli.cli.checks import check_types
from ssvae_cli.cli.hydra_errors import one_line
from ssvae_cli.cli.overrides import override_name, plain_path
from ssvae_cli.cli.suiting import suiting_overrides
from ssvae_cli.errors import UserError, require
from ssvae_cli.paths import working_folder


def composed(overrides: Sequence[str]) -> tuple[DictConfig, DictConfig]:
    """(The configuration of `ssvae train` under these overrides, Hydra's part of it).

    What suits the data set's file is chosen, as on the command line. Raises UserError, in one line, for what cannot be
    composed, and where the working folder is gone."""
    working_folder()
    for override in overrides:
        text = isinstance(override, str)
        require(text, f"overrides are words such as 'optimizer.lr=0.01', got {override!r}")
        key = override_name(override)
        ours = key.split(".")[0] in ("hydra", "resume", "sweep")
        require(not ours, f"{override}: {key} is for the command line; leave it out")
    words = suiting_overrides("train", [plain_path(override, "train") for override in overrides])
    with _hydra_of_our_own():
        try:
            config = compose("train", overrides=words, return_hydra_config=True)
        except Exception as error:  # Hydra's many, and OmegaConf's
            raise UserError(one_line(error, "train", words)) from None  # Hydra's own traceback says nothing more
    hydra = config.hydra
    config = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    check_types(config, hydra)
    return config, hydra


@contextlib.contextmanager
def _hydra_of_our_own() -> Iterator[None]:
    """Inside, Hydra reads ssvae's configuration; afterwards it is as the program had it."""
    version, before = VersionBase.instance(), (GlobalHydra.instance().hydra, VersionBase.instance().version_base)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("ssvae_cli.conf", version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra, version.version_base = before
