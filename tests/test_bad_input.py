"""A user's mistake is one line: what is wrong, what is allowed, the nearest spelling.

Exit code 2, and nothing overwritten.
"""

import ast
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from helpers import refused


def images(*names):
    """Image files in a folder `photos`, below the working folder."""
    for name in names:
        path = Path("photos") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(path)


def no_images():
    images("train/cat/1.png", "test/cat/1.png")
    Path("photos/train/dog").mkdir()


def damaged():
    images("train/cat/1.png", "train/cat/2.png", "train/cat/3.png", "test/cat/1.png")
    Path("photos/train/cat/2.png").write_bytes(Path("photos/train/cat/1.png").read_bytes()[:40])


def strange_class():
    images("train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dogs/1.png")


PREPARED = {
    "class without images": no_images,
    "image that cannot be read": damaged,
    "class in test that train lacks": strange_class,
    "test without train": lambda: images("test/cat/1.png"),
}
PHOTOS = "dataset=folder dataset.root=photos"

CASES = {
    "unknown command": ("trian", "unknown command 'trian'", "did you mean 'train'"),
    "unknown key": ("train trainer.epoch=3", "trainer.epoch", "did you mean 'trainer.epochs'"),
    "unknown top-level key": ("train sed=3", "sed", "did you mean 'seed'"),
    "a key misspelt in its middle": ("train prior.critc.temperature=1", "did you mean 'prior.critic.temperature'"),
    "key of what is left out": (
        "train evaluation.metrics.probe=null evaluation.metrics.probe.compared=9",
        "evaluation.metrics.probe.compared is a key of evaluation.metrics.probe",
        "evaluation.metrics.probe=null leaves out",
    ),
    "key without its group": ("train epochs=3", "unknown key epochs", "did you mean 'trainer.epochs'"),
    "unknown option": ("train prior=infonc", "prior=infonc", "did you mean 'infonce'", "unstructured_normal"),
    "a flag for a setting": ("train --epochs 1", "option --epochs", "a setting has no dashes: trainer.epochs=1"),
    "another configuration": ("train --config-name mi", "--config-name: ssvae train has its own configuration"),
    "a rerun, which unpickles": ("mi --experimental-rerun job.pickle", "ssvae mi has its own configuration"),
    "a misspelt flag": ("train --confg job", "unknown option --confg", "did you mean '--c"),
    "unknown nested option": ("train prior/critic=cosin", "prior/critic=cosin", "did you mean 'cosine'"),
    "unknown key of another choice": ("train encoder=mlp encoder.backbone.width=8", "allowed: encoder.backbone.hidden"),
    "added key": ("train +trainer.epoch=3", "trainer.epoch", "did you mean 'epochs'"),
    "trust that is no truth": ("train trust=maybe", "trust must be true or false, got 'maybe'"),
    "forced key at the top": ("train ++sed=1", "unknown key sed", "did you mean 'seed'"),
    "added choice that is there": ("train +prior/critic=rbf", "is there already; leave out the +: prior/critic=rbf"),
    "forced choice": ("train ++prior=mi", "prior is there already; leave out the +: prior=mi"),
    "added key that is there": ("train +optimizer.lr=1", "optimizer.lr is there already; leave out the +"),
    "forced choice of no group here": ("report . ++metric=knn", "metric is no group of ssvae report"),
    "a list of choices": ("train encoder=[mlp,linear]", "encoder=[mlp,linear]", "a group takes one choice"),
    "a list of choices with parts": ("train prior=[mi,infonce]", "name of a choice", "given: prior=[mi,infonce]"),
    "a value for what has keys": ("train trackers=null", "trackers must be a mapping", "trackers.KEY=..., got null"),
    "a value for the estimators of mi": ("mi estimators=3", "estimators must be a mapping", "got 3"),
    "a value in a sweep for what has keys": ("train -m sweep=null seed=0,1", "sweep must be a mapping"),
    "a choice put where nothing reads it": ("train +estimator@foo=infonce", "unknown key foo; allowed: dataset"),
    "a key that Hydra does not read": (
        "train +hydra.swep.dir=x",
        "unknown key hydra.swep.dir;",
        "did you mean 'sweep'",
    ),
    "a number for a metric": ("train +evaluation.metrics.foo=1", "evaluation.metrics.foo must be a metric (a config"),
    "misspelt encoder of the other side": ("train encoder@encoder_prime=ml", "encoder=ml", "did you mean 'mlp'"),
    "a choice that is put under a name": ("train tracker=wandb", "+tracker@trackers.NAME=CHOICE"),
    "a choice in a folder": ("train experiment=methods/simcrl", "methods/simclr", "did you mean 'methods/simclr'"),
    "key below a value": ("train seed.x=1", "unknown key seed.x; seed has no keys: it is given as seed=..."),
    "a pair of one": ("train optimizer.betas=[0.9]", "must be a list of 2 numbers, got [0.9]"),
    "a setting of Hydra that is null": (
        "train hydra.run.dir=null",
        "null: Hydra's setting takes another",
    ),
    "more neighbours than a batch": (
        "train prior=gaussian estimator=knn estimator.k=5000",
        "estimator=knn needs a batch of at least 5001 rows for",
    ),
    "empty path": ("train dataset=folder dataset.root=", "dataset.root is empty; give a path"),
    "empty run": ("train resume=", "resume is empty; give a path"),
    "a folder for a file": ("train dataset=npz dataset.path=.", "dataset.path=.: a folder; give a file"),
    "weights that are not there": (
        "train encoder=resnet18 encoder.backbone.weights=no.pth",
        "encoder.backbone.weights=no.pth: no such file",
    ),
    "bad syntax": ("train trainer.epochs=[3", "trainer.epochs"),
    "no equals sign": ("train prior", "'prior' is no setting (key=value)", "ssvae train --help"),
    "help as a word": ("mi help", "'help'", "ssvae mi --help"),
    "a sweep without -m": ("train seed=1,2", "ssvae train -m seed=1,2", "a list is written [1,2]"),
    "a sweep of a group without -m": ("train prior=mi,infonce", "ssvae train -m prior=mi,infonce"),
    "a flag without its value": ("mi seed=1 --config-dir", "--config-dir", "expected one argument"),
    "a flag's value that is none": ("train --cfg jobs", "--cfg", "'jobs'", "hydra"),
    "wrong type": ("train trainer.batch_size=many", "trainer.batch_size", "an integer", "'many'"),
    "wrong type, a float": ("train trainer.epochs=1.5", "trainer.epochs", "an integer", "1.5"),
    "wrong type, a list": ("train prior.critic.temperature=[1]", "prior.critic.temperature", "a number"),
    "wrong choice": ("train prior=gaussian prior.marginal=encodr", "prior.marginal", "did you mean 'encoder'"),
    "critics of further views of a pair": ("train prior=infonce prior.critics=each", "each is of more than two views"),
    "steps ahead of one step": ("train prior=predictor prior.steps=ahead", "ahead is of more than two views"),
    "noise for noise": ("train posterior=gaussian evaluation.noise=0.1", "evaluation.noise", "its own noise"),
    "a share beyond one": ("train prior=laplace prior.marginal=1.5", "prior.marginal", "a number from 0 to 1"),
    "seed is no number": ("train seed=one", "seed", "an integer"),
    "seed of eval is no number": ("eval run=x seed=one", "seed must be an integer of at least 0, got 'one'"),
    "seed of mi is negative": ("mi seed=-1", "seed must be an integer of at least 0, got -1"),
    "batch of one": ("train trainer.batch_size=1", "trainer.batch_size", "at least 2", "got 1"),
    "batch above the data": ("train trainer.batch_size=100000", "trainer.batch_size", "at most the 1200"),
    "temperature of zero": ("train prior.critic.temperature=0", "temperature", "above 0"),
    "affine that shrinks to nothing": ("train pairs.affine.scale=[0.000001,1]", "pairs.affine", "1/16"),
    "rate that is no number": ("train optimizer.lr=.nan", "optimizer.lr", "a number"),
    "two points": ("train prior.space=sphere encoder.latent_dim=1", "sphere, which needs encoder.latent_dim of"),
    "more than the memory": ("train encoder.latent_dim=1000000000000000", "not enough memory"),
    "more than an integer": (f"train trainer.batch_size={10**30}", "trainer.batch_size", "an integer"),
    "a part taken out": ("train ~encoder", "~encoder leaves out what the command needs; allowed: causal_conv"),
    "two choices of g'": (
        "train encoder_prime=shared encoder@encoder_prime=mlp",
        "encoder_prime=shared and encoder@encoder_prime=mlp: each chooses g'; give one of the two",
    ),
    "a choice taken out that is not there": ("train ~prior=mi", "~prior leaves out what the command needs; allowed:"),
    "a part of a part taken out": ("train ~prior/critic", "~prior/critic leaves out", "allowed: bilinear"),
    "a value taken out that is not there": ("train ~seed=1", "~seed leaves out what the command needs"),
    "a key of a part taken out": ("train ~optimizer.lr", "~optimizer.lr leaves out", "or give optimizer.lr=..."),
    "a setting of Hydra taken out": ("train ~hydra.run.dir", "~hydra.run.dir leaves out"),
    "a key taken out": ("train ~seed", "~seed leaves out what the command needs; leave out the override, or give seed"),
    "a null key taken out": ("embed run=x ~score", "~score leaves out what the command needs"),
    "a misspelt key taken out": ("train ~trainer.epoch", "unknown key trainer.epoch", "did you mean 'trainer.epochs'?"),
    "a value for a group": ("train 'encoder={a: 1}'", "encoder is a group"),
    "a number for a group": ("train dataset=-1", "dataset=-1"),
    "a number for a class": ("train prior._target_=1", "prior._target_", "the name of a class"),
    "a line feed in a name": ("train trainer=a\x0cb", "trainer"),
    "a list for a part": ("train pairs.blur=[]", "pairs.blur", "a blur (a config group)", "or null"),
    "a number for a backbone": ("train encoder.backbone=3", "encoder.backbone", "a part with its _target_"),
    "negative epochs": ("train trainer.epochs=-1", "trainer.epochs", "at least 0", "got -1"),
    "negative rate": ("train optimizer.lr=-1", "optimizer.lr", "above 0"),
    "missing root": ("train dataset=mnist dataset.root=nowhere", "nowhere", "dataset.download=true"),
    "missing folder": ("train dataset=folder dataset.root=nowhere", "nowhere"),
    "mandatory root": ("train dataset=folder", "dataset.root"),
    "class without images": (f"train {PHOTOS}", "photos/train/dog", "no images"),
    "image that cannot be read": (f"train {PHOTOS}", "photos/train/cat/2.png", "cannot be read"),
    "class in test that train lacks": (f"train {PHOTOS}", "photos/test/dogs", "did you mean 'dog'"),
    "test without train": (f"train {PHOTOS}", "photos", "test/ but no train/"),
    "no GPU": ("train trainer.device=cuda", "trainer.device=cuda", "no GPU", "allowed here: auto, cpu"),
    "nwj for infonce": (
        "train prior=infonce estimator=nwj",
        "estimator=nwj",
        "prior=infonce",
        "infonce, leave_one_out",
    ),
    "leave-one-out for mi": (
        "train prior=mi estimator=leave_one_out",
        "estimator=leave_one_out cannot serve prior=mi; allowed: dv, eq3, infonce",
    ),
    "estimator without its decoder": ("train prior=unstructured_normal estimator=analytic", "analytic", "classifier"),
    "decoder with the wrong prior": ("train decoder=conv prior=infonce", "decoder=conv", "prior=unstructured_normal"),
    "decoder and estimator": ("train decoder=conv estimator=kde", "estimator=kde", "decoder=conv", "allowed: analytic"),
    "decoder with a delta": (
        "train decoder=conv prior=unstructured_normal posterior=deterministic",
        "decoder=conv is the ordinary VAE and needs posterior=gaussian",
    ),
    "views of vectors": ("train dataset=gaussian pairs=simclr", "need images", "are [10]", "pairs=noise"),
    "latents of two lengths": (
        "train encoder@encoder_prime=mlp encoder_prime.latent_dim=8",
        "unknown key encoder_prime.latent_dim: z' has the dimension of z; allowed: encoder.latent_dim",
    ),
    "latents of another length": ("train prior=gaussian prior.latent_dim=7", "prior.latent_dim; allowed: prior.corr"),
    "a setting of the pairs that follow": (
        "train pairs=halves pairs@pairs.then=noise pairs.then.std=-1",
        "pairs.then.std must be above 0, got -1",
    ),
    "a part of the pairs": ("train pairs=simclr pairs.blur.kernel=4", "pairs.blur.kernel must be odd", "got 4"),
    "a setting of the second encoder": (
        "train encoder@encoder_prime=mlp encoder_prime.backbone.hidden=[]",
        "encoder_prime.backbone.hidden must",
    ),
    "a setting of the critic": ("train prior=mi prior.critic.hidden=[]", "prior.critic.hidden must"),
    "convolutions over vectors": ("train dataset=gaussian encoder=convnet", "one x is [10]", "encoder=mlp"),
    "nothing known of the law": ("train pairs=latent", "pairs=latent", "conditional", "dataset=gaussian"),
    "no partner in the data": ("train pairs=identity", "pairs=identity", "dataset=paired"),
    "more than memory_gb": ("train dataset=sprites dataset.train=100000000", "GiB", "memory_gb=4; lower dataset.train"),
    "no such file": ("train dataset=npz dataset.path=no.npz", "dataset.path=no.npz", "no such file"),
    "mandatory path": ("train dataset=sequences", "dataset.path"),
    "too many patches": (
        "train pairs=patches pairs.grid=20 pairs.overlap=0",
        "pairs.grid=20",
        "8x8",
        "at most 8",
    ),
    "a window longer than the sequences": (
        "train dataset=balls dataset.train=4 dataset.validation=2 dataset.test=2 pairs.window=30",
        "sequences of 16 steps are shorter than pairs.window=30",
    ),
    "a recurrent encoder of images": ("train encoder=gru", "for sequences", "[1, 8, 8]"),
    "a group of another choice": (
        "train pairs=simclr pairs@pairs.then=noise",
        "the pairs that was chosen has no then; these have: context, dropout, halves, latent, patches, supervised",
    ),
    "gaussian and critic": (
        "train prior=gaussian prior/critic=bilinear",
        "no critic; these have: energy, infonce, mi",
    ),
    "a dot for a slash": ("train prior.critic=bilinear", "did you mean prior/critic=bilinear?"),
    "null for a group": ("train prior=null", "a group takes the name of a choice", "given: prior=null"),
    "a group of another command": ("mi prior=infonce", "prior is no group of ssvae mi", "ssvae mi --help"),
    "a misspelt choice of a sweep": ("train -m prior=infonce,mii seed=0,1", "prior=mii", "did you mean 'mi'"),
    "a misspelt key of a sweep": ("train -m trainer.epoch=1,2", "trainer.epoch", "did you mean 'trainer.epochs'"),
    "a value of null": ("train trainer.compile=null", "trainer.compile", "true or false", "got null"),
    "a device by another name": (
        "train trainer.device=gpu",
        "trainer.device",
        "one of auto, cpu, cuda",
        "did you mean 'cuda'?",
    ),
    "unknown pairs to follow": ("train pairs=halves pairs@pairs.then=simclar", "did you mean 'simclr'"),
    "correlation of one": ("train prior=gaussian prior.correlation=1", "prior.correlation", "between -1 and 1"),
    "no degrees of freedom": ("train prior=student prior.df=0", "prior.df must be above 0", "got 0"),
    "a covariance that is none": (
        "train prior=gaussian encoder.latent_dim=1 prior.covariance=[[1,2],[2,1]]",
        "prior.covariance must be positive definite, but its least eigenvalue is -1",
    ),
    "a covariance of another size": (
        "train prior=gaussian encoder.latent_dim=2 prior.covariance=[[1,0],[0,1]]",
        "prior.covariance must be 4 rows of 4",
    ),
    "a posterior off the prior's space": (
        "train prior=vmf posterior=gaussian",
        "posterior=gaussian",
        "sphere); allowed: deterministic, power_spherical",
    ),
    "logdet in the box": ("train prior=laplace prior.space=box estimator=logdet", "logdet", "prior=laplace", "kde"),
    "a mixture of deltas": ("train prior=gaussian estimator=aggregate", "aggregate", "allowed: posterior=gaussian"),
    "a posterior that vanishes": ("train posterior=gaussian posterior.least_std=0", "posterior.least_std", "above 0"),
    "conditionals of one latent": (
        "train prior=unstructured_normal estimator=conditionals",
        "conditionals",
        "aggregate",
    ),
    "resume from nowhere": ("train resume=nowhere", "resume=nowhere", "folder of a run"),
    "class that cannot be imported": ("train prior._target_=ssvae_cli.priors.Nope", "prior._target_", "imported"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_exit_code_2(name, tmp_path, monkeypatch, capfd):
    command_line, *said = CASES[name]
    monkeypatch.chdir(tmp_path)
    PREPARED.get(name, lambda: None)()
    before = set(tmp_path.rglob("*"))
    line = refused(capfd, *shlex.split(command_line))
    for words in said:
        assert words in line
    assert set(tmp_path.rglob("*")) == before, "a refused run leaves nothing"


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path, capfd):
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text("precious\n")
    (run / "train.log").write_text("precious\n")
    assert "already holds a run" in refused(capfd, "train", f"hydra.run.dir={run}")
    assert {p.name: p.read_text() for p in run.iterdir()} == {"metrics.jsonl": "precious\n", "train.log": "precious\n"}


def test_resume_from_a_folder_that_is_no_run_leaves_it_alone(tmp_path, capfd):
    (tmp_path / "mine.txt").write_text("precious\n")
    assert "not a run" in refused(capfd, "train", f"resume={tmp_path}")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


PACKAGE = Path(__file__).parents[1] / "ssvae_cli"
BUILT = "datasets pairs encoders priors estimators critics.py optimizers.py trainer.py decoders.py evaluation".split()
GROUPS = "dataset pairs encoder encoder_prime prior estimator decoder optimizer trainer evaluation".split()


@pytest.mark.parametrize("part", BUILT)
def test_no_constructor_knows_its_key_in_the_configuration(part):
    """It says 'std must be above 0'; where the part stands is put in front when it is built."""
    whole = part in ("datasets", "pairs")  # what constructs data are functions
    for path in [PACKAGE / part] if part.endswith(".py") else (PACKAGE / part).rglob("*.py"):
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if getattr(node, "name", None) in ("__init__", "__post_init__")]
        nodes = [node for root in ([tree] if whole else functions) for node in ast.walk(root)]
        strings = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
        assert not [text for text in strings if re.match(rf"({'|'.join(GROUPS)})\.\w", text)], path
