"""Names of the numbers that a run reports, `group/name/split`: which groups are ssvae's, and their units."""

UNITS = {  # of a group, or of some of its numbers
    "elbo": "nats",
    "evidence": "nats",
    "mi": "nats",
    "kl": "nats",
    "eq23/residual": "nats",
    "data": "nats",
    "finetune/loss": "nats",
    "time": "s",
    "throughput": "images/s",
}
UNITLESS = {  # and why
    "kl/source": "a word",
    "eq23/residual_in_errors": "a multiple of its error",
    "objective": "what a baseline maximises",
    "probe": "an accuracy",
    "retrieval": "a share",
    "clusters/accuracy": "an accuracy",
    "clusters/used": "a number of clusters",
    "finetune": "accuracies, and numbers of epochs and labels",
    "geometry": "of z, whose scale is the encoder's: distances, a rank, a share",
    "factors": "shares and correlations",
    "prior": "a parameter of P, in the units of z",
    "truth": "as of prior",
    "gradient": "per unit of the weights",
    "optimizer": "a rate",
}
GROUPS = {key.split("/")[0] for key in (*UNITS, *UNITLESS)}


def unit(name: str) -> str:
    """The unit of a number, as a table shows it; none for those of a user's own metric."""
    return UNITS.get(entry(name) or "", "")


def entry(name: str) -> str | None:
    """The longest beginning of a name that stands in UNITS or UNITLESS; None where none does."""
    return next((beginning for beginning in beginnings(name) if beginning in UNITS or beginning in UNITLESS), None)


def beginnings(name: str) -> list[str]:
    """A name and the groups that it is in, the longest first: a/b/c, a/b and a."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def is_own(name: str) -> bool:
    """Whether a number is of a metric that is not ssvae's."""
    return "/" in name and name.split("/")[0] not in GROUPS
