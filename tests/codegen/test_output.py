"""Files are written whole or not at all, and never over what optode did not write."""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import sys
import traceback
from pathlib import Path

import pytest
import torch

import optode
from optode.codegen.files import differences, sealed, write_modules, write_new
from optode.codegen.in_memory import class_from_text
from optode.diagnostics import SpecError

MODULE = "# Generated.\n# SHA-256 of the spec: 00\n\nimport math\n"


class Decay(torch.nn.Module):
    def forward(self, t, h):
        return -h


def codes(error):
    return [diagnostic.code for diagnostic in error.value.diagnostics]


def test_seal_stands_at_the_end_of_the_header():
    lines = sealed(MODULE).splitlines()
    assert lines[:2] == MODULE.splitlines()[:2]
    assert lines[2].startswith("# Module SHA-256: ")
    assert lines[3:] == MODULE.splitlines()[2:]
    assert sealed(MODULE) == sealed(MODULE)


def test_text_without_a_header_is_sealed_on_its_first_line():
    assert sealed("import math\n").splitlines()[1] == "import math"


def test_writes_into_new_directories(tmp_path):
    path = tmp_path / "a" / "b" / "m.py"
    assert write_modules({path: sealed(MODULE)}) == (path,)
    assert path.read_bytes() == sealed(MODULE).encode()


def test_overwrites_its_own_older_file(tmp_path):
    path = tmp_path / "m.py"
    write_modules({path: sealed(MODULE)})
    assert write_modules({path: sealed(MODULE + "x = 1\n")}) == (path,)
    assert path.read_text().endswith("x = 1\n")


def test_leaves_an_equal_file_alone(tmp_path):
    path = tmp_path / "m.py"
    write_modules({path: sealed(MODULE)})
    os.utime(path, (1, 1))
    assert write_modules({path: sealed(MODULE)}) == ()
    assert path.stat().st_mtime == 1


def test_another_check_out_of_line_ends_is_no_edit(tmp_path):
    path = tmp_path / "m.py"
    path.write_bytes(sealed(MODULE).replace("\n", "\r\n").encode())
    assert differences({path: sealed(MODULE)}) == ""
    assert write_modules({path: sealed(MODULE)}) == ()
    write_modules({path: sealed(MODULE + "x = 1\n")})
    assert b"\r" not in path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"import math\n", b"\xff\x00\xfe"])
def test_keeps_a_file_of_somebody_else(tmp_path, content):
    path = tmp_path / "m.py"
    path.write_bytes(content)
    with pytest.raises(SpecError) as error:
        write_modules({path: sealed(MODULE)})
    assert codes(error) == ["E601"]
    assert "optode did not write it" in str(error.value) and "--force" in str(error.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("part", ["math", "Generated", "Module SHA-256: "])
def test_keeps_an_edited_file(tmp_path, part):
    path = tmp_path / "m.py"
    edited = sealed(MODULE).replace(part, part + "0" if part.endswith(" ") else "edited")
    path.write_text(edited)
    with pytest.raises(SpecError) as error:
        write_modules({path: sealed(MODULE)})
    assert codes(error) in (["E602"], ["E601"])
    assert path.read_text() == edited


def test_force_overwrites_both(tmp_path):
    foreign, edited = tmp_path / "foreign.py", tmp_path / "edited.py"
    foreign.write_text("1\n")
    edited.write_text(sealed(MODULE) + "2\n")
    texts = {foreign: sealed(MODULE), edited: sealed(MODULE)}
    with pytest.raises(SpecError) as error:
        write_modules(texts)
    assert sorted(codes(error)) == ["E601", "E602"]
    write_modules(texts, force=True)
    assert foreign.read_text() == edited.read_text() == sealed(MODULE)


def test_all_or_none(tmp_path):
    (tmp_path / "taken.py").mkdir()
    texts = {tmp_path / name: sealed(MODULE) for name in ("first.py", "taken.py", "last.py")}
    with pytest.raises(SpecError) as error:
        write_modules(texts)
    assert codes(error) == ["E603"]
    assert "taken.py" in str(error.value) and "directory" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.py"]


def test_nothing_is_left_behind_when_preparing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda size: "same")  # the second file cannot be made
    texts = {tmp_path / "first.py": sealed(MODULE), tmp_path / "second.py": sealed(MODULE)}
    with pytest.raises(SpecError) as error:
        write_modules(texts)
    assert codes(error) == ["E603"]
    assert list(tmp_path.iterdir()) == []


def test_path_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError) as error:
        write_modules({tmp_path / "first.py": "", tmp_path / "file" / "m.py": ""})
    assert codes(error) == ["E603"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_unwritable_directory(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SpecError) as error:
        write_modules({tmp_path / "m.py": sealed(MODULE)})
    assert codes(error) == ["E603"]


def test_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.py", tmp_path / "m.py"
    target.write_text(sealed(MODULE))
    link.symlink_to(target)
    write_modules({link: sealed(MODULE + "x = 1\n")})
    assert link.is_symlink() and target.read_text().endswith("x = 1\n")


def test_mode_is_kept(tmp_path):
    path = tmp_path / "m.py"
    path.write_text(sealed(MODULE))
    path.chmod(0o640)
    write_modules({path: sealed(MODULE + "x = 1\n")})
    assert path.stat().st_mode & 0o777 == 0o640


def test_new_file_only_where_there_is_none(tmp_path):
    write_new(tmp_path / "a.yaml", "name: a\n")
    with pytest.raises(SpecError) as error:
        write_new(tmp_path / "a.yaml", "name: b\n")
    assert codes(error) == ["E601"]
    assert (tmp_path / "a.yaml").read_text() == "name: a\n"


def test_differences(tmp_path):
    path, missing = tmp_path / "m.py", tmp_path / "missing.py"
    write_modules({path: sealed(MODULE)})
    assert differences({path: sealed(MODULE)}) == ""
    diff = differences({path: sealed(MODULE + "x = 1\n"), missing: "y = 2\n"})
    assert "+x = 1" in diff and f"--- {missing} (missing)" in diff and "+y = 2" in diff
    assert not missing.exists()


def test_generate_writes_what_it_returns(tmp_path):
    paths = optode.generate("heavy_ball", "gradient_descent.yaml", directory=tmp_path)
    assert paths == [tmp_path / "heavy_ball.py", tmp_path / "gradient_descent.py"]
    assert paths[0].read_text() == optode.derive("heavy_ball").module_text


def test_generate_reports_all_specs_and_writes_none(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\n")
    with pytest.raises(SpecError) as error:
        optode.generate("heavy_ball", bad, "nope", directory=tmp_path / "out")
    assert {"E101", "E108"} <= set(codes(error))
    assert not (tmp_path / "out").exists()


def test_two_specs_of_one_name(tmp_path):
    text = Path("specs/heavy_ball.yaml").read_text().replace("HBNODE", "OtherNODE")
    (tmp_path / "other.yaml").write_text(text)
    with pytest.raises(SpecError) as error:
        optode.generate("heavy_ball", tmp_path / "other.yaml", directory=tmp_path)
    assert codes(error) == ["E604"]
    assert len(optode.generate("heavy_ball", "heavy_ball", directory=tmp_path)) == 1


def test_check_returns_the_errors():
    assert optode.check("adam") == ()
    assert [error.code for error in optode.check("nope")] == ["E101"]


def test_compile_is_the_generated_module(tmp_path, monkeypatch):
    compiled = optode.compile("heavy_ball")
    optode.generate("heavy_ball", directory=tmp_path / "made")
    monkeypatch.syspath_prepend(tmp_path)
    imported = importlib.import_module("made.heavy_ball").HBNODE
    assert compiled.__name__ == imported.__name__ == "HBNODE"
    assert compiled.__module__ == "optode_compiled.heavy_ball"
    assert inspect.getsource(compiled) == inspect.getsource(imported)


def test_compile_twice_gives_the_same_class():
    assert optode.compile("heavy_ball") is optode.compile("heavy_ball.yaml")


def test_compiled_instances_pickle():
    made = class_from_text("class Box:\n    value = 3\n", "pickled", "Box")
    assert pickle.loads(pickle.dumps(made())).value == 3


def test_compiled_node_pickles_and_is_traced():
    node = optode.compile("gradient_descent")(Decay())
    twin = pickle.loads(pickle.dumps(node))
    h, t = torch.randn(3, 2), torch.tensor(0.5)
    assert torch.equal(node(h), twin(h))
    traced = torch.compile(node.vector_field, fullgraph=True, backend="eager")
    assert torch.equal(traced(t, (h,))[0], -h)


def test_compiled_tracebacks_show_the_source():
    made = class_from_text("def fail():\n    raise ValueError  # here\n", "failing", "fail")
    with pytest.raises(ValueError) as error:
        made()
    assert "raise ValueError  # here" in "".join(traceback.format_tb(error.value.__traceback__))


def test_compiled_text_can_change():
    assert class_from_text("a = 1\n", "changing", "a") == 1
    assert class_from_text("a = 2\n", "changing", "a") == 2


def test_compiled_module_that_fails_is_not_kept():
    for _ in range(2):
        with pytest.raises(ImportError):
            class_from_text("import no_such_module_at_all\n", "broken", "a")
    assert "optode_compiled.broken" not in sys.modules
