"""Names of the numbers that a run reports, `group/name/split`: which groups are ssvae's, and their units."""

UNITS = {
    "elbo": "nats",
    "evidence": "nats",
    "mi": "nats",
    "kl": "nats",
    "eq23": "",
    "probe": "",
    "retrieval": "",
    "finetune": "",
    "geometry": "",
    "factors": "",
    "data": "nats",
    "gradient": "",
    "optimizer": "",
    "time": "s",
    "throughput": "images/s",
}


def unit(name: str) -> str:
    """The unit of a number, as a table shows it; none for those of a user's own metric."""
    return "nats" if name == "eq23/residual" else UNITS.get(name.split("/")[0], "")


def is_own(name: str) -> bool:
    """Whether a number is of a metric that is not ssvae's."""
    return "/" in name and name.split("/")[0] not in UNITS
