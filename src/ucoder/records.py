"""What flows through a run: frozen, typed records, one table of the run directory each.

A record carries its own identity, derived from content and from the run's seed, never from a
counter that a resumed run would count differently. What is refused is a record as well, with a
reason that a program can read. Undefined numbers are NaN or None, never 0.

    TopicNode    stage 1      one question about topics, and what the model named
    Attempt      stages 1-3   one try at a problem: accepted, or rejected with the reason
    TestSuite    stage 4      the inputs of one problem
    Candidate    stage 5      one sampled solution
    Execution    stage 5      one distinct program of a problem, run on its inputs
    Selection    stage 5      what consensus made of a problem's candidates
    Judgement    stage 5      whether a program solves a known answer, for measuring
    PairChoice   stage 6      what became of a problem with a selected program
    Example      stage 6      one training pair (q, r*)
    Checkpoint   stage 6      M(t+1)

What benchmarks make of a model is in `ucoder.evaluation.records`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum

from ucoder.execution.outcomes import Outcome, ProgramStatus

NAN = float("nan")


def digest(*parts: object, length: int = 16) -> str:
    """A short, stable name for content: the start of a sha256 over the parts' texts.

    Parts are separated by a byte that no UTF-8 text holds, so ("ab", "c") and ("a", "bc") differ.
    Lone surrogates, which a model's bytes can decode to, are kept apart rather than refused.
    """
    raw = b"\xff".join(str(part).encode("utf-8", "surrogatepass") for part in parts)
    return hashlib.sha256(raw).hexdigest()[:length]


def perplexity(n_tokens: int, sum_logprob: float) -> float:
    """f(r) of definition 2.3: exp(-mean log-probability); at least 1, NaN where undefined."""
    if n_tokens == 0 or math.isinf(sum_logprob):  # -inf: a probability that was rounded to 0
        return NAN
    return math.exp(min(-sum_logprob / n_tokens, 700.0))


class Reason(StrEnum):
    """Why something was refused. Each value is stored, counted and shown as it stands."""

    # any stage: a completion that was lost, see `FinishReason`
    CONTENT_FILTER = "content_filter"
    UNFINISHED = "unfinished"
    NO_COMPLETION = "no_completion"
    REQUEST_REFUSED = "request_refused"
    # stage 1: a problem
    MALFORMED_PROBLEM = "malformed_problem"
    BAD_SIGNATURE = "bad_signature"
    NO_PARAMETERS = "no_parameters"
    NO_RETURN_VALUE = "no_return_value"
    INPUT_OUTPUT = "input_output"
    NONDETERMINISTIC = "nondeterministic"
    TIME = "time"
    NETWORK = "network"
    DESCRIPTION_TOO_SHORT = "description_too_short"
    COPIED_PROMPT = "copied_prompt"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    # stage 2: its rating
    MALFORMED_RATING = "malformed_rating"
    LOW_RATING = "low_rating"
    # stage 3: its interface
    MALFORMED_INTERFACE = "malformed_interface"
    INTERFACE_MISMATCH = "interface_mismatch"
    # a problem that a benchmark asks as well
    CONTAMINATED = "contaminated"
    # stage 4: a test input
    NOT_A_CALL = "not_a_call"
    NOT_LITERAL = "not_literal"
    DOES_NOT_BIND = "does_not_bind"
    DUPLICATE_INPUT = "duplicate_input"
    TOO_FEW_INPUTS = "too_few_inputs"
    # stage 5: a candidate, and a problem
    NO_CODE = "no_code"
    TRUNCATED = "truncated"
    DOES_NOT_PARSE = "does_not_parse"
    MISSING_ENTRY_POINT = "missing_entry_point"
    NO_CANDIDATE = "no_candidate"
    NO_INFORMATIVE_INPUT = "no_informative_input"
    NO_RELIABLE_CANDIDATE = "no_reliable_candidate"
    NO_CONSENSUS = "no_consensus"
    LOW_PROBABILITY = "low_probability"
    SMALL_MINORITY = "small_minority"
    # stage 6: a training pair
    CONTRADICTED_EXAMPLE = "contradicted_example"
    ALREADY_KNOWN = "already_known"
    ENOUGH_OF_ITS_DIFFICULTY = "enough_of_its_difficulty"
    ENOUGH_PAIRS = "enough_pairs"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an interface; `annotation` is its source text, "" where there is none."""

    name: str
    annotation: str
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """A function's signature and contract (stage 3).

    Attributes:
        name: The entry point that candidates must define.
        parameters: In order; only ordinary positional parameters are allowed.
        returns: The return annotation's source text.
        source: The skeleton: imports for annotations, the `def` line, the docstring.
    """

    name: str
    parameters: tuple[Parameter, ...]
    returns: str
    source: str

    @property
    def n_required(self) -> int:
        """How many arguments a call must give."""
        return sum(not parameter.has_default for parameter in self.parameters)


@dataclass(frozen=True, slots=True)
class Problem:
    """An accepted problem: stages 1-3 in one record.

    Attributes:
        id: Digest of the interface and the normalised statement.
        area: The paper's area (figure 2) that the topic belongs to.
        topic: What the model was asked about.
        title: The problem's title.
        description: What to compute, alone; for telling duplicates.
        statement: Title, description, example and hint as the model wrote them.
        example: The example's text, "" where it gave none; a source of test inputs.
        rating: Problem quality score, 0 to 10; the mean of several ratings (stage 2); NaN for a
            problem that came from outside.
        rating_summary: The rater's own words.
        interface: What a solution must define.
        is_given: Whether it came from outside (`problems.source`): its examples are taken as true.
    """

    id: str
    area: str
    topic: str
    title: str
    description: str
    statement: str
    example: str
    rating: float
    rating_summary: str
    interface: Interface
    is_given: bool = False


@dataclass(frozen=True, slots=True)
class TopicNode:
    """One question about topics, and what the model named (`ucoder.stages.topics`).

    Attributes:
        generation: Which growth of the tree the question belongs to, from 0.
        area: The paper's area (figure 2).
        subject: The subject whose twists were asked for; "" where subjects of the area were.
        named: The subjects or twists that the answer named and that were not known before.
        n_refused: Lines of the answer that were known before, or are not a name.
        text: The model's answer, prefill included.
        n_tokens: Tokens sampled for it.
        reason: Why the answer is lost, None where it is not.
    """

    generation: int
    area: str
    subject: str
    named: tuple[str, ...]
    n_refused: int
    text: str
    n_tokens: int
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a problem, kept whether it worked or not.

    Attributes:
        index: Position in the run's fixed order of attempts.
        seed: Seed of its first request.
        area: The paper's area that the topic belongs to.
        topic: What the model was asked about.
        problem: What was accepted, None where `reason` says why not.
        reason: Why it was rejected.
        detail: The reason in a sentence.
        problem_text: The model's text of stage 1, prefill included.
        rating_text: The model's texts of stage 2, "" where that stage was not reached.
        interface_text: The model's text of stage 3, "" where that stage was not reached.
        problem_tokens: Tokens sampled in stage 1.
        rating_tokens: Tokens sampled in stage 2.
        interface_tokens: Tokens sampled in stage 3.
        scores: The ratings that could be read, 0 to 10 each.
        removed: Optional parts, `hint`, `example` or `docstring lines`, that were left out because
            they repeat the prompt's own words.
    """

    index: int
    seed: int
    area: str
    topic: str
    problem: Problem | None
    reason: Reason | None
    detail: str
    problem_text: str
    rating_text: str
    interface_text: str
    problem_tokens: int
    rating_tokens: int
    interface_tokens: int
    scores: tuple[float, ...] = ()
    removed: tuple[str, ...] = ()


class InputOrigin(StrEnum):
    """Where a test input came from."""

    GIVEN = "given"
    """An example in a statement that came from outside: what it says is taken as true."""
    EXAMPLE = "example"
    """An example in a statement that the model invented: as weak as its other predictions."""
    MODEL = "model"
    BOUNDARY = "boundary"
    MUTATION = "mutation"
    DISTINGUISHING = "distinguishing"
    """Found because programs differ on it that agreed before."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An output that the model predicted for an input, as canonical text, and how often it did."""

    text: str
    count: int


@dataclass(frozen=True, slots=True)
class TestInput:
    """One test input.

    Attributes:
        arguments: Canonical text of the argument tuple.
        origin: Where it came from.
        predictions: The outputs that the model predicted for it, most frequent first, the earlier
            one where two are equally frequent. Evidence for selectors, never shown to a program.
    """

    __test__ = False  # pytest: this is a record, not a test class

    arguments: str
    origin: InputOrigin
    predictions: tuple[Prediction, ...] = ()

    @property
    def predicted(self) -> str | None:
        """What the model predicted most often, None where it predicted nothing."""
        return self.predictions[0].text if self.predictions else None


@dataclass(frozen=True, slots=True)
class Count:
    """How often a reason was given."""

    reason: Reason
    count: int


@dataclass(frozen=True, slots=True)
class TestSuite:
    """The inputs of one problem (stage 4).

    Attributes:
        problem_id: Whose inputs these are.
        inputs: Distinct, in order: the example's and the model's first, then boundaries, mutations.
        refused: Completions that were lost, and what was dropped while reading the calls of the
            others, counted by reason.
        reason: Why the problem cannot go on (too few inputs), None where it can.
        n_tokens: Tokens sampled for it.
    """

    __test__ = False

    problem_id: str
    inputs: tuple[TestInput, ...]
    refused: tuple[Count, ...]
    reason: Reason | None
    n_tokens: int


class FinishReason(StrEnum):
    """Why a completion ended."""

    STOP = "stop"
    """An end-of-text token or a stop string."""
    LENGTH = "length"
    """The token limit: the text is cut."""
    CONTENT_FILTER = "content_filter"
    """Lost: a filter of the server's took part of the text, or all of it."""
    UNFINISHED = "unfinished"
    """Lost: aborted, a tool call, no reason or an unknown one: the text may be cut anywhere."""
    NO_COMPLETION = "no_completion"
    """Lost: it was left out of the server's answer, or cannot be read."""
    REQUEST_REFUSED = "request_refused"
    """Lost: the engine refused the request, such as a prompt that is too long."""

    @property
    def lost(self) -> Reason | None:
        """Why the completion is lost and takes no part; None where it can be used."""
        return None if self in (FinishReason.STOP, FinishReason.LENGTH) else Reason(self.value)


LOST = frozenset(reason.lost for reason in FinishReason if reason.lost is not None)
"""The reasons that stand for a lost completion."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sampled solution (stage 5).

    Attributes:
        id: Digest of problem, iteration and index.
        problem_id: Whose candidate it is.
        iteration: t, of the model M(t) that wrote it.
        index: Position among the problem's candidates.
        completion: The model's text.
        program: The program cut from it, "" where `reason` says why there is none.
        program_id: Digest of the normalised program; equal programs run once.
        n_tokens: Sampled tokens, |r|.
        sum_logprob: Sum of their raw log-probabilities, in nats; NaN where unknown.
        finish_reason: Why it ended.
        reason: Why it takes no part, None where it does.
    """

    id: str
    problem_id: str
    iteration: int
    index: int
    completion: str
    program: str
    program_id: str
    n_tokens: int
    sum_logprob: float
    finish_reason: FinishReason
    reason: Reason | None

    @property
    def perplexity(self) -> float:
        """f(r) of definition 2.3; see `perplexity`."""
        return perplexity(self.n_tokens, self.sum_logprob)


@dataclass(frozen=True, slots=True)
class Execution:
    """One distinct program of a problem, run on all of the problem's inputs.

    Attributes:
        problem_id: Whose program it is.
        iteration: As in `Candidate`.
        program_id: Which candidates it stands for: all with this `program_id`.
        status: What happened to the program as a whole.
        detail: Why, where it did not load.
        outcomes: One an input, in the suite's order.
        cpu_s: CPU seconds used; differs between otherwise equal runs.
        wall_s: Wall-clock seconds; differs between otherwise equal runs.
    """

    problem_id: str
    iteration: int
    program_id: str
    status: ProgramStatus
    detail: str
    outcomes: tuple[Outcome, ...]
    cpu_s: float
    wall_s: float


class Flag(StrEnum):
    """What to be careful about with a selection (`ucoder.consensus.explanation`)."""

    FLOAT_NOISE = "float_noise"
    """Answers that differ in the last bits of a float were made one."""
    UNORDERED = "unordered"
    """The winner and the next cluster differ in the order of elements alone."""
    RIVAL = "rival"
    """The next cluster is at least half as large as the winner's: perhaps both are right."""
    RAISING = "raising"
    """On some inputs the winner's answer is an exception that it raises on purpose."""
    FEW_INPUTS = "few_inputs"
    """Fewer than three inputs counted."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What consensus made of one problem's candidates (section 2.3.2).

    Attributes:
        problem_id: Which problem.
        iteration: As in `Candidate`.
        n_candidates: Candidates sampled.
        n_programs: Distinct programs among the candidates that could run.
        n_inputs: Inputs in the suite.
        n_kept_inputs: Inputs left after dropping those that hardly any candidate can run.
        n_reliable: Candidates that could win: with e(r) >= rho under the paper's rule.
        cluster_sizes: s(r) of every cluster of candidates that could win, largest first.
        candidate_id: r*, None where `reason` says why there is none.
        success: e(r*); NaN where nothing was selected.
        perplexity: f(r*); NaN where nothing was selected.
        reason: Why nothing was selected.
        n_sandbox_failures: Candidates left out because the sandbox failed on them.
        selector: The rule that chose.
        score: What it gave the winner; the would-be winner's where `reason` says why not.
        runner_up_score: The best score of another cluster; NaN where there is only one.
        score_unit: What a score counts, in words.
        probability: That the would-be winner is right (`ucoder.consensus.probability`).
        flags: What to be careful about.
        n_wanted: Candidates that the configuration asked for; more than `n_candidates` where
            sampling stopped early.
        regret: By how much those that were not drawn would raise the probability of being right,
            in expectation (`ucoder.consensus.stopping`); NaN where sampling does not stop early.
        share: Share of the candidates, those whose program did not load among them, that behave
            like the would-be winner; NaN where there is none.
    """

    problem_id: str
    iteration: int
    n_candidates: int
    n_programs: int
    n_inputs: int
    n_kept_inputs: int
    n_reliable: int
    cluster_sizes: tuple[int, ...]
    candidate_id: str | None
    success: float
    perplexity: float
    reason: Reason | None
    n_sandbox_failures: int
    selector: str
    score: float
    runner_up_score: float
    score_unit: str
    probability: float
    flags: tuple[Flag, ...]
    n_wanted: int
    regret: float
    share: float = NAN


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a program solves a known answer: it returns what the reference program returns.

    Made after the selection, for measuring; nothing of it reaches a model or a selector.

    Attributes:
        problem_id: Whose program it is.
        iteration: As in `Candidate`.
        program_id: Which candidates it speaks of.
        is_right: None where the sandbox failed.
    """

    problem_id: str
    iteration: int
    program_id: str
    is_right: bool | None


class ExampleKind(StrEnum):
    """What a training pair teaches."""

    CHANGED = "changed"
    """The selected program behaves differently from the greedy answer, or there is none."""
    REPLAYED = "replayed"
    """The greedy answer behaves like the selected program already."""


class Evidence(StrEnum):
    """What became of the examples of a problem when they were held against r*."""

    NO_EXAMPLE = "no_example"
    HOLDS = "holds"
    """r* returns what every example says."""
    UNVERIFIED = "unverified"
    """Kept as it was, though an example cannot be read or its input was not run."""
    CONTRADICTED = "contradicted"
    """Kept as it was, though r* returns something else."""
    CORRECTED = "corrected"
    """What r* returns is written in the place of another output."""
    DROPPED = "dropped"
    """Examples were removed, those that r* contradicts or that cannot be verified."""
    REJECTED = "rejected"
    """The problem is left out of training, because r* contradicts an example."""


class Difficulty(StrEnum):
    """How hard a problem is for the model that solved it, as far as its candidates tell."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class PairChoice:
    """What stage 6 made of one problem with a selected program.

    Attributes:
        problem_id: Which problem.
        iteration: As in `Example`.
        candidate_id: The candidate that the pair teaches: r*, or one that behaves like it.
        reason: Why the problem is left out of training, None where it is trained on.
        evidence: What became of its examples.
        n_examples: Examples that its statement and docstring had.
        n_contradicted: Those that say another output than the selected program returned.
        n_unverified: Those that cannot be read, or whose input was not run.
        kind: What the pair teaches.
        agreeing: Share of the candidates that behave like the selected one.
        difficulty: The class that follows from this share and the greedy answer.
        chosen_by: The rule that chose within the winning cluster (`consolidation.choose`).
        measure: What the rule measures, of the chosen candidate; NaN where it is undefined.
        cluster_measure: Its mean over the candidates of the cluster.
    """

    problem_id: str
    iteration: int
    candidate_id: str
    reason: Reason | None
    evidence: Evidence
    n_examples: int
    n_contradicted: int
    n_unverified: int
    kind: ExampleKind
    agreeing: float
    difficulty: Difficulty
    chosen_by: str
    measure: float
    cluster_measure: float


@dataclass(frozen=True, slots=True)
class Example:
    """One training pair (q, r*): what the model was asked and the completion that is learnt.

    Attributes:
        problem_id: Whose pair it is.
        candidate_id: The candidate that it teaches.
        iteration: t, of the model M(t) that wrote the candidate.
        prompt: The user's turn.
        completion: What follows the prefill; the loss covers it and nothing else.
        prefill: What the answer began with when it was sampled.
        kind: What it teaches.
        weight: How much it counts in the loss, 1 for an ordinary pair.
    """

    problem_id: str
    candidate_id: str
    iteration: int
    prompt: str
    completion: str
    prefill: str = ""
    kind: ExampleKind = ExampleKind.CHANGED
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two programs for one problem, of which consensus prefers one (stage 6).

    Attributes:
        problem_id: Whose pair it is.
        iteration: As in `Example`.
        prompt: The user's turn.
        prefill: What both answers began with when they were sampled.
        chosen: The completion of the selected candidate.
        rejected: The completion of a candidate of the largest rival cluster.
        chosen_id: The selected candidate.
        rejected_id: The rejected one.
        arguments: Canonical text of the arguments of an input on which the two differ.
        chosen_outcome: What the selected program did on it, in words or as canonical text.
        rejected_outcome: What the rejected one did.
    """

    problem_id: str
    iteration: int
    prompt: str
    prefill: str
    chosen: str
    rejected: str
    chosen_id: str
    rejected_id: str
    arguments: str
    chosen_outcome: str
    rejected_outcome: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """M(t+1), as stage 6 left it.

    Attributes:
        iteration: t.
        path: Relative to the run directory.
        sha256: Identity of its weights.
        n_examples: Examples that it was trained on, or preference pairs.
        n_left_out: Those left out because they exceed the training length.
        n_steps: Optimiser steps.
        loss: Mean training loss, NaN where the trainer reports none.
        first_loss: The first step's, before anything was learnt; NaN likewise.
        first_accuracy: Share of the learnt tokens that M(t) ranked first then; NaN likewise.
    """

    iteration: int
    path: str
    sha256: str
    n_examples: int
    n_left_out: int
    n_steps: int
    loss: float
    first_loss: float = NAN
    first_accuracy: float = NAN
