"""Executor, scheduler and the six stages: one frozen model each, with ranges and meanings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from ucoder.config.section import Positive, SamplingConfig, Seconds, Section, Share

SelectorName = Literal[
    "consensus",
    "consensus_pass_fail",
    "agreement",
    "random",
    "cluster",
    "low_perplexity",
    "success_rate",
    "codet",
    "mbr_soft",
    "mbr_hard",
    "srank",
    "conself",
]

PromptForm = Literal["statement", "docstring", "request"]

FORECASTING: Final = ("consensus", "consensus_pass_fail", "agreement")
"""Selectors that can forecast their scores for more candidates, which early stopping requires."""


class ExecutorConfig(Section):
    """Where untrusted programs run, and what each may use."""

    provider: Literal["auto", "bubblewrap", "landlock", "unsafe-process"] = "auto"
    """`auto` takes bubblewrap, and landlock where that cannot start. `unsafe-process` isolates
    nothing and must be named explicitly."""
    preload: Literal["standard", "installed", "numpy", "data"] = "standard"
    """Modules imported before a program starts; all sets except `standard` let programs import this
    environment's packages."""
    n_workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Programs that run at once; null: one more than there are cores."""
    call_timeout_s: Seconds = 1.0
    """Limit of one call of a candidate, in seconds of CPU time and of wall-clock time."""
    program_timeout_s: Seconds = 10.0
    """Limit of one program with all its calls, in seconds."""
    memory_limit_mib: Annotated[int, Field(ge=16)] = 1024
    """Address space that one program may add to the interpreter's."""


class ScaleConfig(Section):
    """Where engines and executors run. `scale: ray` is short for `scale: {provider: ray}`."""

    provider: Literal["local", "ray"] = "local"
    """`local`: one engine and one executor on this machine. `ray`: replicas of engine and executor
    on a Ray cluster, as many as fit."""
    address: str = "auto"
    """For ray: `auto` (a cluster that was started on this machine), `host:port`, or `local` (start
    one here and end it with the run)."""
    n_replicas: Positive | None = None
    """For ray: at most this many replicas; null: as many as fit, also on nodes that join later."""
    gpus_per_replica: Annotated[float, Field(ge=0.0, le=64.0)] = 0.0
    """For ray: GPUs of one replica; fractions are allowed."""
    cpus_per_replica: Annotated[float, Field(gt=0.0, le=1024.0)] = 1.0
    """For ray: CPUs of one replica, for its engine and its executor's workers."""
    training_gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """For ray: GPUs for training, all on one node."""
    training_cpus: Annotated[float, Field(gt=0.0, le=1024.0)] = 1.0
    """For ray: CPUs for training, on the same node."""


KNOWN_ANSWERS: Final = "known-answers"
"""The value of `problems.source` that stands for the problems that come with ucoder."""


class TopicTreeConfig(Section):
    """How topics are invented: subjects of the paper's areas, twists of each subject. The tree
    grows by a generation whenever every topic has been used."""

    n_subjects: Annotated[int, Field(ge=1, le=100)] = 8
    """Subjects asked for in each area and generation."""
    n_twists: Annotated[int, Field(ge=1, le=100)] = 6
    """Twists asked for each subject: one topic each."""
    sampling: SamplingConfig = SamplingConfig(max_tokens=256)


class ProblemsConfig(Section):
    """Stage 1: the model invents problems, or they are yours."""

    source: Literal["known-answers"] | Path | None = None
    """Your own problems instead of invented ones, without answers: JSON lines, or a folder of
    Python files with functions whose bodies are missing (docs/training.md shows both). At most `n`
    are taken, in their order. `known-answers`: those that come with ucoder, to measure on and not
    to train on. Null: the model invents them, as in the paper."""

    n: Positive = 16_867
    """Number of accepted problems; the paper analyses 16,867 (figure 4)."""
    max_attempts: Positive = 100_000
    """Attempts after which stages 1 to 3 end with the problems accepted so far."""
    topics: Literal["invented", "listed"] | Path = "invented"
    """`invented`: the model names subjects of the paper's five areas and twists of each, as the
    paper's model invents everything; `listed`: 64 topics that come with ucoder; otherwise a file
    with one topic a line, `area: topic` or just `topic`."""
    tree: TopicTreeConfig = TopicTreeConfig()
    max_similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.4
    """Problems that share this much of their words and pairs of words with an accepted one are
    rejected as near duplicates (`ucoder.similarity`); 1: only those with the same words are."""
    min_description_words: Annotated[int, Field(ge=0)] = 8
    """Shorter descriptions are rejected. In scripts without spaces, a character is a word."""
    sampling: SamplingConfig = SamplingConfig(temperature=1.0, max_tokens=512)


class RatingsConfig(Section):
    """Stage 2: the same model rates each problem."""

    threshold: Annotated[float, Field(ge=0.0, le=10.0)] = 6.0
    """Problems scored below are rejected. The paper gives no value."""
    n: Annotated[int, Field(ge=1, le=64)] = 1
    """Ratings sampled for each problem, of which the mean counts. The paper speaks of one. Several,
    at a temperature above 0, tell problems apart that all get the same score otherwise."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.0, max_tokens=96)

    @model_validator(mode="after")
    def _ratings_can_differ(self) -> Self:
        if self.n > 1 and self.sampling.temperature == 0:
            raise ValueError(
                f"n={self.n} ratings at temperature 0 are all the same; set "
                f"ratings.sampling.temperature=1.0, or ratings.n=1"
            )
        return self


class InterfacesConfig(Section):
    """Stage 3: the model writes each problem's signature and contract."""

    sampling: SamplingConfig = SamplingConfig(temperature=0.2, max_tokens=256)


class TestInputsConfig(Section):
    """Stage 4: test inputs from the model, then boundary values and mutants up to `n`."""

    __test__ = False

    n: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Inputs a problem, as in the paper."""
    n_completions: Annotated[int, Field(ge=1, le=64)] = 4
    """Completions requested from the model for each problem."""
    min_from_model: Annotated[int, Field(ge=1)] = 3
    """A problem with fewer valid inputs from the model is dropped."""
    n_boundary: Annotated[int, Field(ge=0, le=10_000)] = 16
    """How many of the `n` inputs are made of boundary values of the annotated types, after the
    model's own and before mutants; 0: none."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.8, max_tokens=512)


class StoppingConfig(Section):
    """Sequential sampling: when to stop before n candidates are drawn."""

    max_regret: Share = 0.01
    """Stop once the remaining candidates would raise the probability of being right by at most
    this, in expectation (`ucoder.consensus.stopping`)."""
    min_candidates: Positive = 16
    """Never stop before this many candidates."""


DEFAULT_RHO: Final = 0.8
"""`rho` of the selectors that need one (section 2.3.2)."""
DEFAULT_TAU: Final = 3
"""`tau` of the selectors that need one: the smallest cluster that is more than a pair."""


class SolutionsConfig(Section):
    """Stage 5: candidates, executed, clustered, one selected."""

    n: Annotated[int, Field(ge=1, le=4096)] = 128
    """Candidates a problem."""
    forms: Annotated[tuple[PromptForm, ...], Field(min_length=1)] = ("statement",)
    """How problems are asked, in stage 5 and in the training pairs; each problem gets one of these,
    by its id and the run's seed. `statement`: the statement and the interface. `docstring`: a
    function to complete, whose docstring is the statement. `request`: one paragraph that names the
    function. A form that is named twice is taken twice as often."""
    prefill: Literal["fence", "signature"] = "fence"
    """What the answer begins with. `fence`: the opening of a code block, so that the model writes
    the whole function. `signature`: imports, signature and docstring as well, so that it writes the
    body alone: fewer tokens, and f(r) and the training loss cover nothing that the prompt holds."""
    greedy: bool = False
    """Sample one more answer for each problem and iteration, at temperature 0, and run it. It does
    not vote; compared with the selected program, it says what there is to learn."""
    selector: SelectorName = "consensus"
    """The rule that selects. `consensus`: the paper's, by outputs, our reading of definition 2.1;
    `consensus_pass_fail`: definition 2.1 to the letter, by predicted outputs; `agreement`: ours.
    docs/selection.md compares them all."""
    min_probability: Share = 0.0
    """Select nothing where the choice is right with less than this probability.
    docs/selection.md quantifies the trade-off between precision and coverage."""
    raising_may_win: bool = False
    """Whether candidates that return on no input at all may be selected."""
    rho: Share | None = None
    """Reliability: smallest e(r) with which a candidate may win. Null: 0.8 for the selectors
    `consensus`, `consensus_pass_fail`, `random` and `low_perplexity`, as in the paper, and none for
    `agreement`; the others do not use it."""
    tau: Positive | None = None
    """Consensus: smallest size of the winning cluster. Null: 3 for the selectors `consensus` and
    `consensus_pass_fail`, and none for `agreement`; the others do not use it. The paper gives no
    value."""
    min_share: Share = 0.0
    """Select nothing where a smaller share of the candidates behaves like the choice, whatever the
    selector; 0: off, as in the paper."""
    inputs: Literal["selector", "own", "all"] = "selector"
    """Which inputs count. `own`: the examples and those that the model wrote, as in the paper;
    `all`: boundary values and mutants too; `selector`: whichever served the selector better on
    known answers (docs/selection.md)."""
    min_input_support: Share = 0.2
    """An input that a smaller share of the runnable candidates can run is dropped before e(r)."""
    stopping: StoppingConfig | None = None
    """Stop a problem's sampling early; null: always n candidates, as in the paper."""
    distinguishing_inputs: Annotated[int, Field(ge=0, le=10_000)] = 0
    """New inputs to try for each problem, to find some that distinguish programs which agree so far
    (`ucoder.inputs.distinguishing`); 64 is a sensible value, 0: no search, as in the paper."""
    sampling: SamplingConfig = SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=512)
    """The paper gives no temperature. At 1, without a nucleus, every engine reports the raw
    log-probabilities that f(r) needs; at other settings OpenVINO does not,
    and ties are not broken by f(r)."""

    @model_validator(mode="after")
    def _consensus_is_possible(self) -> Self:
        is_asked = self.selector in ("consensus", "consensus_pass_fail")
        is_asked |= self.selector == "agreement" and self.tau is not None
        tau = DEFAULT_TAU if self.tau is None else self.tau
        if is_asked and tau > self.n:
            raise ValueError(
                f"tau={tau} is more than n={self.n}: no cluster can be that large; "
                f"lower tau or raise n"
            )
        return self

    @model_validator(mode="after")
    def _stopping_is_possible(self) -> Self:
        if self.stopping is None:
            return self
        if self.selector not in FORECASTING:
            raise ValueError(
                f"stopping needs a selector that can forecast its scores for more candidates, and "
                f"{self.selector} cannot; choose one of {', '.join(FORECASTING)}, or "
                f"stopping=null"
            )
        if self.stopping.min_candidates >= self.n:
            raise ValueError(
                f"stopping.min_candidates={self.stopping.min_candidates} leaves nothing of "
                f"n={self.n} to save; lower it, raise n, or set stopping=null"
            )
        return self
