"""Files from strangers run no code: each kind of file is given a pickle that would leave a mark, or names a class.

A stored configuration builds ssvae's own parts and torch's layers, and anything else only with trust=true.
"""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from helpers import TINY, make_folder, refused, ssvae
from ssvae_cli.errors import UserError
from ssvae_cli.instantiate.trust import is_layer, refuse_untrusted
from ssvae_cli.run_folder import CHECKPOINT
from ssvae_cli.training import checkpoint


class Mark:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "executed"


def test_a_program_that_unpickles_leaves_the_mark(mark):
    pickle.loads(pickle.dumps(Mark(mark)))
    assert mark.exists()


@pytest.mark.parametrize("kind", ["torch.save", "pickle", "legacy"])
def test_a_checkpoint_with_a_pickle_in_it_is_refused_and_not_run(kind, run, mark, capfd, recwarn):
    path = run / CHECKPOINT
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Mark(mark)))
    else:
        torch.save({"config": Mark(mark)}, path, _use_new_zipfile_serialization=kind == "torch.save")
    assert "is no checkpoint of ssvae" in refused(capfd, "train", f"resume={run}")
    assert not mark.exists() and not recwarn.list, "a warning would be a second line"


@pytest.mark.parametrize("command", ["embed", "eval"])
def test_no_command_runs_the_pickle_in_a_checkpoint(command, run, mark, tmp_path, capfd):
    torch.save({"config": Mark(mark)}, run / CHECKPOINT)
    assert "is no checkpoint of ssvae" in refused(capfd, command, f"run={run}", f"hydra.run.dir={tmp_path}/out")
    assert not mark.exists()


def test_no_command_runs_a_pickle_in_place_of_the_encoders_weights(run, mark, tmp_path):
    weights = run / "encoder.safetensors"
    torch.save({"backbone": Mark(mark)}, weights)
    for command in (["embed", f"run={run}"], ["report", f"runs={run}"]):
        assert ssvae(*command, f"hydra.run.dir={tmp_path}/{command[0]}") == 0
    with pytest.raises(SafetensorError):
        load_file(weights)
    assert not mark.exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no", b"words", None], ids=["empty", "garbage", "text", "cut"])
def test_a_damaged_checkpoint_is_refused_with_a_line(damage, run, capfd):
    path = run / CHECKPOINT
    path.write_bytes(path.read_bytes()[:5000] if damage is None else damage)
    line = refused(capfd, "train", f"resume={run}")
    assert line.endswith(f"damaged or cut short; train the run anew, in another folder, or once {run} is removed")


@pytest.mark.parametrize("kind", ["npz", "npy", "pickle"])
def test_arrays_with_a_pickle_in_them_are_refused_and_not_run(kind, tmp_path, mark, capfd):
    path, array = tmp_path / "a.npz", np.array([Mark(mark)], dtype=object)
    with open(path, "wb") as file:
        if kind == "npz":
            np.savez(file, x=array)
        elif kind == "npy":
            np.save(file, array)
        else:
            pickle.dump(Mark(mark), file)
    said = "no .npz file" if kind == "pickle" else "Python objects"
    assert said in refused(capfd, "train", "dataset=npz", f"dataset.path={path}")
    assert not mark.exists()


def test_an_image_with_a_pickle_in_it_is_refused_and_not_run(tmp_path, mark, capfd):
    make_folder(tmp_path, classes=("a",), count=3)
    (tmp_path / "train" / "a" / "3.png").write_bytes(pickle.dumps(Mark(mark)))
    line = refused(capfd, "train", "dataset=folder", f"dataset.root={tmp_path}", "dataset.size=8")
    assert "3.png: cannot be read as an image" in line
    assert not mark.exists()


def test_cifar_batches_are_unpickled_only_if_they_are_the_published_ones(tmp_path, mark, capfd):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(pickle.dumps(Mark(mark)))
    refused(capfd, "train", "dataset=cifar10", f"dataset.root={tmp_path}")
    assert not mark.exists()


HOSTILE = [
    *"os.system subprocess.Popen builtins.exec my_priors.Slow".split(),
    *"torch.hub.load torch.load torch.utils.cpp_extension.load torchvision.models.get_model".split(),
    *"ssvae_cli.run_folder.last_line ssvae_cli.files.atomic_write ssvae_cli.cli.main.os.system".split(),
    "torch.nn.modules.module.torch.hub.load",  # a road to another module
    "torch.nn.functional.torch.jit.ScriptModule",
    "torch.nn.utils.convert_parameters.os.system",
]


@pytest.mark.parametrize("target", HOSTILE)
def test_a_stored_configuration_names_nothing_but_ssvae_and_layers(target, tmp_path):
    config = OmegaConf.create({"prior": {"_target_": "ssvae_cli.priors.mi.MI", "parts": [{"_target_": target}]}})
    with pytest.raises(UserError, match="add trust=true"):
        refuse_untrusted(config, tmp_path, trust=False)
    refuse_untrusted(config, tmp_path, trust=True)


def test_a_hidden_target_is_seen_through_an_interpolation(tmp_path):
    config = OmegaConf.create({"innocent": "os.system", "prior": {"_target_": "${innocent}"}})
    with pytest.raises(UserError, match="os.system"):
        refuse_untrusted(config, tmp_path, trust=False)


def test_layers_and_optimizers_of_torch_are_allowed():
    assert is_layer("torch.nn.Linear") and is_layer("torch.optim.AdamW") and is_layer("torchvision.models.ResNet")


def test_an_edited_configuration_is_refused_before_anything_is_built(run, capfd):
    path = run / ".hydra" / "overrides.yaml"
    OmegaConf.save([*OmegaConf.load(path), "prior.critic._target_=os.system", "+prior.critic.command=true"], path)
    assert "prior.critic._target_ = os.system" in refused(capfd, "train", f"resume={run}")


@pytest.mark.parametrize("command", ["embed", "eval"])
def test_no_command_builds_a_class_that_a_checkpoint_names(command, run, tmp_path, capfd):
    state = checkpoint.load(run)
    state["config"] = state["config"].replace("ssvae_cli.priors.infonce.InfoNCE", "subprocess.Popen")
    checkpoint.save(run, state)
    assert "prior._target_ = subprocess.Popen" in refused(capfd, command, f"run={run}", f"hydra.run.dir={tmp_path}/out")


STRANGE = ["+hydra.callbacks.x={_target_: os.system}", "hydra.searchpath=[file:///tmp]", "++hydra.run.dir=elsewhere"]
STRANGE += ["hydra/launcher=joblib", "--config-dir=/tmp", "-m", {"a": 1}]


@pytest.mark.parametrize("line", STRANGE, ids=str)
def test_stored_overrides_do_not_reach_hydra(line, run, capfd):
    path = run / ".hydra" / "overrides.yaml"
    OmegaConf.save([*OmegaConf.load(path), line], path)
    before = sorted(run.rglob("*"))
    assert "the folder was edited" in refused(capfd, "train", f"resume={run}")
    assert sorted(run.rglob("*")) == before


def test_an_npz_that_unpacks_to_more_than_the_machine_holds_is_refused(tmp_path, capfd):
    path, header = tmp_path / "bomb.npz", io.BytesIO()
    shape = (10**13, 1, 8, 8)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    assert "not as long as its header says" in refused(capfd, "train", "dataset=npz", f"dataset.path={path}")


def test_a_decompression_bomb_among_images_is_refused(tmp_path, capfd):
    make_folder(tmp_path, classes=("a",), count=3)
    Image.new("1", (20_000, 20_000)).save(tmp_path / "train" / "a" / "3.png")
    line = refused(capfd, "train", "dataset=folder", f"dataset.root={tmp_path}", "dataset.size=8")
    assert "3.png" in line and "decompression bomb" in line


def test_an_absurd_size_is_refused_before_memory_is_asked_for(tmp_path, capfd):
    make_folder(tmp_path, classes=("a",), count=3)
    huge = ["dataset=folder", f"dataset.root={tmp_path}", "dataset.size=1000000"]
    assert "dataset.size" in refused(capfd, "train", *huge)


def test_a_tiny_run_is_what_these_tests_think_it_is(finished):
    assert OmegaConf.load(finished / ".hydra" / "overrides.yaml")[: len(TINY)] == TINY
