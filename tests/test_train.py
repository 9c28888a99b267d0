"""One run, end to end: what it writes, and that the same seed gives the same numbers."""

import io
import json
import math
import re

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers import ssvae, train
from ssvae_cli import train as module
from ssvae_cli.distributed.threads import described

SUMMARY = set(
    """
    elbo/test elbo/test/error elbo/test/low elbo/test/high evidence/test kl/test kl/test/error kl/test/low kl/test/high
    kl/marginal/test kl/conditional/test kl/dimensions/sum/test kl/dimensions/sum/test/error kl/dimensions/largest/test
    kl/dimensions/between/test kl/source mi/fresh/test mi/fresh/test/error mi/fresh/test/low
    mi/fresh/test/high eq23/residual eq23/residual_in_errors
    mi/infonce/test mi/dv/test mi/nwj/test mi/infonce/ceiling/test mi/dv/ceiling/test mi/nwj/ceiling/test
    probe/linear/test probe/knn/test probe/linear/random_init probe/linear/pixels
    probe/linear_z/test probe/linear_z/random_init probe/knn_z/test
    clusters/accuracy/test clusters/used/test probe/linear_1_percent/test probe/linear_10_percent/test
    geometry/alignment/test geometry/uniformity/test geometry/rank/test geometry/noise/test
    time/train_s throughput/images_per_s data/log_n_test data/mi_true views seed device versions
    """.split()
)
SCORES = "r2_z mcc accuracy_z disentanglement completeness informativeness r2 accuracy".split()
SUMMARY |= {f"retrieval/recall_{k}{way}/test" for k in (1, 5, 10) for way in ("", "_reverse")}
SUMMARY |= {f"factors/{score}/{place}" for score in SCORES for place in ("test", "random_init")}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "infonce"
    train(run, "prior=infonce")
    return run


def test_the_run_folder_holds_what_the_design_names(run):
    names = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    assert {".hydra/config.yaml", "train.log", "metrics.jsonl", "summary.json", "encoder.safetensors"} <= names
    assert {"checkpoints/last.pt", "figures/pairs.png", "figures/scores.png", "figures/curves.png"} <= names
    assert len([n for n in names if n.startswith("events.out.tfevents")]) == 1
    assert not [n for n in names if n.endswith(".tmp")]


def test_the_summary_has_every_key_and_sound_values(run):
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary) == SUMMARY
    assert summary["probe/linear/test"] > 0.8
    assert summary["mi/infonce/test"] <= summary["mi/infonce/ceiling/test"] == pytest.approx(math.log(397))
    assert summary["elbo/test"] >= summary["mi/dv/test"] >= summary["mi/nwj/test"]
    assert summary["kl/source"] == ("classifier" if summary["kl/test"] else "classifier: found no difference")


OTHER_RUNS = [
    "prior=mi",
    "prior=unstructured_normal",
    "decoder=conv",
    "prior=unstructured_normal decoder=conv decoder.likelihood=gaussian",
    "posterior=gaussian encoder_prime=separate estimator=leave_one_out",
    "prior=mi prior/critic=mlp estimator=nwj encoder@encoder_prime=mlp",
    "prior=laplace prior.marginal=encoder encoder.latent_dim=4",
    "prior=laplace prior.space=box posterior=logit_normal estimator=aggregate encoder.latent_dim=4",
]


@pytest.mark.parametrize("overrides", OTHER_RUNS)
def test_every_run_has_the_same_summary_keys_and_an_elbo_or_its_upper_end(overrides, tmp_path):
    """Under an explicit prior few samples do not settle the density of a deterministic encoder's latents."""
    summary = train(tmp_path / "run", "trainer.epochs=1", *overrides.split())
    of_law = {key for key in summary if key.startswith("prior/")}
    coordinates = {key for key in summary if key.startswith("kl/dimensions/z")}
    assert set(summary) - of_law - coordinates == SUMMARY and bool(of_law) == ("prior=laplace" in overrides)
    assert summary["elbo/test/high"] is not None
    assert (summary["elbo/test"] is None) == (summary["evidence/test"] is None)
    noisy = any(word in overrides for word in ("posterior=", "decoder=conv", "unstructured"))
    assert (summary["geometry/noise/test"] is not None) == noisy
    assert summary["elbo/test"] is not None or noisy or "prior=laplace" in overrides


def test_metrics_have_an_epoch_a_line_and_no_clock_times(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert {"elbo/train", "elbo/validation", "probe/linear/validation", "probe/knn/validation"} <= set(lines[-1])
    assert not [key for key in lines[-1] if "time" in key or "throughput" in key]


def test_the_same_seed_gives_the_same_metrics_and_another_seed_others(run, tmp_path):
    train(tmp_path / "same", "prior=infonce")
    train(tmp_path / "other", "prior=infonce", "seed=1")
    metrics = (run / "metrics.jsonl").read_bytes()
    assert (tmp_path / "same" / "metrics.jsonl").read_bytes() == metrics
    assert (tmp_path / "other" / "metrics.jsonl").read_bytes() != metrics


def test_tensorboard_holds_scalars_layout_hparams_and_pictures_in_one_run(run):
    events = EventAccumulator(str(run))
    events.Reload()
    tags = events.Tags()
    assert {"elbo/train", "elbo/validation", "probe/linear/validation", "probe/linear/test"} <= set(tags["scalars"])
    assert {"figures/pairs", "figures/scores"} <= set(tags["images"])
    (picture,) = events.Images("figures/pairs")
    png = (run / "figures" / "pairs.png").read_bytes()
    assert picture.encoded_image_string == png and (picture.width, picture.height) == Image.open(io.BytesIO(png)).size
    plugins = events.summary_metadata
    assert any("hparams" in tag for tag in plugins) and any("custom_scalars" in tag for tag in plugins)


@pytest.fixture(params=["EventAccumulator", "tbparse"])
def reader(request):
    if request.param == "tbparse":
        tbparse = pytest.importorskip("tbparse", reason="tbparse is not installed")
        return lambda run: tbparse.SummaryReader(str(run)).scalars
    return lambda run: EventAccumulator(str(run)).Reload()


def test_readers_of_tensorboards_files_have_nothing_to_warn_of(reader, run, caplog):
    assert reader(run) is not None
    assert not [record.message for record in caplog.records if record.levelname == "WARNING"]


def test_no_tag_has_two_values_at_one_step(run):
    events = EventAccumulator(str(run)).Reload()
    for tag in events.Tags()["scalars"]:
        steps = [event.step for event in events.Scalars(tag)]
        assert len(steps) == len(set(steps)), tag


def test_the_hparams_table_is_left_to_tensorboard_which_joins_the_keys_of_all_runs(run):
    from tensorboard.plugins.hparams import metadata

    plugins = EventAccumulator(str(run)).Reload().summary_metadata
    assert metadata.EXPERIMENT_TAG not in plugins and metadata.SESSION_START_INFO_TAG in plugins
    content = plugins[metadata.SESSION_START_INFO_TAG].plugin_data.content
    keys = metadata.parse_session_start_info_plugin_data(content).hparams
    assert keys["prior"].string_value == "infonce" and keys["optimizer.warmup"].number_value > 0
    assert "prior.critic.temperature" in keys and not [key for key in keys if key.endswith("_target_")]


def test_a_run_begins_with_a_line_of_what_it_is(run):
    log = (run / "train.log").read_text()
    assert f"cpu, {described(torch.get_num_threads())}; samples: 1200 train, 200 validation, 397 test; " in log
    assert "; 67,880 parameters; 3 steps an epoch" in log
    assert f"tensorboard --logdir {run}" in log and re.search(r"reading test 1/\d+  elbo", log)


def test_a_fault_of_the_program_keeps_its_traceback_also_in_the_log(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(module, "make_objective", broken)
    with pytest.raises(ZeroDivisionError):
        ssvae("train", f"hydra.run.dir={tmp_path}/run")
    log = (tmp_path / "run" / "train.log").read_text()
    assert "Traceback" in log and "ZeroDivisionError: a fault" in log
