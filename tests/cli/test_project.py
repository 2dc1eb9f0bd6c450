"""Where a project is, what it configures, and what its files are called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coflux.project import ConfigError, find_project, module_of_file


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith("COFLUX_"):
            monkeypatch.delenv(variable)


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# -- root and data directory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["coflux.toml", "pyproject.toml"])
def test_the_root_is_the_nearest_directory_with_a_project_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / "pyproject.toml")
    write(tmp_path / "inner" / name)
    (tmp_path / "inner" / "a" / "b").mkdir(parents=True)
    project = find_project(str(tmp_path / "inner" / "a" / "b"))
    assert project.root == str(tmp_path / "inner")
    assert project.data_dir == str(tmp_path / "inner" / ".coflux")


def test_without_a_project_file_the_directory_itself_is_the_root(tmp_path: Path) -> None:
    assert find_project(str(tmp_path)).root == str(tmp_path)


def test_a_symbolic_link_leads_to_the_same_project(tmp_path: Path) -> None:
    write(tmp_path / "real" / "coflux.toml")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert find_project(str(tmp_path / "link")) == find_project(str(tmp_path / "real"))


def test_the_data_directory_comes_from_the_flag_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COFLUX_DATA_DIR", "from-environment")
    assert find_project().data_dir == str(tmp_path / "from-environment")
    assert find_project(data_dir="from-flag").data_dir == str(tmp_path / "from-flag")


def test_a_deleted_current_directory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="current directory does not exist"):
        find_project()


def test_the_socket_is_in_the_data_directory(tmp_path: Path) -> None:
    assert find_project(str(tmp_path), "/d").socket_path == "/d/supervisor.sock"


def test_a_long_data_directory_has_a_short_private_socket_path(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    project = find_project(str(tmp_path), str(long))
    assert len(os.fsencode(project.socket_path)) <= 100
    assert project.socket_path != find_project(str(tmp_path), str(long / "other")).socket_path
    project.prepare()
    assert Path(project.socket_path).parent.stat().st_mode & 0o777 == 0o700


def test_prepare_makes_a_private_data_directory_that_git_ignores(tmp_path: Path) -> None:
    project = find_project(str(tmp_path))
    project.prepare()
    project.prepare()
    assert (tmp_path / ".coflux").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / ".coflux" / ".gitignore").read_text() == "*\n"


def test_prepare_names_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    write(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"cannot create the data directory .*/file/data: Not a directory"):
        find_project(str(tmp_path), str(tmp_path / "file" / "data")).prepare()


# -- settings ---------------------------------------------------------------------------------------------------------


def test_defaults(tmp_path: Path) -> None:
    settings = find_project(str(tmp_path)).settings
    assert settings.modules == ()
    assert settings.concurrency >= 1
    assert (settings.isolation, settings.preload) == ("shared", "auto")
    assert (settings.grace, settings.import_timeout, settings.max_depth) == (0.0, 60.0, 1000)
    assert (settings.keep_for, settings.keep_size) == (90 * 86400.0, 10 << 30)


CONFIGURATION = """
modules = ["app.flows"]
concurrency = 3
isolation = "fresh"
start_method = "spawn"
preload = ["numpy"]
grace = 2
import_timeout = 1.5
max_depth = 50
keep_for = "2w"
keep_size = "1.5 GiB"
"""


@pytest.mark.parametrize(("name", "header"), [("coflux.toml", ""), ("pyproject.toml", "[tool.coflux]\n")])
def test_every_setting_can_be_configured(tmp_path: Path, name: str, header: str) -> None:
    path = write(tmp_path / name, header + CONFIGURATION)
    project = find_project(str(tmp_path))
    assert project.config_file == str(path)
    assert project.settings == (("app.flows",), 3, "fresh", "spawn", ("numpy",), 2.0, 1.5, 50, 1209600.0, 3 << 29, ())


def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "coflux.toml", CONFIGURATION)
    monkeypatch.setenv("COFLUX_MODULES", "one, two.three")
    monkeypatch.setenv("COFLUX_CONCURRENCY", "7")
    monkeypatch.setenv("COFLUX_PRELOAD", "off")
    monkeypatch.setenv("COFLUX_GRACE", "0.5")
    monkeypatch.setenv("COFLUX_ISOLATION", "")
    settings = find_project(str(tmp_path)).settings
    assert settings.modules == ("one", "two.three")
    assert (settings.concurrency, settings.preload, settings.grace) == (7, "off", 0.5)
    assert settings.isolation == "fresh"


@pytest.mark.parametrize(
    ("keep_for", "seconds", "keep_size", "size"),
    [
        ("off", None, "off", None),
        ("0", None, "0", None),
        ("3600", 3600.0, "1000", 1000),
        ("1d12h", 129600.0, "2.5kb", 2500),
        ("0.5", 0.5, "1 TiB", 1 << 40),
    ],
)
def test_ages_and_sizes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keep_for: str,
    seconds: float | None,
    keep_size: str,
    size: int | None,
) -> None:
    monkeypatch.setenv("COFLUX_KEEP_FOR", keep_for)
    monkeypatch.setenv("COFLUX_KEEP_SIZE", keep_size)
    settings = find_project(str(tmp_path)).settings
    assert (settings.keep_for, settings.keep_size) == (seconds, size)


def test_a_coflux_toml_is_the_only_file_read(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool.coflux]\nconcurrency = 1\n")
    write(tmp_path / "coflux.toml", "concurrency = 2\n")
    assert find_project(str(tmp_path)).settings.concurrency == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("concurency = 2", "unknown key 'concurency'; did you mean 'concurrency'?"),
        ("zzz = 2", "unknown key 'zzz'"),
        ("concurrency = 0", "concurrency must be a whole number of at least 1, not 0"),
        ("concurrency = true", "concurrency must be a whole number of at least 1, not True"),
        ('concurrency = "2"', "concurrency must be a whole number of at least 1, not '2'"),
        ("grace = -1", "grace must be a number of seconds, 0 or more, not -1"),
        ("grace = nan", "grace must be a number of seconds, 0 or more, not nan"),
        ("import_timeout = 0", "import_timeout must be a number of seconds above 0, not 0"),
        ('isolation = "none"', 'isolation must be "shared" or "fresh", not \'none\''),
        ('modules = "app"', "modules must be a list of names, not 'app'"),
        ("preload = [1]", 'preload must be "auto", "off" or a list of packages, not [1]'),
        ('keep_for = "long"', "keep_for must be a duration (seconds, or like 1h30m), or \"off\", not 'long'"),
        (
            'keep_size = "10 XB"',
            'keep_size must be a number of bytes, like "10GB" or "512MiB", or "off", not \'10 XB\'',
        ),
        ("keep_size = true", 'keep_size must be a number of bytes, like "10GB" or "512MiB", or "off", not True'),
        ("concurrency = = 2", "Invalid value (at line 1, column 15)"),
    ],
)
def test_a_bad_configuration_names_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "coflux.toml", text)
    with pytest.raises(ConfigError) as caught:
        find_project(str(tmp_path))
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("COFLUX_CONCURRENCY", "many", "COFLUX_CONCURRENCY must be a whole number of at least 1, not 'many'"),
        ("COFLUX_ISOLATION", "FRESH", 'COFLUX_ISOLATION must be "shared" or "fresh", not \'FRESH\''),
        (
            "COFLUX_CONCURENCY",
            "2",
            "unknown environment variable COFLUX_CONCURENCY; did you mean 'COFLUX_CONCURRENCY'?",
        ),
    ],
)
def test_a_bad_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        find_project(str(tmp_path))
    assert str(caught.value) == message


def test_variables_of_others_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COFLUX_HOST", "example.org")
    assert find_project(str(tmp_path)).config_file == ""


# -- file targets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packages", "file", "module", "entry"),
    [
        ([], "flow.py", "flow", "."),
        ([], "jobs/flow.py", "flow", "jobs"),
        (["app", "app/jobs"], "app/jobs/flow.py", "app.jobs.flow", "."),
        (["app"], "app/__init__.py", "app", "."),
        (["src", "src/app"], "src/app/flow.py", "app.flow", "src"),
        ([], "src/flow.py", "flow", "src"),
    ],
)
def test_a_file_is_called_what_python_would_import(
    tmp_path: Path, packages: list[str], file: str, module: str, entry: str
) -> None:
    for package in packages:
        write(tmp_path / package / "__init__.py")
    path = write(tmp_path / file)
    assert module_of_file(str(path)) == (module, str((tmp_path / entry).resolve()))
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import {module} as m; print(m.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / entry)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.py", "there is no file"),
        ("notes.txt", "is not a Python file"),
        ("a.b.py", "rename 'a.b', a module's name has no dots"),
        ("queue.py", "the name 'queue' belongs to the standard library"),
        ("coflux.py", "the name 'coflux' belongs to coflux itself"),
        ("src/__init__.py", "is not part of a package"),
    ],
)
def test_files_that_cannot_be_targets(tmp_path: Path, file: str, message: str) -> None:
    if file != "missing.py":
        write(tmp_path / file)
    with pytest.raises(ConfigError, match=message):
        module_of_file(str(tmp_path / file))
