"""Completion in the shell: Hydra's, of a command's words as Hydra knows them, without what the command refuses."""

import contextlib
import re
from collections.abc import Iterator

from ssvae_cli.cli.overrides import unread_parts

ALONE = ("-m", "--multirun")  # options that no value follows


def line_for_hydra(line: str, command: str) -> str:
    """The line that is being completed, without the command and without paths that stand alone: Hydra takes its first
    word as the program's name, and each other one as an override."""
    program, *words = re.sub(rf"^(\s*\S+)\s+{command}\b", r"\1", line).lstrip().split(" ")
    known = [
        word
        for before, word in zip([program, *words], words[:-1], strict=False)
        if "=" in word or word[:1] in ("-", "+", "~") or (before.startswith("-") and before not in ALONE)
    ]
    return " ".join([program, *known, *words[-1:]])


@contextlib.contextmanager
def leaving_out_unread(command: str) -> Iterator[None]:
    """Inside, Hydra offers no group, choice or key of a part that the command does not read."""
    from hydra.plugins.completion_plugin import CompletionPlugin

    query, unread = CompletionPlugin._query, unread_parts(command)

    def read(plugin: CompletionPlugin, config_name: str | None, line: str) -> list[str]:
        offered = query(plugin, config_name=config_name, line=line)
        return [word for word in offered if re.split("[./@=]", word.lstrip("+~"))[0] not in unread]

    CompletionPlugin._query = read
    try:
        yield
    finally:
        CompletionPlugin._query = query
