"""The edges and the six stages: one frozen model each, every value with its range and meaning."""

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

FORECASTING: Final = ("consensus", "consensus_pass_fail", "agreement")
"""Selectors that can say what more candidates would do; sequential stopping needs one of them."""


class ExecutorConfig(Section):
    """Where untrusted programs run, and what each may use."""

    provider: Literal["auto", "bubblewrap", "landlock", "unsafe-process"] = "auto"
    """`auto` takes bubblewrap, and landlock where that cannot start. `unsafe-process` isolates
    nothing and must be named explicitly."""
    preload: Literal["standard", "installed", "numpy", "data"] = "standard"
    """What programs find imported; `numpy` and `data` show them this environment's packages."""
    n_workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Programs at a time; one more than there are cores where null."""
    call_timeout_s: Seconds = 1.0
    """Limit of one call of a candidate, in CPU time and by the wall clock."""
    program_timeout_s: Seconds = 10.0
    """Limit of one program, over all its calls."""
    memory_limit_mib: Annotated[int, Field(ge=16)] = 1024
    """Address space that one program may add to the interpreter's."""


class ProblemsConfig(Section):
    """Stage 1: the model invents problems."""

    n: Positive = 16_867
    """Accepted problems wanted; the paper analyses 16,867 (figure 4)."""
    max_attempts: Positive = 100_000
    """Attempts after which the stage stops with what it has."""
    topics: Path | None = None
    """A file with one topic a line, `area: topic` or just `topic`; the paper's areas where null."""
    min_description_words: Annotated[int, Field(ge=0)] = 8
    """Shorter descriptions are rejected."""
    sampling: SamplingConfig = SamplingConfig(temperature=1.0, max_tokens=512)


class RatingsConfig(Section):
    """Stage 2: the same model rates each problem."""

    threshold: Annotated[float, Field(ge=0.0, le=10.0)] = 6.0
    """Problems scored below are rejected. The paper gives no value."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.0, max_tokens=96)


class InterfacesConfig(Section):
    """Stage 3: the model writes each problem's signature and contract."""

    sampling: SamplingConfig = SamplingConfig(temperature=0.2, max_tokens=256)


class TestInputsConfig(Section):
    """Stage 4: test inputs, asked from the model, topped up by boundary values and mutation."""

    __test__ = False

    n: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Inputs a problem, as in the paper."""
    n_completions: Annotated[int, Field(ge=1, le=64)] = 4
    """Completions that the model is asked for, a problem."""
    min_from_model: Annotated[int, Field(ge=1)] = 3
    """Fewer valid inputs from the model: the problem is given up."""
    n_boundary: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Inputs made of boundary values of the annotated types, after the model's own and before
    mutation fills up; part of `n`, 0: none."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.8, max_tokens=512)


class StoppingConfig(Section):
    """Sequential sampling: when to stop before n candidates are drawn."""

    max_regret: Share = 0.01
    """Stop where the rest would raise the probability of being right by no more than this, in
    expectation (`ucoder.consensus.stopping`)."""
    min_candidates: Positive = 16
    """Never stop before so many."""


class SolutionsConfig(Section):
    """Stage 5: candidates, executed, clustered, one selected."""

    n: Annotated[int, Field(ge=1, le=4096)] = 128
    """Candidates a problem."""
    selector: SelectorName = "consensus"
    """The rule that chooses. `consensus`: the paper's, by outputs, our reading of definition 2.1;
    `consensus_pass_fail`: the paper's letter, against outputs that the model predicted;
    `agreement`: ours. docs/selection.md compares them all."""
    min_probability: Share = 0.0
    """Abstain where the choice is right with less than this probability. Training wants precision;
    docs/selection.md says what a threshold gives up."""
    raising_may_win: bool = False
    """Whether candidates that return on no input at all may be selected."""
    rho: Share = 0.8
    """Reliability: least e(r)."""
    tau: Positive = 3
    """Consensus: least size of the winning cluster. The paper gives no value."""
    min_input_support: Share = 0.2
    """An input that a smaller share of the runnable candidates can run is dropped before e(r)."""
    stopping: StoppingConfig | None = None
    """Stop a problem's sampling early; null: always n candidates, as in the paper."""
    distinguishing_inputs: Annotated[int, Field(ge=0, le=10_000)] = 0
    """New inputs to try, a problem, in search of some that tell apart programs which agree so far
    (`ucoder.inputs.distinguishing`); 64 is a sensible value, 0: no search, as in the paper."""
    sampling: SamplingConfig = SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=512)
    """The paper gives no temperature. At 1, without a nucleus, every engine knows the raw
    log-probabilities that f(r) needs; elsewhere OpenVINO does not, and ties go unbroken by it."""

    @model_validator(mode="after")
    def _consensus_is_possible(self) -> Self:
        if self.tau > self.n:
            raise ValueError(
                f"tau={self.tau} is more than n={self.n}: no cluster can be that large; "
                f"lower tau or raise n"
            )
        return self

    @model_validator(mode="after")
    def _stopping_is_possible(self) -> Self:
        if self.stopping is None:
            return self
        if self.selector not in FORECASTING:
            raise ValueError(
                f"stopping needs a selector that can say what more candidates would do, and "
                f"{self.selector} cannot; choose one of {', '.join(FORECASTING)}, or "
                f"stopping=null"
            )
        if self.stopping.min_candidates >= self.n:
            raise ValueError(
                f"stopping.min_candidates={self.stopping.min_candidates} leaves nothing of "
                f"n={self.n} to be saved; lower it, raise n, or stopping=null"
            )
        return self
