"""Encoders from elsewhere and to elsewhere.

1. A new run begins with weights from a file or a library, all but the classifier; weights that do not fit are a line.
2. A stored run needs those weights no more.
3. Any nn.Module is a backbone, with one YAML file.
4. Exported weights and folders give the same numbers.
"""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.utils.tensorboard._embedding import make_sprite
from torchvision import models

import ssvae_cli
from helpers import TINY, ssvae, train
from ssvae_cli.encoders.pretrained import load_pretrained
from ssvae_cli.encoders.torchvision_models import TorchvisionModel
from ssvae_cli.errors import PartError, UserError
from ssvae_cli.exports.projector import thumbnails
from ssvae_cli.load_run import load_run, stored_run

SMALL = "shufflenet_v2_x0_5"


def backbone(weights, **settings):
    return TorchvisionModel(**{"shape": (3, 32, 32), "name": SMALL, "small_stem": False, "weights": weights} | settings)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(A model of torchvision, the folder with its weights in several files)."""
    folder, model = tmp_path_factory.mktemp("weights"), models.get_model(SMALL)
    torch.save(model.state_dict(), folder / "plain.pth")
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, folder / "nested.pt")
    save_file(model.state_dict(), folder / "weights.safetensors")
    torch.save({"fc.weight": torch.zeros(2, 2)}, folder / "other.pth")
    torch.save(Unsafe(), folder / "code.pth")
    (folder / "cut.safetensors").write_bytes(b"\x08\x00")
    return model, folder


class Unsafe:
    """More than tensors."""


@pytest.mark.parametrize("name", ["plain.pth", "nested.pt", "weights.safetensors"])
def test_a_file_of_weights_is_all_of_a_backbone_but_its_classifier(files, name):
    model, folder = files
    ours = backbone(str(folder / name))
    ours.load_pretrained()
    weights = model.state_dict()
    assert ours.model.state_dict().keys() == {key for key in weights if not key.startswith("fc.")}
    assert all(torch.equal(value, weights[key]) for key, value in ours.model.state_dict().items())


@pytest.mark.parametrize(
    "name, said",
    [
        ("other.pth", "has no conv1.0.weight; give those of shufflenet_v2_x0_5"),
        ("code.pth", "holds no weights that load without running code"),
        ("cut.safetensors", "holds no weights that load without running code"),
        ("none.pth", "no such file"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(files, name, said):
    ours = backbone(str(files[1] / name))
    with pytest.raises(UserError, match=said):
        ours.load_pretrained()


def test_the_line_names_the_key_of_g_or_of_the_second_encoder(files):
    both = torch.nn.ModuleDict({"encoder_prime": backbone(str(files[1] / "other.pth"))})
    with pytest.raises(UserError, match="^encoder_prime.backbone.weights=.* has no conv1.0.weight; give those of"):
        load_pretrained(both)


def test_a_stem_of_another_size_is_one_line(tmp_path):
    torch.save(models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    ours = backbone(str(tmp_path / "resnet18.pth"), name="resnet18", small_stem=True)
    with pytest.raises(
        UserError, match=r"conv1.weight is \[64, 3, 7, 7\] there and \[64, 3, 3, 3\] here; .*small_stem=false"
    ):
        ours.load_pretrained()


@pytest.mark.parametrize("name, side", [("googlenet", 32), ("inception_v3", 75)])
def test_models_with_further_classifiers_give_features_in_training_too(name, side, tmp_path):
    whole = models.get_model(name, weights=None, init_weights=False)
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    ours = TorchvisionModel(shape=(3, side, side), name=name, small_stem=False, weights=str(tmp_path / "weights.pth"))
    ours.load_pretrained()
    assert ours.train()(torch.zeros(2, 3, side, side)).shape == (2, ours.out_dim)
    first = next(iter(whole.state_dict()))
    assert torch.equal(ours.model.state_dict()[first], whole.state_dict()[first])


def test_weights_by_name_are_torchvisions_and_without_a_network_a_line(monkeypatch):
    with pytest.raises(
        UserError, match="weights=IMAGENET: no file, and no weights of shufflenet_v2_x0_5; allowed: DEFAULT"
    ):
        backbone("IMAGENET")
    entry = models.get_model_weights(SMALL).DEFAULT
    monkeypatch.setattr(type(entry), "get_state_dict", lambda self, **_: models.get_model(SMALL).state_dict())
    backbone("DEFAULT").load_pretrained()

    def offline(self, **_):
        raise OSError("no route to host")

    monkeypatch.setattr(type(entry), "get_state_dict", offline)
    with pytest.raises(UserError, match="cannot be downloaded .no route to host.; give a file: https://"):
        backbone("DEFAULT").load_pretrained()


def test_a_run_begins_with_them_and_later_needs_them_no_more(files, tmp_path):
    model, folder = files
    file = tmp_path / "mine.pth"
    file.write_bytes((folder / "plain.pth").read_bytes())
    words = ["train", "encoder=torchvision", f"encoder.backbone.name={SMALL}", f"encoder.backbone.weights={file}"]
    words += ["encoder.projector=[]", "encoder.latent_dim=4", "evaluation=none", "trainer.epochs=0", *TINY[3:4]]
    assert ssvae(*words, f"hydra.run.dir={tmp_path}/run") == 0
    file.unlink()
    weights = load_file(tmp_path / "run" / "encoder.safetensors")
    assert torch.equal(weights["backbone.model.conv1.0.weight"], model.state_dict()["conv1.0.weight"])
    stored_run(str(tmp_path / "run"), trust=False).objective(torch.device("cpu"))


def test_timms_models_are_backbones(tmp_path):
    timm = pytest.importorskip("timm", reason="needs the extra ssvae[timm]")
    from ssvae_cli.encoders.timm_models import TimmModel

    name, options = "vit_tiny_patch16_224", {"img_size": 16, "patch_size": 4, "depth": 1}
    torch.save(timm.create_model(name, in_chans=1, **options).state_dict(), tmp_path / "vit.pth")
    ours = TimmModel(shape=(1, 16, 16), name=name, weights=str(tmp_path / "vit.pth"), options=options)
    ours.load_pretrained()
    assert ours(torch.zeros(2, 1, 16, 16)).shape == (2, ours.out_dim)
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        TimmModel(shape=(3, 32, 32), name="resnet81")


def test_without_the_extra_timm_is_one_line(monkeypatch):
    from ssvae_cli.encoders.timm_models import TimmModel

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install 'ssvae.timm.'"):
        TimmModel(shape=(3, 32, 32), name="resnet18")


OWN = """
import torch

class Net(torch.nn.Sequential):
    def __init__(self, width: int = 5):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, width), torch.nn.ReLU())

class Wrong(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(63, 4))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(OWN)
    (tmp_path / "conf" / "encoder").mkdir(parents=True)
    for name in ("Net", "Wrong"):
        text = f"_target_: ssvae_cli.encoders.Encoder\nbackbone:\n  _target_: own_nets.{name}\n"
        (tmp_path / "conf" / "encoder" / f"{name.lower()}.yaml").write_text(text + "latent_dim: 4\nprojector: []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_any_module_is_a_backbone_with_one_yaml_file(own, capfd):
    words = ["train", "--config-dir", f"{own}/conf", "evaluation=none", "trainer.epochs=1", "trainer.device=cpu"]
    assert ssvae(*words, "encoder=net", "+encoder.backbone.width=7", f"hydra.run.dir={own}/run") == 0
    assert load_file(own / "run" / "encoder.safetensors")["projector.0.weight"].shape == (4, 7)
    assert ssvae_cli.load(own / "run", trust=True, device="cpu").features_dim == 7
    capfd.readouterr()
    assert ssvae(*words, "encoder=wrong", f"hydra.run.dir={own}/wrong") == 2
    assert "encoder.backbone cannot take x of 1x8x8" in capfd.readouterr().err


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The folder of each export of the finished run."""
    folder = tmp_path_factory.mktemp("exports")
    for kind in ("safetensors", "huggingface", "projector"):
        assert ssvae("embed", f"run={finished}", f"export={kind}", f"hydra.run.dir={folder}/{kind}") == 0
    return folder


def test_exported_weights_say_what_x_is(exported, finished):
    with safe_open(exported / "safetensors" / "encoder.safetensors", "pt") as file:
        about, names = file.metadata(), set(file.keys())
    assert json.loads(about["input"])["shape"] == [1, 8, 8] and json.loads(about["input"])["dtype"] == "uint8"
    assert names == load_file(finished / "encoder.safetensors").keys()


def test_a_hub_folder_is_read_as_the_run_is(exported, finished, tmp_path):
    folder = exported / "huggingface" / "huggingface"
    x = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), np.uint8)
    first, second = (ssvae_cli.load(run, device="cpu").z(x) for run in (finished, folder))
    assert np.array_equal(first, second)
    train(tmp_path / "run", "trainer.epochs=0", "evaluation=none", f"init_from={folder}")


def test_the_card_has_the_figures_of_the_run(exported, finished):
    folder = exported / "huggingface" / "huggingface"
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    summary = json.loads((finished / "summary.json").read_text())
    metrics = yaml.safe_load(head)["model-index"][0]["results"][0]["metrics"]
    assert {each["type"]: each["value"] for each in metrics}["elbo/test"] == summary["elbo/test"]
    assert f"| `probe/linear/test` | {summary['probe/linear/test']:.4f} |" in body
    assert (folder / "figures" / "curves.png").exists() and "](figures/curves.png)" in body
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "ssvae" and config["input"]["shape"] == [1, 8, 8]


def test_tensorboards_projector_has_z_labels_and_a_sprite_of_test(exported, finished):
    folder = exported / "projector" / "projector"
    (place,) = {path.parent for path in folder.rglob("tensors.tsv")}
    z = np.loadtxt(place / "tensors.tsv", delimiter="\t")
    with torch.no_grad():
        loaded = load_run(str(finished), device="cpu", trust=False)
        expected = loaded.objective.posterior(loaded.pairs.clean(loaded.data.test)).mean
    assert np.allclose(z, expected.numpy(), atol=1e-4)
    assert (place / "metadata.tsv").read_text().split() == [str(label) for label in loaded.data.test.y.tolist()]
    assert Image.open(place / "sprite.png").size[0] >= 8 * 19
    assert "sprite.png" in (folder / "projector_config.pbtxt").read_text()


@pytest.mark.parametrize("shape, side", [((3, 1, 8, 4), 8), ((3, 3, 4, 8), 8), ((3, 1, 32, 16), 10)])
def test_images_that_are_large_or_no_squares_fit_a_sprite(shape, side, tmp_path, monkeypatch):
    monkeypatch.setitem(thumbnails.__globals__, "SPRITE", 20)
    shown = thumbnails(torch.zeros(shape))
    assert shown.shape == (3, 3, side, side) and shown[0, 0].mean().item() == pytest.approx(0.5)
    make_sprite(shown, str(tmp_path))
    assert Image.open(tmp_path / "sprite.png").size == (2 * side, 2 * side)


def test_a_hub_folder_that_is_cut_short_is_one_line(exported, tmp_path):
    for name in ("config.json", "model.safetensors"):
        whole = (exported / "huggingface" / "huggingface" / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="hold no model of ssvae, or are cut short"):
        stored_run(str(tmp_path), trust=False)


def test_a_module_without_forward_is_no_backbone():
    from ssvae_cli.encoders import Encoder

    with pytest.raises(PartError, match="backbone: Module has no forward"):
        Encoder(shape=(3,), backbone=torch.nn.Module(), latent_dim=2, projector=[])
