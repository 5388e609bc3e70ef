"""What the documentation says is so: the example configuration loads and its comments are right, links lead somewhere, the README
names doors and commands that exist."""

import re

import pytest
from harness import DOORS, ROOT, run_command

EXAMPLE = ROOT / "docs/meshglass.yaml"
FOLDERS = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "build"))]
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in folder.rglob("*.md"))])
SETTING = re.compile(r"^(?:# )?([a-z_.]+): (.*?) +# (.*)$", re.M)


def settings(*arguments):
    """key -> (value, origin), as `config` prints them."""
    done = run_command("config", *arguments)
    assert done.returncode == 0, done.stderr
    return {key: (value, origin) for key, value, origin in SETTING.findall(done.stdout)}


def test_example_is_accepted():
    done = run_command("check", EXAMPLE)
    assert done.returncode == 0, done.stderr


def test_example_differs_from_the_defaults_where_it_says_so():
    """`Not the default` stands above the settings that differ, and nowhere else."""
    here, defaults = settings("--config", EXAMPLE), settings()
    given = {key for key, (_, origin) in here.items() if "meshglass.yaml" in origin}
    differing = {key for key in given if here[key][0] != defaults[key][0]} - {"data_dir"}
    assert differing | {"live.ring_bytes"} == {"live.ring_bytes", "sampling.policies", "store.retention", "store.disk_max"}  # a quarter of memory may be just that
    assert len(given) >= 15
    assert EXAMPLE.read_text().count("Not the default") == 3


def test_a_mistake_in_the_example_is_found(tmp_path):
    """The proof that the test above can fail."""
    copy = tmp_path / "meshglass.yaml"
    copy.write_text(EXAMPLE.read_text().replace("retention:", "retentoin:"))
    done = run_command("check", copy)
    assert done.returncode == 1 and "store.retention" in done.stderr, done.stderr


def test_the_generated_page_is_complete():
    page = (ROOT / "docs/configuration.md").read_text()
    assert page.startswith("<!--") and "--regenerate" in page.splitlines()[0]
    for key in settings():
        assert f"| `{key}` |" in page, key


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), target


def misplaced(table):
    """What the rules' table says of files and functions that is not so: it stands in the folder of the collector or the root."""
    for row in re.findall(r"^\| R\d+ .*$", table, re.M):
        for name, function in re.findall(r"`([\w/]+\.[ch])`(?: \(`(\w+)`\))?", row):
            path = next((place / name for place in (ROOT / "collector", ROOT) if (place / name).is_file()), None)
            if path is None or function and not re.search(rf"^\w.*\b{function}\(.*[^;]$", path.read_text(), re.M):
                yield f"{name} {function}"


def test_the_rules_are_kept_where_the_table_says():
    table = (ROOT / "collector/README.md").read_text()
    assert len(re.findall(r"^\| R\d+ ", table, re.M)) == 16
    assert list(misplaced(table)) == []
    assert list(misplaced(table.replace("(`shut_down`)", "(`shut_up`)"))) == ["program/program.c shut_up"]
    assert list(misplaced(table.replace("`ingest/replay.c`", "`ingest/again.c`"))) == ["ingest/again.c "]


def test_readme_names_what_there_is():
    text = (ROOT / "README.md").read_text()
    defaults = settings()
    for door in DOORS:
        assert f"| `{door}` | {defaults[f'listen.{door}'][0]} |" in text.replace('"', ""), door
    for command in re.findall(r"meshglass-collector ((?:journal|store) \w+|[a-z]+)\b", text):
        assert run_command(*command.split(), "--help").returncode == 0, command
