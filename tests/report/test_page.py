import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import resources

import pytest

from ucoder.errors import MissingDependency
from ucoder.evaluation.contamination import Match, MatchKind
from ucoder.evaluation.records import GradeReason, Score
from ucoder.execution.outcomes import Outcome, OutcomeKind
from ucoder.records import Checkpoint, InputOrigin
from ucoder.report import write_report
from ucoder.report.page import _gather, _page, render
from ucoder.report.scores import overlaps
from ucoder.runs import Run

HOSTILE = (
    "</script></pre></title><img src=x onerror=alert(1)><svg onload=alert(2)>"
    "\x00\x1b[2J\u202e\ud800'\"{{ 7*7 }}{% raw %}&lt;&#x3c;script>"
)
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section",
    "article", "div", "span", "p", "b", "i", "strong", "small", "br", "h1", "h2", "h3", "ul",
    "li", "dl", "dt", "dd", "table", "tr", "th", "td", "pre", "code", "details", "summary",
    "figure", "figcaption", "svg", "g", "path", "defs", "use", "text", "rect", "clippath", "line",
}  # fmt: skip


class Reader(HTMLParser):
    """What a browser would find: tags, attributes, text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "br"):
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(synthetic, tmp_path_factory):
    path = write_report(synthetic.build(tmp_path_factory.mktemp("runs") / "first-light"))
    return path.read_text("utf-8")


def assert_harmless(page):
    read = Reader(page)
    assert read.tags <= TAGS
    assert not read.open
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    for name, value in read.attributes:
        if name in ("href", "xlink:href", "src", "action", "data"):
            assert value.startswith("#"), (name, value)
        assert "url(" not in value.replace("url(#", "")
    assert "\x00" not in page and "\u202e" not in page
    return read


def test_the_report_opens_offline_and_holds_no_script(page):
    assert_harmless(page)
    assert "http://" not in page and "https://" not in page
    assert "@import" not in page and "<script" not in page
    assert "default-src 'none'" in page


def test_the_report_says_what_was_found(page):
    text = " ".join(Reader(page).text.split())
    assert "12 attempts gave 6 problems, 5 with usable test inputs." in text
    assert "the selector consensus chose a program for 3 of 5 problems." in text
    assert "HumanEval pass@1 went from 45.0% to 57.9%: no difference can be told" in text
    assert "45.0% [25.8, 65.8]" in text
    assert "no difference can be told3 up, 1 down of 19 tasks, 1 left out; p = 0.62" in text
    assert "Not run for at least one model: 1 task, neither passed nor failed." in text
    assert "Roman Numerals to Integer" in text
    assert "paper: 3.64" in text
    assert "3 min 20 s" in text
    assert "3f2c1ab" in text
    assert "is not complete" not in text


def test_every_figure_is_drawn_in_the_pages_colours(page):
    assert page.count('<svg viewBox="0 0 ') == 3
    assert "var(--main)" in page.split("<main>")[1]
    assert "#1a5b9c" not in page


def test_ids_of_the_figures_do_not_collide(page):
    ids = [value for name, value in Reader(page).attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_page(synthetic, tmp_path):
    run = synthetic.build(tmp_path / "run")
    assert render(run) == render(run)


def test_hostile_text_is_shown_and_never_obeyed(synthetic, tmp_path):
    run = synthetic.build(tmp_path / "<b>run<img src=x>")
    for key in sorted(run.attempts.keys()):
        (attempt,) = run.attempts.get(key)
        if attempt.problem is not None:
            interface = dataclasses.replace(attempt.problem.interface, source=HOSTILE)
            problem = dataclasses.replace(
                attempt.problem, title=HOSTILE, statement=HOSTILE, area=HOSTILE, topic=HOSTILE,
                interface=interface,
            )  # fmt: skip
            run.attempts.put(key, [dataclasses.replace(attempt, problem=problem)])
    for key in sorted(run.candidates(0).keys()):
        candidates = run.candidates(0).get(key)
        hostile = [dataclasses.replace(c, program=HOSTILE, completion=HOSTILE) for c in candidates]
        run.candidates(0).put(key, hostile)
        executions = [
            dataclasses.replace(
                e, detail=HOSTILE, outcomes=(*e.outcomes[:-1], Outcome(OutcomeKind.RAISED, HOSTILE))
            )
            for e in run.executions(0).get(key)
        ]
        run.executions(0).put(key, executions)
    run.save_manifest(model={HOSTILE: HOSTILE}, commit=HOSTILE, versions={"x": HOSTILE})
    page = write_report(run).read_text("utf-8")
    read = assert_harmless(page)
    assert "<img src=x onerror=alert(1)>" in read.text  # as text
    assert "\\x00" in read.text and "\\ud800" in read.text
    assert "{{ 7*7 }}" in read.text


@pytest.mark.parametrize("upto", ["attempts", "suites", "candidates", "selections"])
def test_a_run_that_is_half_done_has_a_report_that_says_so(synthetic, tmp_path, upto):
    page = write_report(synthetic.build(tmp_path / "run", upto)).read_text("utf-8")
    text = assert_harmless(page).text
    assert "This run is not complete." in text
    assert "No model was scored on it yet." in text


def test_an_empty_run_has_a_report(synthetic, tmp_path):
    run = Run.create(tmp_path / "run", synthetic.config())
    text = assert_harmless(write_report(run).read_text("utf-8")).text
    assert "The run has started and has no records yet." in text
    assert "nan" not in text.lower().split()


def test_candidates_that_were_not_run_yet_do_not_break_the_report(synthetic, tmp_path):
    run = synthetic.build(tmp_path / "run")
    for shard in run.executions(0).folder.glob("*.parquet"):
        shard.unlink()
    assert "No candidate has both a perplexity and an execution yet." in render(run)


def test_one_scored_model_is_reported_without_a_comparison(synthetic, tmp_path):
    run = synthetic.build(tmp_path / "run")
    for shard in run.scores("humaneval", 1).folder.glob("*.parquet"):
        shard.unlink()
    text = " ".join(Reader(render(run)).text.split())
    assert "HumanEval pass@1 of M0 is 45.0%" in text
    assert "M0 only, on 20 tasks" in text


def with_scores(synthetic, path, names, n_models, asked=()):
    """A run with more benchmarks and models; one task of each is not run, for a hostile reason."""
    run = synthetic.build(path)
    for t in range(1, n_models - 1):
        checkpoint = Checkpoint(t, f"checkpoints/iteration-{t}", "ab" * 32, 3, 0, 3, 0.4)
        run.checkpoints.put(f"{t:03d}", [checkpoint])
        run.candidates(t).put("none", [])
    for name in names:
        for index in range(n_models):
            rows = [
                Score(name, index, f"{name}/{at}", 0, (at + index) % 3 > 0, GradeReason.RAISED, "")
                for at in range(30)
            ]
            lost = Score(name, index, HOSTILE, 0, None, GradeReason.MISSING_LIBRARY, HOSTILE)
            run.scores(name, index).put("rows", [*rows, lost])
    evaluation = run.config.evaluation.model_copy(update={"benchmarks": (*names, *asked)})
    run.config = run.config.model_copy(update={"evaluation": evaluation})
    return run


def test_every_benchmark_has_its_place_and_no_name_or_detail_is_obeyed(synthetic, tmp_path):
    names = ["mbpp", "humaneval+", "my-own"]
    run = with_scores(synthetic, tmp_path / "run", names, 4, asked=["livecodebench"])
    page = render(run)
    read = assert_harmless(page)
    text = " ".join(read.text.split())
    titles = ["MBPP", "HumanEval+", "my-own", "LiveCodeBench", "HumanEval"]
    assert re.findall('<section class="benchmark">\n<h3>(.*)</h3>', page) == titles
    assert "LiveCodeBench No model was scored on it yet." in text
    assert "missing library" in text and "\\ud800" in text
    assert "Not scored yet: M2, M3." in text  # HumanEval, which has M0 and M1 alone
    assert "Against the model before" in text
    assert "10 comparisons with M0 and 6 with the model before" in text
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def overlapping(kept, excluded=True):
    matches = [
        Match("p1", "mbpp", "Mbpp/7", MatchKind.OVERLAP, 0.625, "the sum of all even numbers"),
        Match("p2", "humaneval+", HOSTILE, MatchKind.SAME_TEXT, 1.0, HOSTILE),
        Match("p1", "mbpp", "Mbpp/8", MatchKind.OVERLAP, 0.5, "even numbers"),
    ]
    titles = {"p1": "Sum of Evens", "p2": HOSTILE, "p3": "Other"}
    return overlaps(matches[:kept], titles, ["humaneval+", "mbpp"], excluded)


def test_problems_that_a_benchmark_asks_are_listed_with_what_both_say(synthetic, tmp_path):
    values = _gather(synthetic.build(tmp_path / "run"))
    text = " ".join(assert_harmless(_page({**values, "overlaps": overlapping(3)})).text.split())
    assert "2 of 3 problems matched a task; they were left out of training." in text
    assert "Compared with: HumanEval+, MBPP." in text
    assert "Sum of EvensMBPPMbpp/7overlap62%the sum of all even numbers" in text
    assert text.index("same text") < text.index("Mbpp/7") < text.index("Mbpp/8")
    trained_on = _page({**values, "overlaps": overlapping(3, excluded=False)})
    assert "they were not left out of training" in trained_on


def test_the_matches_of_a_run_are_in_its_report(synthetic, tmp_path):
    run = synthetic.build(tmp_path / "run")
    problem = synthetic.problem_of(synthetic.ROMAN)
    match = Match(problem.id, "mbpp", "Mbpp/7", MatchKind.OVERLAP, 0.625, "roman numeral to an")
    run.matches.put("matches", [match])
    assert "were compared with no benchmark" in render(run)
    run.save_manifest(compared={"mbpp": "MBPP v1"})
    text = Reader(render(run)).text
    assert "1 of 6 problems matched a task; they were left out of training." in text
    assert "roman numeral to an" in text


def test_without_a_match_the_report_says_what_was_compared(synthetic, tmp_path):
    values = _gather(synthetic.build(tmp_path / "run"))
    text = Reader(_page({**values, "overlaps": overlapping(0)})).text
    assert "None of 3 problems matched. Compared with: HumanEval+, MBPP." in text
    assert "were compared with no benchmark" in Reader(_page({**values, "overlaps": None})).text


def test_the_report_replaces_an_older_one_and_leaves_nothing_behind(synthetic, tmp_path):
    run = synthetic.build(tmp_path / "run", "attempts")
    before = {entry.name for entry in run.path.iterdir()}
    (run.path / "report.html").write_text("old")
    path = write_report(run)
    assert path == run.path / "report.html"
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert {entry.name for entry in run.path.iterdir()} == before | {"report.html"}


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_with_its_install_command(
    synthetic, tmp_path, monkeypatch, package
):
    run = synthetic.build(tmp_path / "run", "attempts")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependency, match=r'pip install "ucoder\[report\]"'):
        write_report(run)
    assert not (run.path / "report.html").exists()


def test_importing_the_report_loads_nothing_heavy():
    code = (
        "import sys, ucoder.report\nassert not {'matplotlib', 'jinja2', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_has_words_for_every_origin_of_an_input():
    template = (resources.files("ucoder.report") / "template.html").read_text("utf-8")
    assert not [origin for origin in InputOrigin if f"'{origin}': " not in template]
