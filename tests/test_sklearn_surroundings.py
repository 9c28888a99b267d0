"""`ssvae.SSVAE` in a program of its user: what a fit takes of the program's state, and what it leaves."""

import gc
import os
import signal
import threading

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra

import ssvae_cli as ssvae
from ssvae_cli import train as loop
from ssvae_cli.api import model as api
from ssvae_cli.tracking.record import Record
from ssvae_cli.training.signals import SafePoint
from test_sklearn import X, tiny


def test_fit_leaves_hydra_torch_and_standard_output_as_they_were(capfd):
    GlobalHydra.instance().clear()
    tiny().fit(X)
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_module("ssvae_cli.conf", version_base="1.2"):
        of_user, random = GlobalHydra.instance().hydra, torch.get_rng_state()
        tiny(overrides=["trainer.precision=float64"]).fit(X)
        assert GlobalHydra.instance().hydra is of_user
        assert compose("verify") is not None
    assert torch.equal(torch.get_rng_state(), random) and torch.get_default_dtype() == torch.float32
    assert capfd.readouterr() == ("", "")


def test_a_program_that_needs_no_gradients_or_works_on_another_device_gets_the_same():
    z = tiny().fit(X).transform(X)
    with torch.inference_mode(), torch.device("meta"):
        np.testing.assert_array_equal(tiny().fit(X).transform(X), z)
        assert torch.is_inference_mode_enabled() and torch.get_default_device().type == "meta"


@pytest.mark.parametrize("floats", [torch.float16, torch.bfloat16, torch.float64])
def test_a_program_of_other_floats_or_with_autocast_gets_the_same(floats):
    big = 1e5 * X  # beyond float16
    z = tiny().fit(big).transform(big)
    before = torch.get_default_dtype()
    torch.set_default_dtype(floats)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            np.testing.assert_array_equal(tiny().fit(big).transform(big), z)
            assert torch.is_autocast_enabled("cpu") and torch.get_default_dtype() == floats
    finally:
        torch.set_default_dtype(before)


def test_numbers_are_read_in_the_precision_of_the_run():
    huge = 1e50 * X  # beyond float32
    assert tiny(overrides=["trainer.precision=float64"]).fit(huge).transform(huge).dtype == np.float64
    with pytest.raises(ssvae.UserError, match="^X has values beyond float32"):
        tiny().fit(huge)


def test_fit_gives_freed_memory_back_also_after_a_fault(monkeypatch):
    calls = []
    monkeypatch.setattr(loop, "keep_freed", lambda device: calls.append("kept"))
    monkeypatch.setattr(api, "give_freed_back", lambda: calls.append("given back"))
    monkeypatch.setattr(loop, "make_data", lambda *_, **__: calls[7])
    with pytest.raises(IndexError):
        tiny().fit(X)
    assert calls == ["kept", "given back"]


@pytest.mark.filterwarnings("error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning")
def test_a_fit_that_is_stopped_leaves_neither_a_file_open_nor_a_thread(monkeypatch):
    def stop(safe):
        safe.asked = signal.SIGINT
        return before(safe)

    before = SafePoint.__enter__
    monkeypatch.setattr(SafePoint, "__enter__", stop)
    monkeypatch.setattr(Record, "bytes_written", property(lambda record: record.scalars(0, 0, {"a/b": 1.0}) or 0))
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyboardInterrupt):
        tiny().fit(X)
    gc.collect()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, files)
