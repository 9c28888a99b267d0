"""What a data set and a preset bring: the encoder of one step, an encoder for x', and what suits a file.

1. A choice on the command line takes the place of what a data set brings.
2. The data set of a preset brings the same as one on the command line; a key that a choice lacks is named.
"""

import numpy as np
import pytest

from helpers import composed, refused
from ssvae_cli.cli.suiting import suiting_overrides


@pytest.mark.parametrize(
    ("words", "brought"),
    [
        ("dataset=balls", ["encoder=convnet", "~encoder@encoder_prime"]),
        ("dataset=latents dataset.steps=8", ["encoder=mlp"]),
        ("dataset=balls encoder=linear", ["~encoder@encoder_prime"]),
    ],
)
def test_a_window_of_steps_brings_the_encoder_of_one_step_unless_another_is_chosen(words, brought):
    given = [*words.split(), "pairs=window"]
    assert suiting_overrides("train", given) == [*given, *brought]
    assert composed(*given, *brought).pairs.length > 0


@pytest.mark.parametrize("choice", ["encoder_prime=ema", "experiment=methods/byol", "experiment=methods/moco"])
def test_a_choice_of_g_prime_takes_the_place_of_the_data_sets(choice):
    given = ["dataset=balls", choice]
    assert suiting_overrides("train", given) == [*given, "~encoder@encoder_prime"]
    assert composed(*given, "~encoder@encoder_prime").encoder_prime._target_.endswith("EMA")


def test_a_preset_without_a_g_prime_of_its_own_kind_gets_none_from_a_file_of_videos(tmp_path):
    np.savez(tmp_path / "videos.npz", x=np.zeros((4, 9, 1, 8, 8), np.uint8))
    given = ["dataset=sequences", f"dataset.path={tmp_path}/videos.npz"]
    assert suiting_overrides("train", given) == [*given, "encoder@encoder_prime=convnet"]
    assert suiting_overrides("train", [*given, "experiment=methods/cebra"]) == [*given, "experiment=methods/cebra"]


def test_the_data_set_of_a_preset_brings_what_suits_its_file_as_one_on_the_command_line_does(tmp_path):
    np.savez(tmp_path / "two.npz", x=np.zeros((4, 5)), x2=np.zeros((4, 3)))
    given = ["experiment=methods/clip", f"dataset.path={tmp_path}/two.npz"]
    assert suiting_overrides("train", given) == [*given, "encoder=mlp"]
    given = ["experiment=methods/cpc", "pairs=window"]
    assert suiting_overrides("train", given) == [*given, "encoder=convnet", "~encoder@encoder_prime"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("methods/cebra dataset=digits", "sets pairs.window, which the pairs chosen here does not have; allowed: "),
        ("methods/cebra dataset=digits", "these have it: pairs=context; '~pairs.window' leaves it out"),
        ("methods/byol prior=gaussian", "experiment=methods/byol sets prior.concentration, which the prior chosen"),
    ],
)
def test_a_key_of_a_preset_that_the_choice_does_not_have_is_named_with_the_preset(words, said, tmp_path, capfd):
    command = ("train", *f"experiment={words}".split(), f"hydra.run.dir={tmp_path}/run")
    assert said in refused(capfd, *command) and not (tmp_path / "run").exists()
