"""What other programs call a setting, a method or a kind of data, in the words of this one: hints of error lines."""

import re

PRESETS = {  # experiment=...: what the method is called elsewhere; docs/methods.md says how near each is
    "methods/simclr": "simclr ntxent nt_xent",
    "methods/clip": "clip",
    "methods/cpc": "cpc",
    "methods/cpc_multi": "cpc_multi",
    "methods/moco": "moco mocov2 mocov3 moco_v2 moco_v3",
    "methods/alignment_uniformity": "alignment_uniformity align_uniform uniformity",
    "methods/vicreg": "vicreg",
    "methods/barlow_twins": "barlow barlow_twins barlowtwins",
    "methods/w_mse": "w_mse wmse",
    "methods/byol": "byol",
    "methods/simsiam": "simsiam",
    "methods/lejepa": "lejepa sigreg",
    "methods/cebra": "cebra",
    "methods/dcl": "dcl dynamics_contrastive_learning",
    "methods/ssl_hsic": "ssl_hsic",
    "methods/swav": "swav sela",
}
METHODS = {  # what it is here: what it is called elsewhere
    "Deep InfoMax is near prior=mi estimator=js": "dim infomax deep_infomax",
    "pairs of one class, as in SupCon, are pairs=supervised": "supcon supervised_contrastive",
    "steps of a sequence are pairs=window or pairs=context": "steps temporal",
    "the ordinary VAE is decoder=conv": "vae beta_vae autoencoder",
    "contrastive learning is prior=infonce": "contrastive nce",
    "Adam is optimizer=adamw optimizer.weight_decay=0": "adam",
}
DATA = {
    "folders of images are dataset=folder dataset.root=PATH": "images imagefolder image_folder photos celeba coco "
    "imagenet imagenet1k imagenet100 tiny_imagenet",
    "tar archives of images are dataset=shards dataset.root=FOLDER": "webdataset wds tar shard tarballs",
    "arrays are dataset=npz dataset.path=FILE.npz": "arrays array numpy npy tensors",
    "tables are dataset=table dataset.path=FILE": "csv tsv parquet pandas dataframe tabular tables",
    "cells are dataset=anndata dataset.path=FILE.h5ad": "h5ad scanpy cells scrna single_cell",
    "data sets of Hugging Face are dataset=huggingface dataset.path=FOLDER": "hf datasets load_from_disk arrow",
    "videos and series are dataset=sequences dataset.path=FILE.npz": "video videos series time_series timeseries",
}
NOT_OFFERED = "data2vec deepcluster dino dinov2 ijepa mae msn nnclr"
KEYS = {
    "trainer.epochs": "max_epochs num_epochs n_epochs epoch",
    "trainer.batch_size": "batch bs batchsize",
    "trainer.device": "gpu gpus cuda accelerator",
    "trainer.precision": "amp fp16 bf16 half",
    "optimizer.lr": "learning_rate learningrate base_lr",
    "optimizer.weight_decay": "wd decay",
    "optimizer.warmup": "warmup_epochs warmup_steps",
    "encoder.latent_dim": "dim dims latent_size z_dim zdim embedding_dim latents",
    "encoder": "model arch architecture backbone network",
    "prior": "loss method objective algorithm",
    "pairs": "augmentation augmentations aug transform transforms",
    "pairs.length": "views n_views num_views",  # of pairs=window, whose views are its steps
    "dataset": "datasets data_set",
    "hydra.run.dir": "out output output_dir outdir out_dir save_dir logdir log_dir",
    "resume": "checkpoint ckpt load restore",
    "prior.critic.temperature": "tau temp",
}


def by_word(table: dict[str, str]) -> dict[str, str]:
    """Each word of the table's values -> its key."""
    return {word: key for key, words in table.items() for word in words.split()}


KEY_OF = by_word(KEYS)
HINT_OF = by_word(METHODS | DATA)
HINT_OF |= {word: f"that method is experiment={preset}" for word, preset in by_word(PRESETS).items()}
HINT_OF |= {word: f"{word} is not offered: docs/methods.md" for word in NOT_OFFERED.split()}


def hint_of(choice: str) -> str | None:
    """What a method or a kind of data of another name is here; None where nothing is known of it."""
    return HINT_OF.get(re.sub(r"[-\s]", "_", choice.lower()))
