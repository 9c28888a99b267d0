"""What `ssvae COMMAND --help` lists of the groups that the command has."""

import os
import textwrap

WIDTH = 100


def groups() -> str:
    """A paragraph a group of the configuration at hand: its name and its choices, what is chosen first."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    loader, chosen = GlobalHydra.instance().config_loader(), {}
    for key, choice in HydraConfig.get().runtime.choices.items():
        group, _, place = key.partition("@")
        if not group.startswith("hydra"):
            chosen.setdefault(group, {})[place] = str(choice or "null")
    listed = []
    for group, places in sorted(chosen.items()):
        many = f"@{os.path.commonprefix(list(places))}NAME" if len(places) > 1 else ""
        words = dict.fromkeys([*places.values(), *loader.get_group_options(group)])
        listed.append(textwrap.fill(", ".join(words), WIDTH, initial_indent=f"  {group + many:<16} ",
                                    subsequent_indent=" " * 19, break_on_hyphens=False))  # fmt: skip
    return "\n".join(listed)
