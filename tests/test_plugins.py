"""A name is answered by what is ours, registered, installed or importable; errors say whose fault it is."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tolerance import SchemaError
from tolerance.plugins import Registry, is_loose, search


class Thing:
    """What the registries of this file hold."""


OURS = Thing()


def registry(**others):
    return Registry("tolerance.tests", "thing", lambda found: isinstance(found, Thing), {"ours": OURS}, **others)


def package(folder: Path, name: str, entries: str, module: str = "") -> None:
    """An installed package, as importlib finds it: its module and its metadata."""
    (folder / f"{name}.py").write_text(module or "from tests.test_plugins import Thing\nTHING = Thing()\n")
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[tolerance.tests]\n{entries}\n")
    (info / "RECORD").write_text(f"{name}.py,,\n{name}-1.2.dist-info/METADATA,,\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path; what is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_an_installed_package_answers_by_its_entry_point_and_is_named_with_its_version(site):
    package(site, "stranger", "theirs = stranger:THING")
    things = registry()
    assert list(things) == ["ours", "theirs"]
    assert len(things) == 2
    assert "stranger" not in sys.modules
    assert isinstance(things["theirs"], Thing)
    assert things["theirs"] is things["theirs"]
    assert things.sources(things) == {"theirs": "stranger 1.2"}
    assert things.ours == ("ours",)


def test_a_package_that_comes_onto_the_path_later_is_seen(site, tmp_path_factory, monkeypatch):
    things, later = registry(), tmp_path_factory.mktemp("later")
    assert list(things) == ["ours"]
    package(later, "stranger", "theirs = stranger:THING")
    monkeypatch.syspath_prepend(later)
    assert list(things) == ["ours", "theirs"]


def test_a_name_that_nothing_answers_lists_what_there_is(site):
    package(site, "stranger", "theirs = stranger:THING")
    with pytest.raises(
        SchemaError, match=r"^thing 'their' unknown\. Known: ours, theirs; or module:name of your own\.$"
    ):
        registry().find("their")
    with pytest.raises(KeyError):
        registry()["their"]
    assert registry().get("their") is None


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import nowhere_at_all", r"ModuleNotFoundError: No module named 'nowhere_at_all'\). Mend that module"),
        ("1 / 0", r"ZeroDivisionError: division by zero\). Mend that module"),
        ("raise KeyError('theirs')", r"KeyError: 'theirs'\). Mend that module"),
        ("def broken(:", r"SyntaxError: .*\). Mend that module"),
        ("OTHER = 1", "stranger has no THING"),
        ("THING = 3", r": 3 is none\. See CONTRIBUTING"),
    ],
)
def test_a_broken_package_is_named(site, module, said):
    package(site, "stranger", "theirs = stranger:THING", module)
    with pytest.raises(SchemaError, match=said) as error:
        registry().find("theirs")
    assert str(error.value).startswith("thing 'theirs'")
    if "none" not in said:
        assert "of stranger 1.2" in str(error.value)


def test_a_broken_package_does_not_keep_others_from_their_names(site):
    package(site, "stranger", "theirs = stranger:THING", "1 / 0")
    assert registry().find("ours") is OURS
    assert list(registry()) == ["ours", "theirs"]


def test_a_name_that_two_packages_give_is_refused_until_it_is_said_which(site):
    package(site, "stranger", "theirs = stranger:THING")
    package(site, "another", "theirs = another:THING")
    with pytest.raises(SchemaError, match=r"the name of several: .*(stranger|another).*Say which as module:name"):
        registry().find("theirs")
    assert registry().find("another:THING") is not registry().find("stranger:THING")
    assert registry().source("another:THING") == "another 1.2"


def test_a_package_cannot_take_a_name_of_ours(site):
    package(site, "stranger", "ours = stranger:THING")
    for ask in (registry().find, registry().source):
        with pytest.raises(SchemaError, match=r"'ours' is the name of several: tolerance, stranger \(stranger:THING\)"):
            ask("ours")


def test_a_package_that_is_found_twice_on_the_path_is_one(site, tmp_path_factory, monkeypatch):
    again = tmp_path_factory.mktemp("again")
    for folder in (site, again):
        package(folder, "stranger", "theirs = stranger:THING")
    monkeypatch.syspath_prepend(again)
    assert isinstance(registry().find("theirs"), Thing)


def test_a_decorator_registers_and_a_taken_name_is_refused():
    things = registry(made=lambda found: found() if isinstance(found, type) else found)

    @things.register("mine")
    class Mine(Thing):
        pass

    assert isinstance(things["mine"], Mine)
    assert things.source("mine").startswith("tests.test_plugins (sha256 ")
    for taken in ("ours", "mine"):
        with pytest.raises(SchemaError, match=f"thing {taken!r} is there already"):
            things.register(taken)(Thing())
    with pytest.raises(SchemaError, match="thing 'ours' is there already"):
        things.lazily("ours", "stranger:THING")
    with pytest.raises(SchemaError, match=r"thing 'odd': 3 is none\. A thing is a Thing\."):
        registry(needs="A thing is a Thing").register("odd")(3)
    things.forget("mine")
    assert "mine" not in things


def test_a_cell_that_is_run_again_registers_again():
    things, made = registry(made=lambda found: found()), []
    for _ in range(2):

        @things.register("mine")
        class Mine(Thing):
            pass

        made.append(Mine)
    assert type(things["mine"]) is made[1] is not made[0]


def test_an_instance_of_a_class_of_ours_is_still_whose_module_made_it(site):
    things = registry()
    things.register("instance")(Thing())
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert things.source("instance") == f"tests.test_plugins (sha256 {digest})"


def test_a_loose_module_is_found_in_the_folders_searched_and_known_by_its_hash(site, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("beside")
    text = "from tests.test_plugins import Thing\n\n\nclass Holder:\n    thing = Thing()\n"
    (folder / "loose_thing.py").write_text(text)
    things = registry()
    with pytest.raises(SchemaError, match="put the file beside the plan or into the working directory"):
        things.find("loose_thing:Holder.thing")
    monkeypatch.setattr(sys, "path", [*sys.path])
    search([folder, folder])
    assert sys.path[-1] == str(folder)
    assert sys.path.count(str(folder)) == 1
    assert isinstance(things.find("loose_thing:Holder.thing"), Thing)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert things.source("loose_thing:Holder.thing") == f"loose_thing (sha256 {digest})"
    # it is no name that is listed
    assert "loose_thing:Holder.thing" not in things
    assert list(things) == ["ours"]


def test_a_folder_of_one_s_own_is_not_the_package_that_bears_its_name(site, tmp_path_factory, monkeypatch):
    package(site, "stranger", "theirs = stranger:THING")
    own = tmp_path_factory.mktemp("own")
    (own / "stranger.py").write_text("from tests.test_plugins import Thing\nTHING = Thing()\n")
    monkeypatch.syspath_prepend(own)
    assert str(registry().source("stranger:THING")).startswith("stranger (sha256 ")


def test_an_alias_is_another_word_for_a_name():
    things = registry(aliases={"hours": "ours"})
    assert things.find("hours") is OURS
    assert things.name_of("hours") == things.name_of("ours") == "ours"
    assert list(things) == ["ours"]
    assert "hours" in things
    assert things.source("hours") is None
    with pytest.raises(SchemaError, match="'hours' is there already"):
        things.register("hours")(Thing())


@pytest.mark.parametrize(
    ("name", "loose"),
    [
        ("a:B", True),
        ("a.b:C.d", True),
        ("magnitude-2:4", False),
        ("2:4", False),
        ("a:b:c", False),
        ("file.jsonl", False),
    ],
)
def test_what_is_of_the_form_module_and_name(name, loose):
    assert is_loose(name) is loose


def test_listing_names_of_all_registries_imports_no_plug_in(site):
    package(site, "stranger", "theirs = stranger:THING", "raise SystemExit('imported')")
    code = "from tolerance.plugins import Registry; print(list(Registry('tolerance.tests', 'thing', callable)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "['theirs']", done.stderr
