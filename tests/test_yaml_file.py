"""One reader of YAML: what it refuses, in a line with the place, for every kind of file that people write."""

import pytest

from tolerance.auditing.claims import read_claim
from tolerance.axes.model_shape import read_shapes
from tolerance.data.importers import read_mapping
from tolerance.data.yaml_file import read_yaml
from tolerance.errors import SchemaError
from tolerance.runners.collect.plan import Plan

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = [
    (b"\xff\xfe\x00", "not UTF-8"),
    (b"[" * 5000, "nested too deeply"),
    (b"a: [", "line 1: .*Give"),
    (BOMB.encode(), "more than 200,000 values once aliases are followed"),
    (b"a: &a [*a]", "line 1: an alias that holds itself"),
    (b"models: [a]\nlevels: 1\nmodels: [b]", "line 3: 'models' stands here a second time"),
    (b"a: 2026-13-45", "a value cannot be read"),
    (b'a: "\\ud800"', "lone surrogate"),
    (b"a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    (b"a: !!timestamp x", "a value cannot be read"),
]
READERS = [read_mapping, read_claim, read_shapes, Plan.from_yaml]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("content", "said"), REFUSED)
def test_every_kind_of_file_refuses_it_alike(tmp_path, read, content, said):
    path = tmp_path / "given.yaml"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=said) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_aliases_and_json_are_read(tmp_path):
    path = tmp_path / "given.yaml"
    path.write_text("a: &x {k: 1}\nb: {<<: *x, m: 2}")
    assert read_yaml(path, expected="x") == {"a": {"k": 1}, "b": {"k": 1, "m": 2}}
    path.write_text('\ufeff{"a": [1, null]}', encoding="utf-8")
    assert read_yaml(path, expected="x") == {"a": [1, None]}
