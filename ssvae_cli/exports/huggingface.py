"""A folder as Hugging Face's hub keeps models: config.json, model.safetensors and a model card with the figures."""

import contextlib
import json
import shutil
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from ssvae_cli import __version__
from ssvae_cli.exports.weights import described
from ssvae_cli.files import write_text
from ssvae_cli.instantiate.types import choice_of
from ssvae_cli.load_run import Loaded
from ssvae_cli.tracking.names import unit
from ssvae_cli.training import portable

CARD = """# {title}

An encoder trained by [ssvae](https://arxiv.org/abs/2107.02495), self-supervised variational autoencoders, version
{version}: z = g(x), with the prior `{prior}` over pairs of latents.

## Use

```python
import ssvae_cli as ssvae

encoder = ssvae.load("{folder}")  # this folder
features, z = encoder.features(x), encoder.z(x)
```

{input}. Features are what comes before the projector; z is the mean of Q(z|x), of {latent_dim} dimensions. The folder
serves as RUN in `ssvae embed`, `ssvae eval`, `ssvae finetune` and `init_from`. Without ssvae, `model.safetensors` holds
the weights: `encoder.backbone.*`, `encoder.projector.*`, and those of prior and critic.

## Training

{settings}

## Figures

{figures}

Those of test were read once, after the last epoch. ELBO, I and KL are in nats.
{pictures}"""


def huggingface(loaded: Loaded, run: Path, folder: Path) -> Path:
    """The folder huggingface/: the model, its card README.md, and the run's pictures."""
    folder = folder / "huggingface"
    folder.mkdir()
    about = {"architectures": ["TrainedEncoder"], "ssvae_version": __version__, **described(loaded)}
    portable.save(folder, loaded.state, about)
    pictures = sorted((run / "figures").glob("*.png"))
    for picture in pictures:
        (folder / "figures").mkdir(exist_ok=True)
        shutil.copy(picture, folder / "figures" / picture.name)
    write_text(folder / "README.md", card(loaded, run, [picture.name for picture in pictures]))
    return folder


def card(loaded: Loaded, run: Path, pictures: list[str]) -> str:
    """The model card: what the hub reads between dashes, then what people read."""
    values = summary_of(run)
    dataset, prior = loaded.config.dataset._target_.rpartition(".")[2], choice_of(type(loaded.objective.prior))
    metrics = [{"type": name, "value": value} for name, value in values.items()]
    result = {"task": {"type": "feature-extraction"}, "dataset": {"name": dataset, "type": dataset}, "metrics": metrics}
    head = {"library_name": "ssvae", "pipeline_tag": "feature-extraction", "tags": ["self-supervised-learning", prior]}
    head |= {"model-index": [{"name": run.name, "results": [result]}]} if metrics else {}
    rows = [f"| `{name}` | {value:.4f} | {unit(name)} |" for name, value in values.items()]
    body = CARD.format(
        title=run.name,
        version=__version__,
        prior=prior,
        folder=run.name,
        input=sentence(loaded),
        latent_dim=loaded.config.encoder.latent_dim,
        settings=settings_of(loaded),
        figures="\n".join(["| | value | unit |", "|---|---|---|", *rows]) if rows else "The run has reported none.",
        pictures="".join(f"\n![{Path(name).stem}](figures/{name})\n" for name in pictures),
    )
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{body}"


def sentence(loaded: Loaded) -> str:
    """What x is."""
    kind = described(loaded)["input"]
    shape = ", ".join(map(str, ["N", *kind["shape"]]))
    what = "uint8, pixels of 0 to 255" if kind["dtype"] == "uint8" else "floats"
    return f"x is {what}, [{shape}], and is normalised by the encoder"


def settings_of(loaded: Loaded) -> str:
    """The configuration's groups, as YAML."""
    config = OmegaConf.masked_copy(loaded.config, ["dataset", "pairs", "encoder", "posterior", "prior", "estimator",
                                                   "optimizer", "trainer", "seed"])  # fmt: skip
    return f"```yaml\n{OmegaConf.to_yaml(config)}```"


def summary_of(run: Path) -> dict[str, float]:
    """The numbers of a run's summary; {} of one that has not ended."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((run / "summary.json").read_text("utf-8"))
        return {name: value for name, value in found.items() if isinstance(value, float) and "/" in name}
    return {}
