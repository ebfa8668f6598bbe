"""A configuration says everything that is wrong with it, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ucoder.config import load_config, parse_config, preset_names
from ucoder.consensus.selection import rule_of
from ucoder.errors import ConfigError


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid(name: str) -> None:
    solutions = load_config(name).solutions
    assert solutions.n >= rule_of(solutions).tau


def test_the_papers_recipe_is_the_default() -> None:
    training = parse_config({}).consolidation
    assert (training.epochs, training.learning_rate, training.batch_size) == (3.0, 5e-6, 128)
    assert (training.schedule, training.lora, training.iterations) == ("cosine", None, 7)
    assert parse_config({}).solutions.n == 128
    rule = rule_of(parse_config({}).solutions)
    assert (rule.selector, rule.rho, rule.tau, rule.min_share) == ("consensus", 0.8, 3, 0.0)
    assert load_config("paper-7b").consolidation == training


def test_every_fault_is_reported_at_once_with_the_allowed_range() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(
            {
                "seed": -1,
                "solutions": {"n": 2, "tau": 3, "roh": 0.8},
                "problems": {"sampling": {"temperature": 9}},
                "consolidation": {"batch_size": 10, "micro_batch_size": 4},
                "evalution": {},
            }
        )
    message = str(caught.value)
    assert message.startswith("6 faults")
    for part in (
        "seed=-1: must be greater than or equal to 0",
        "solutions.roh: unknown key; did you mean rho?",
        "problems.sampling.temperature=9: must be less than or equal to 2",
        "batch_size=10 is not a multiple of micro_batch_size=4",
        "tau=3 is more than n=2",
        "evalution: unknown key; did you mean evaluation?",
    ):
        assert part in message


def test_overrides_are_yaml_and_reach_into_sections() -> None:
    config = load_config("demo", ["solutions.n=5", "engine={provider: transformers}", "seed=3"])
    assert (config.solutions.n, config.engine.provider, config.seed) == (5, "transformers", 3)
    assert load_config("demo", ["consolidation.lora=null"]).consolidation.lora is None


@pytest.mark.parametrize("override", ["solutions.n", "=3", "solutions.n=[", "solutions=3"])
def test_bad_overrides_are_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=r"solutions|key=value"):
        load_config("demo", [override])


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a preset"):
        load_config("nowhere")
    bad = tmp_path / "bad.yaml"
    bad.write_text("- 1")
    with pytest.raises(ConfigError, match="must be a mapping"):
        load_config(str(bad))
    bad.write_text("a: [")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_config(str(bad))


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"batch_size=128 is not a multiple of .*=4 x n_processes=3"
    ):
        load_config("paper-7b", ["consolidation.n_processes=3"])


def test_a_provider_alone_stands_for_its_section_and_takes_further_settings() -> None:
    config = load_config("scripted", ["scale=ray", "scale.n_replicas=2"])
    assert (config.scale.provider, config.scale.n_replicas) == ("ray", 2)


def test_a_server_is_not_trained() -> None:
    server = ["engine=openai", "engine.server.url=http://localhost:1/v1"]
    with pytest.raises(ConfigError, match="keeps serving the same model"):
        load_config("demo", server)
    data_only = ["consolidation.provider=none", "consolidation.iterations=1"]
    assert load_config("demo", [*server, *data_only]).engine.server.max_retries == 8


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null\n", "{}\n"])
def test_a_file_without_settings_is_not_the_papers_whole_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"empty\.yaml holds no settings"):
        load_config(str(path), ["problems.n=3"])


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("seed: 1\nmodel: scripted\nseed: 2\n", "seed", "1 and 3"),
        ("solutions:\n  n: 4\n  tau: 2\n  n: 8\n", "n", "2 and 4"),
        ("solutions: {n: 4, n: 8}\n", "n", "1 and 1"),
        ('problems: {n: 3}\n"problems": {n: 4}\n', "problems", "1 and 2"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(
    tmp_path: Path, text: str, key: str, lines: str
) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"'{key}' is given twice, in lines {lines}"):
        load_config(str(path))


def test_a_key_that_is_given_twice_in_an_override_is_refused() -> None:
    with pytest.raises(ConfigError, match="'n' is given twice"):
        load_config("scripted", ["solutions={n: 4, n: 8}"])


def test_anchors_and_merges_are_no_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text(
        "model: scripted\nproblems: {sampling: &s {temperature: 0.5, max_tokens: 99}}\n"
        "ratings:\n  sampling:\n    <<: *s\n    temperature: 0.7\n"
    )
    sampling = load_config(str(path)).ratings.sampling
    assert (sampling.temperature, sampling.max_tokens) == (0.7, 99)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x7fELF\x02\x01\x01\x00\xff\xfe", "not a text file in UTF-8"),
        (bytes(range(256)), "not a text file in UTF-8"),
        ("model: \u00e9t\u00e9".encode("latin-1"), "not a text file in UTF-8"),
        (b"model: \x00\x01", "not valid YAML"),
        (b"seed: 2024-13-45", "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
    ],
    ids=["program", "bytes", "latin-1", "control", "date", "deep"],
)
def test_a_file_that_is_no_yaml_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(str(path))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.benchmarks=humaneval", r"write a list, such as \[humaneval\]"),
        ("evaluation.k=1", r"write a list, such as \[1\]"),
        ("evaluation.data=x.jsonl", "write a mapping of keys"),
        ("problems.n=many", "must be a whole number"),
        ("solutions.rho=high", "must be a number"),
        ("solutions.raising_may_win=perhaps", "must be true or false"),
        ("model=7", "must be text; write it in quotes"),
        ("evaluation.benchmarks=[humanevel]", r"did you mean humaneval\?; known: "),
        ("evaluation.benchmarks=[zzz]", "is not a benchmark; known: "),
    ],
)
def test_a_fault_is_told_in_the_words_of_the_file(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load_config("scripted", [override])
    assert "Input should be" not in str(raised.value)


@pytest.mark.parametrize("selector", ["agreement", "mbr_soft", "random"])
def test_tau_is_checked_only_for_selectors_that_use_it(selector: str) -> None:
    assert load_config("scripted", ["solutions.n=2", f"solutions.selector={selector}"])
    with pytest.raises(ConfigError, match="tau=3 is more than n=2"):
        load_config("scripted", ["solutions.n=2", "solutions.selector=consensus_pass_fail"])
