import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from editbench.cli.options import parse, shipped, shipped_kinds
from editbench.config import Config, deciding, differences, to_yaml
from editbench.editors import Diffusers, QwenImageEdit, Saved, Unchanged
from editbench.errors import UsageError
from editbench.judges import QwenVL

ROOT = Path(__file__).parent.parent


def parsed(*argv: str, from_run: bool = False) -> Config:
    return parse("A script.", argv, from_run=from_run)


def test_without_a_benchmark_the_demos_models_are_taken():
    config = parsed()
    assert config.editor.model == "editbench:demo/editor"
    assert config.judge.model == "editbench:demo/judge"
    assert config.the_benchmark.name == "pairs.json"
    assert config.the_run == Path("runs/demo")


def test_with_a_benchmark_the_real_models_are_taken():
    config = parsed("--benchmark", "my/bench.json")
    assert config.editor == QwenImageEdit(model="Qwen/Qwen-Image-Edit", num_inference_steps=50, true_cfg_scale=4.0)
    assert config.judge == QwenVL(model="Qwen/Qwen3-VL-30B-A3B-Instruct", max_new_tokens=128)
    assert config.the_run == Path("runs/bench")


def test_the_demos_models_work_on_any_benchmark():
    config = parsed("--config", "demo", "--benchmark", "bench.json")
    assert config.editor.model == "editbench:demo/editor"
    assert config.benchmark == Path("bench.json")


def test_an_editor_is_named_short_or_by_class_path_and_takes_its_own_settings():
    assert parsed("--editor", "Unchanged").editor == Unchanged()
    assert parsed("--editor=editbench.editors.Saved", "--editor.init_args.folder", "x").editor == Saved(folder="x")
    assert (
        parsed("--benchmark", "b.json", "--editor.init_args.num_inference_steps", "8").editor.num_inference_steps == 8
    )


def test_a_class_of_the_users_own_is_an_editor(tmp_path, monkeypatch):
    (tmp_path / "my_editor.py").write_text(
        "from dataclasses import dataclass\n"
        "from editbench.editors import Editor\n"
        "@dataclass(kw_only=True)\n"
        "class Mirror(Editor):\n"
        "    vertical: bool = False\n"
        "    def edit(self, pair, source, seed):\n"
        "        return source\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    editor = parsed("--editor", "my_editor.Mirror", "--editor.init_args.vertical", "true").editor
    assert deciding(editor) == {"class_path": "my_editor.Mirror", "init_args": {"vertical": True}}


@pytest.mark.parametrize("spelling", ["physical,causal", "物理,因果", "Physical,因果", "[physical, causal]"])
def test_categories_are_named_in_english_or_chinese(spelling):
    config = parsed("--categories", spelling)
    assert [config.rubric.category(name) for name in config.categories] == ["physical", "causal"]


def test_a_flag_wins_over_a_configuration_wherever_it_stands(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 3\nlanguage: zh\n", encoding="utf-8")
    for argv in (("--seed", "7", "--config", str(path)), ("--config", str(path), "--seed=7")):
        assert (parsed(*argv).seed, parsed(*argv).language) == (7, "zh")
    argv = ("--editor.init_args.model", "mine", "--config", "qwen-image-edit-2511")
    assert parsed(*argv).editor.model == "mine"
    assert parsed("--editor", "Unchanged", "--config", "qwen-image-edit-2511").editor == Unchanged()


def test_a_file_takes_the_short_spellings_of_the_command_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("run_dir: runs/🙂\ncategories: [物理]\n", encoding="utf-8")
    config = parsed("--config", str(path))
    assert config.run_dir == (Path("runs/🙂"),)
    assert config.categories == parsed("--categories", "物理").categories


@pytest.mark.parametrize("name", ["runs/🙂", "runs/𠮷", "runs/a b", 'runs/"x"', "runs/物理"])
def test_a_run_directory_may_have_any_name(name):
    assert parsed("--run_dir", name).run_dir == (Path(name),)
    assert parsed(f"--run_dir={name}").run_dir == (Path(name),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{n}: &a{n} [{','.join(10 * ['*a' + str(n - 1 or '')])}]\n" for n in range(1, 9)),
            "expand to more than",
        ),
        ("a: &a [*a]\n", "expand to more than"),
        ("[" * 100_000, "is not YAML"),
        ("seed: [1\n", "is not YAML"),
        ("- seed\n", "holds list, not settings"),
    ],
    ids=["bomb", "cycle", "depth", "torn", "list"],
)
def test_a_file_that_is_no_configuration_is_refused_before_it_grows(tmp_path, text, words):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        parsed("--config", str(tmp_path / "mine.yaml"))


def test_several_runs_follow_one_option():
    assert parsed("--run_dir", "a", "b", "--limit", "2").run_dir == (Path("a"), Path("b"))
    with pytest.raises(UsageError, match="one directory, not 2"):
        _ = parsed("--run_dir", "a", "b").the_run


def test_a_flag_stands_alone():
    assert parsed("--load_in_turns", "--limit", "1").load_in_turns
    assert not parsed().load_in_turns


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--limit", "0"), "--limit 0: it must be 1 or more"),
        (("--config", "nope"), "demo"),
        (("--rubric", "FiveAspect"), "Is FiveAspects meant"),
        (("--judge", "nope"), "editbench ls lists the classes"),
        (("--editor.init_args.num_inference_steps", "0"), "1 or more"),
        (("--export", "scores.xlsx"), ".csv or .parquet"),
    ],
)
def test_a_value_that_cannot_be_meant_says_what_can(argv, words):
    with pytest.raises(UsageError, match=words):
        parsed(*argv)


def test_a_parquet_without_pyarrow_is_refused_before_anything_is_done(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install -e '\.\[parquet\]'"):
        parsed("--export", "scores.parquet")
    assert parsed("--export", "scores.csv").export == Path("scores.csv")


@pytest.mark.parametrize("argv", [("--nope",), ("--limit", "many"), ("--editor", "Nope"), ("--language", "fr")])
def test_an_unknown_option_or_type_is_the_users_to_mend(argv):
    with pytest.raises(UsageError, match=argv[-1]):
        parsed(*argv)


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (("--benchmrk", "b.json"), "benchmark"),
        (("--limt=3",), "limit"),
        (("--editor", "Unchangd"), "Unchanged"),
        (("--editor", "QwenImageEdit", "--editor.init_args.modle", "x"), "model"),
        (("--judge.init_args.max_new_token", "9"), "max_new_tokens"),
    ],
)
def test_a_misspelt_name_is_told_with_the_nearest_one(argv, meant):
    with pytest.raises(UsageError, match=f"Is {meant} meant"):
        parsed(*argv)


def test_a_misspelt_key_of_a_yaml_file_is_told_with_the_nearest_one(tmp_path):
    (tmp_path / "mine.yaml").write_text("benchmrk: x\n")
    with pytest.raises(UsageError, match="'benchmrk' is not accepted\n  Is benchmark meant"):
        parsed("--config", str(tmp_path / "mine.yaml"))


def test_a_class_that_is_not_found_says_where_it_is_looked_for():
    with pytest.raises(UsageError, match=r"No module named 'my_package'\n.*PYTHONPATH"):
        parsed("--editor", "my_package.Mine")


@pytest.mark.parametrize("plugin", ["editor", "judge", "rubric"])
def test_the_classes_there_are_can_be_asked_for(plugin, capsys):
    with pytest.raises(UsageError) as told:
        parsed(f"--{plugin}.help")
    names = [kind.__name__ for kind in shipped_kinds(plugin)]
    assert {"editor": "QwenImageEdit", "judge": "QwenVL", "rubric": "FiveAspects"}[plugin] in names
    assert all(name in str(told.value) for name in names)
    with pytest.raises(SystemExit) as end:
        parsed(f"--{plugin}.help", names[0])
    assert end.value.code == 0
    assert f"[--{plugin}." in capsys.readouterr().out


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_configuration_parses_and_is_written_back_the_same(name, tmp_path):
    config = parsed("--config", name)
    path = tmp_path / "again.yaml"
    path.write_text(to_yaml(config))
    assert parsed("--config", str(path)) == config


def test_a_run_remembers_its_configuration_and_flags_win(tmp_path):
    made = parsed("--run_dir", str(tmp_path), "--benchmark", "b.json", "--language", "zh", "--seed", "3")
    (tmp_path / "config.yaml").write_text(to_yaml(made))
    assert parsed("--run_dir", str(tmp_path), from_run=True) == made
    again = parsed("--run_dir", str(tmp_path), "--rubric.init_args.judge_sees", "edit", from_run=True)
    assert (again.rubric.judge_sees, again.language, again.editor) == ("edit", "zh", made.editor)
    assert parsed("--run_dir", str(tmp_path)).language == "en"  # editing says all of it, so that a change is noticed


def test_a_run_of_another_kind_of_editor_is_remembered_too(tmp_path):
    made = parsed("--run_dir", str(tmp_path), "--editor", "Saved", "--editor.init_args.folder", "x")
    (tmp_path / "config.yaml").write_text(to_yaml(made))
    assert parsed("--run_dir", str(tmp_path), from_run=True).editor == Saved(folder="x")


def test_a_class_of_ones_own_is_found_in_the_current_folder(tmp_path, monkeypatch):
    lines = ["from dataclasses import dataclass", "from editbench.editors import Unchanged", "@dataclass"]
    (tmp_path / "beside_me.py").write_text("\n".join([*lines, "class Mine(Unchanged): pass", ""]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert type(parsed("--editor", "beside_me.Mine").editor).__name__ == "Mine"
    assert sys.path[-1] == str(tmp_path)  # after every other place


def test_differences_name_the_setting_and_both_values():
    old = deciding(QwenImageEdit(num_inference_steps=8))
    new = deciding(QwenImageEdit(num_inference_steps=50))
    assert differences(old, new) == ["init_args.num_inference_steps: 8 there, 50 now"]
    assert differences(old, old) == []
    assert differences(old, deciding(Diffusers(model="x")))[0].startswith("class_path")


@pytest.mark.parametrize("script", ["edit.py", "score.py", "report.py"])
def test_help_answers_without_torch(script):
    code = (
        f"import runpy, sys; sys.argv = ['{script}', '--help']\ntry: runpy.run_path('{script}', run_name='__main__')\n"
    )
    code += "finally: sys.stderr.write('torch' * ('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "--editor" in done.stdout


@pytest.mark.parametrize("script", ["edit.py", "score.py", "report.py"])
def test_the_printed_configuration_is_yaml_that_reads_back(script, tmp_path):
    argv = [sys.executable, script, "--editor", "Unchanged", "--limit", "3", "--print_config"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert yaml.safe_load(done.stdout)["limit"] == 3
    path = tmp_path / "printed.yaml"
    path.write_text(done.stdout)
    assert parsed("--config", str(path)).editor == Unchanged()
