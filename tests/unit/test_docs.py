"""The documents say what the code does."""

import re
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.errors_pb2 import ErrorReason
from signupd import errors
from signupd.check.findings import Check
from signupd.cli import app
from signupd.errors import SignupdError
from signupd.ledger.postgres import CONNECTIONS
from signupd.notation import read_grants
from signupd.rpc.statuses import STATUSES
from typer.testing import CliRunner

from examples.web.texts import TEXTS
from tests.documented import ROOT, blocks


def test_every_check_is_documented() -> None:
    """The table of docs/operations.md names all that `signupd check` looks at."""
    text = (ROOT / "docs" / "operations.md").read_text()
    _, _, section = text.partition("\n## Checking Kratos\n")

    names = re.findall(
        r"^\| `([a-z_]+)` \|", section.partition("\n## ")[0], re.MULTILINE
    )

    assert [*Check] == names


ERRORS = {
    error.reason: error
    for error in vars(errors).values()
    if isinstance(error, type)
    and issubclass(error, SignupdError)
    and "reason" in vars(error)
}


def error_rows() -> dict[str, tuple[str, str]]:
    """Read the table of docs/errors.md: status and RetryInfo by reason, in order."""
    text = (ROOT / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| ([A-Z_]+) \| ([A-Z_]+) \| (\w+) \|", text, re.MULTILINE)
    return {reason: (status, retry) for reason, status, retry in rows}


def test_every_error_is_documented() -> None:
    """The table of docs/errors.md has each reason with its status, in their order."""
    documented = [(reason, status) for reason, (status, _) in error_rows().items()]

    assert [(reason, row.code.name) for reason, row in STATUSES.items()] == documented


@pytest.mark.parametrize("reason", [r for r in STATUSES if r in ERRORS])
def test_retry_is_documented(reason: str) -> None:
    """An error that always says when to come back is documented to do so."""
    always = ERRORS[reason].retry_seconds is not None
    _, documented = error_rows()[reason]

    assert always == (documented == "yes" and reason != "RESEND_TOO_SOON")


def test_the_web_example_has_a_text_for_every_reason() -> None:
    """It has each reason and rule of the documents, alike in every language."""
    text = (ROOT / "docs" / "errors.md").read_text()
    (row,) = re.findall(r"^\| PASSWORD_REJECTED .*", text, re.MULTILINE)
    rules = re.findall(r"\b(?:TOO_)?[A-Z]{4,}\b(?!_)", row.partition("`reason` is")[2])
    wanted = {*error_rows(), *rules, "DOMAIN_BLOCKED"} - {"ACCOUNT_NOT_FOUND"}
    blanks = [
        {name: set(re.findall(r"{\w+}", text)) for name, text in texts.items()}
        for texts in TEXTS.values()
    ]

    assert 2 == len(blanks)
    assert blanks[0] == blanks[1]
    assert set() == wanted - {*blanks[0]}


def test_the_web_example_is_short() -> None:
    """What docs/integration.md says of its length holds."""
    parts = (ROOT / "examples" / "web").rglob("*.*")
    code = [path for path in parts if path.suffix in {".py", ".html", ".css", ".js"}]

    assert "less than 600 lines" in (ROOT / "docs" / "integration.md").read_text()
    assert 100 < sum(len(path.read_text().splitlines()) for path in code) < 600


def test_what_a_copy_of_the_web_example_needs() -> None:
    """examples/README.md names its packages, as pyproject.toml does."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    needed = {one.partition(">")[0] for one in groups["web"]}
    (told,) = re.findall(
        r"from PyPI,\n\n```\n(.*?)\n```", (ROOT / "examples/README.md").read_text()
    )

    assert {*told.split()} == needed | {"grpcio-status", "httpx"}


def test_callers_in_the_documents() -> None:
    """The example of CALLERS in docs/operations.md can be used as it stands."""
    text = (ROOT / "docs" / "operations.md").read_text()
    (example,) = re.findall(r"SIGNUPD_CALLERS='(.*)'", text)

    assert 2 == len(read_grants(example))


def test_connections_in_the_documents() -> None:
    """docs/operations.md says how many connections a server opens to PostgreSQL."""
    text = (ROOT / "docs" / "operations.md").read_text()

    assert f"Each opens up to {CONNECTIONS} connections" in text


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("States and screens", [*pb.SignupState.keys()]),
        ("Reasons and screens", [*ErrorReason.keys()]),
    ],
)
def test_every_name_has_a_screen(heading: str, names: list[str]) -> None:
    """The guide for callers maps each state and each reason to a screen, once."""
    text = (ROOT / "docs" / "integration.md").read_text()
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z_]+) \| \S.* \|$", section, re.MULTILINE)
    prefix = names[0].removesuffix("UNSPECIFIED")

    assert sorted(name.removeprefix(prefix) for name in names[1:]) == sorted(rows)


DEPTHS = "*.md", "*/*.md", "deploy/*/*.md"
PROGRAMS = r"promtool|make|signupd|python3?|go|kratos|docker|\S+/aiosmtpd"
# The commands that other tests run. Running any test takes those of the first line,
# except `docker`, which no test runs.
ELSEWHERE = {
    "conftest.py": r"git clone .*|cd signupd|source .*/activate|pytest .*|docker .*",
    "e2e/test_bench.py": r"python -m bench .*",
    "e2e/test_compose.py": r"(call|token|TOKEN=|until CODE=|  tr -d) ?.*",
    "e2e/test_examples.py": r"\(cd examples/.*|go generate|python -m signup_example .*",
    "e2e/test_grpcurl.py": r"\S*grpcurl -.*|go install \S+/cmd/grpcurl@latest",
    "e2e/test_kratos_readme.py": r"(export|go build|\S*(kratos|smtpd)) .*",
    "integration/test_kubernetes.py": r"kubectl .*|mkdir .*|\(umask 077; cd deploy/.*",
    "integration/test_alerts.py": r"promtool .*",
    "integration/test_web.py": r"python -m (examples\.)?web",
    "integration/test_stubs.py": r"python3 -m venv .*",
    "limbo/test_backup.py": r"\(umask 077; (sqlite|pg_).*|(install|pg_restore) .*",
}


def test_every_command_is_tried() -> None:
    """A command is a target of make, is taken by signupd, or is run by another test."""
    targets = re.findall(r"\n([a-z]+):.*##", (ROOT / "Makefile").read_text())
    found = []
    pages = {page for depth in DEPTHS for page in ROOT.glob(depth)}
    for path in pages - {ROOT / "SECURITY.md"}:
        found += "".join(blocks(str(path))).splitlines()
        found += re.findall(rf"`((?:{PROGRAMS}) [^`\n]+)`", path.read_text())
    for line in found:
        command, *words = line.partition(" #")[0].split()
        if command == "make":
            assert words[0] in targets
        elif command.endswith("signupd"):
            done = CliRunner().invoke(app, [*words, "--help"])
            assert 0 == done.exit_code, line
        elif command != "#":
            assert re.fullmatch("|".join(ELSEWHERE.values()), line), line
    assert [] == [name for name in ELSEWHERE if not (ROOT / "tests" / name).exists()]
    assert len(found) > 40


# Where the code of each language may come from; stubs lie deeper.
SOURCES = {
    "python": "python/*/*.py",
    "go": "go/*.go",
    "typescript": "typescript/*.ts",
    "json": "*.json",
    "yaml": "go/*.yaml",
}


@pytest.mark.parametrize("language", SOURCES)
def test_code_is_from_the_examples(language: str) -> None:
    """Each piece of code in the guide for callers stands in an example."""
    text = (ROOT / "docs" / "integration.md").read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    paths = (ROOT / "examples").glob(SOURCES[language])
    files = [path.read_text() for path in paths]

    assert blocks
    assert [] == [b for b in blocks if not any(_stands_in(b, file) for file in files)]


def test_other_code_is_for_a_shell() -> None:
    """The guide has code in no language that is not held against the examples."""
    text = (ROOT / "docs" / "integration.md").read_text()

    assert {*SOURCES, "sh"} == set(re.findall(r"^```(.+)$", text, re.MULTILINE))


def _stands_in(block: str, file: str) -> bool:
    """Tell whether a file has these lines, indented by whatever their place asks."""
    lines, size = file.splitlines(), len(block.splitlines())
    starts = range(len(lines) - size + 1)
    return any(
        dedent("\n".join(lines[start : start + size])) == block.rstrip("\n")
        for start in starts
    )


def test_documents_named_by_the_readme_exist() -> None:
    """Each file that the README sends its reader to, or shows, is there."""
    text = (ROOT / "README.md").read_text()

    named = re.findall(r"\b(?:docs|kratos)/[\w./-]+\b|\b[A-Z]+\.md\b", text)

    assert [] == [name for name in named if not (ROOT / name).exists()]
    assert len(named) > 4


def anchors(page: Path) -> set[str]:
    """Name a page's headings, as its address on GitHub does."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}


def test_links_lead_somewhere() -> None:
    """Each link from a page to a file here, or to a heading, has its goal."""
    lost, found = [], 0
    for page in {page for depth in DEPTHS for page in ROOT.glob(depth)}:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = link.partition("#")
            goal = (page.parent / path) if path else page
            found += "://" not in link
            if "://" not in link and not (
                goal.exists() and (not anchor or anchor in anchors(goal))
            ):
                lost.append(f"{page.name}: {link}")

    assert [] == lost
    assert found > 40


@pytest.mark.parametrize(
    "page", ["SECURITY.md", "docs/answers.md", "docs/reliability.md"]
)
def test_tests_named_as_proof_exist(page: str) -> None:
    """Whatever a page says is shown by a test has that test."""
    text = (ROOT / page).read_text()
    files = {ROOT / name for name in re.findall(r"`(tests/[\w/]+\.py)`", text)}
    names = set(re.findall(r"`(?:\w+::)?(test_\w+|Test\w+)`", text))
    code = "".join(file.read_text() for file in files)

    assert [] == [file for file in files if not file.exists()]
    assert [] == [name for name in names if not re.search(rf"\b{name}\b", code)]
    assert files
    assert names
