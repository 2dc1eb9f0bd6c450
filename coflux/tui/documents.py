"""Pages to be read: a target's documentation, a module that does not import, a project without targets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from coflux.display.text import duration
from coflux.executor.messages import ModuleError, ParameterInfo, TargetInfo
from coflux.task_options import TaskOptions
from coflux.tui.details import Line
from coflux.tui.engine_state import EngineState
from coflux.tui.painting import Glyphs
from coflux.tui.text import cell_len, clean, fit, pad

__all__ = ["FIRST_STEPS", "describe_error", "describe_options", "describe_target", "empty_page"]

LABEL_WIDTH = 12  # cells
MOST_NAME = 24  # cells of a parameter's name
LISTED = 8  # modules or files that were searched

FIRST_STEPS = """\
import coflux as cf

@cf.workflow()
def hello(name: str = "world"):
    cf.log_info("Hello, {name}!", name=name)
    return len(name)
"""


def describe_target(info: TargetInfo, width: int, glyphs: Glyphs) -> list[Line]:
    """The docstring, the parameters, the options, and where it is defined."""
    lines: list[Line] = []
    doc = info.doc.strip()
    for line in doc.splitlines() or ["(no docstring)"]:
        lines += _plain(line, width, "" if doc else "dim")
    lines += [[], [("Parameters", "bold")]]
    if info.parameters:
        names = min(max(cell_len(clean(_label(one))) for one in info.parameters), MOST_NAME)
        for parameter in info.parameters:
            lines += _parameter(parameter, names, width)
    else:
        lines.append([("  none", "dim")])
    options = list(describe_options(info.spec.options))
    lines += [[], [("Options", "bold")]]
    for label, text in options or [("none", "")]:
        lines += _labelled(label, text, width)
    lines += [[], [("Defined", "bold")], [(f"  {clean(info.file)}:{info.line}", "cyan")]]
    lines += _labelled("target", f"{info.spec.module}/{info.spec.name} ({info.spec.type})", width)
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells, broken at spaces where there are some; what it is indented by stays."""
    lines: list[str] = []
    while cell_len(text) > width:
        part = fit(text, width, "")
        space = part.rstrip().rfind(" ")
        if space > width // 3:
            part = part[: space + 1]
        lines.append(part.rstrip() or part)
        text = text[len(part) or 1 :]
    return [*lines, text] if text or not lines else lines


def _plain(text: str, width: int, style: str = "") -> list[Line]:
    return [[(part, style)] for part in _wrapped(clean(text), max(width, 1))] or [[]]


def _label(parameter: ParameterInfo) -> str:
    return {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind, "") + parameter.name


def _parameter(parameter: ParameterInfo, names: int, width: int) -> list[Line]:
    annotation = clean(parameter.annotation or "")
    default = "" if parameter.default is None else f"{' ' if annotation else ''}= {clean(parameter.default)}"
    head = f"  {pad(clean(_label(parameter)), names)}  "
    texts = _wrapped(annotation + default, max(width - cell_len(head), 8)) or [""]
    lines: list[Line] = [[(head, ""), (texts[0], "dim")]]
    return lines + [[(" " * cell_len(head), ""), (text, "dim")] for text in texts[1:]]


def _labelled(label: str, text: str, width: int) -> list[Line]:
    texts = _wrapped(clean(text), max(width - LABEL_WIDTH - 2, 8)) or [""]
    return [[(f"  {'' if index else label:<{LABEL_WIDTH}}", ""), (part, "dim")] for index, part in enumerate(texts)]


def describe_options(options: TaskOptions) -> Iterator[tuple[str, str]]:
    """The options that are not as they would be without saying anything: a name and what is said."""
    cache = options.cache
    if cache is not None:
        said = "for ever" if cache.max_age is None else f"for {duration(cache.max_age)}"
        said += "" if cache.params is None else f", by {', '.join(cache.params) or 'no parameter'}"
        said += f", namespace {cache.namespace}" if cache.namespace else ""
        yield "cache", said + (f", version {cache.version}" if cache.version else "")
    if options.retries is not None:
        limit, least, most = options.retries
        count = "any number" if limit is None else str(limit)
        pause = "at once" if most == 0 else f"{duration(least)} to {duration(most)} apart"
        yield "retries", f"{count}, {pause}"
    if options.timeout:
        yield "timeout", duration(options.timeout)
    if options.memo is not None:
        memo = options.memo
        yield "memo", ("on" if memo else "off") if isinstance(memo, bool) else f"by {', '.join(memo)}"
    if options.recurrent:
        yield "recurrent", "starts again when it has ended"
    if options.defer is not None:
        yield "defer", f"only the newest counts, by {', '.join(options.defer) or 'no parameter'}"
    if options.delay:
        yield "delay", duration(options.delay)
    if options.wait:
        yield "wait", f"for {', '.join(options.wait)}"
    for tag, values in options.requires.items():
        said = {True: "any", False: "none"}[values] if isinstance(values, bool) else " or ".join(values)
        yield "requires", f"{tag}: {said}"


def describe_error(error: ModuleError, width: int) -> list[Line]:
    """What is wrong with a module, where, and the whole traceback."""
    lines: list[Line] = []
    if error.file:
        lines.append([(clean(f"{error.file}:{error.line}" if error.line else error.file), "cyan")])
    lines += [*_plain(error.message, width, "red bold"), []]
    for line in error.traceback.rstrip().splitlines():
        lines += _plain(line, width, _traceback_style(line))
    return [*lines, [], [("Save the file when it is mended, then press u to look again.", "dim")]]


def _traceback_style(line: str) -> str:
    if line.lstrip().startswith("File "):
        return "cyan"
    return "" if line.startswith("    ") else "dim"


def empty_page(engine: EngineState, width: int, glyphs: Glyphs) -> list[Line]:
    """What was searched for targets and how, and how to begin."""
    searched = [clean(os.path.relpath(file, engine.root)) for file in engine.files.values()]
    searched = [*(f"module {clean(name)}" for name in engine.modules), *searched]
    lines: list[Line] = [[], [("  No workflows and no tasks here yet", "bold")], []]
    lines += _labelled("searched", engine.root, width)
    if searched:
        lines += _list(searched, width)
        lines += _said("These import, and define no @cf.workflow or @cf.task.", width)
    else:
        lines += _said("No Python file below it imports coflux.", width)
        lines += _said("Hidden directories and virtual environments are left out. Or name modules or files:", width)
        lines.append([("  ", ""), (" " * LABEL_WIDTH, ""), ("coflux dev my.module path/to/file.py", "cyan")])
    lines += [
        [],
        [("  Save this as ", ""), ("hello.py", "bold"), (", then press ", ""), ("u", "bold"), (" to look again:", "")],
    ]
    lines.append([])
    lines += [[("    ", ""), (line, "green")] for line in FIRST_STEPS.splitlines()]
    lines += [
        [],
        [("  Nothing to write yet? ", "dim"), ("coflux dev --demo", "cyan"), (" plays one that is there.", "dim")],
    ]
    return lines


def _said(text: str, width: int) -> list[Line]:
    return _labelled("", text, width)


def _list(entries: Sequence[str], width: int) -> list[Line]:
    lines = [line for entry in entries[:LISTED] for line in _said(entry, width)]
    more = len(entries) - LISTED
    return lines + (_said(f"and {more} more", width) if more > 0 else [])
