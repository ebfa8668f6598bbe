"""Attempts at problems: stages 1 to 3 in a row, and which attempts a run accepts.

One attempt is one task: topic -> problem -> rating -> interface, or a reason why not. Attempts are
made side by side but judged in their fixed order. So a duplicate is always the later one, and the
accepted problems depend on the seed alone: neither on which attempt was quicker nor on restarts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Iterable
from dataclasses import dataclass, replace

from ucoder.config import ProblemsConfig, RunConfig, SamplingConfig
from ucoder.engines.protocol import Completion, Engine, Prompt, Request
from ucoder.given import GivenProblem
from ucoder.inputs.text import Refusal, normalised
from ucoder.records import Attempt, Interface, Problem, Reason, digest
from ucoder.runtime import cancel
from ucoder.seeds import derive_seed
from ucoder.similarity import TextIndex
from ucoder.stages import interfaces, problems, ratings
from ucoder.stages.prompts import sampling_of
from ucoder.stages.ratings import Rating
from ucoder.stages.topics import Topic


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    n_tokens: int
    lost: Refusal | None = None


def _answer(prompt: Prompt, completion: Completion) -> _Answer:
    reason = completion.finish_reason.lost
    lost = Refusal(reason, completion.detail) if reason else None
    return _Answer(prompt.prefill + completion.text, completion.n_tokens, lost)


async def attempt_problem(index: int, topic: Topic, engine: Engine, config: RunConfig) -> Attempt:
    """Stages 1 to 3 for one topic. Duplicates are found later, by `AcceptedProblems`."""
    seed = derive_seed(config.seed, "problems", index)

    async def ask(
        prompt: Prompt, sampling: SamplingConfig, stop: tuple[str, ...], stage: str, n: int = 1
    ) -> list[_Answer]:
        request = Request(
            prompt,
            n,
            sampling_of(sampling, stop),
            derive_seed(config.seed, stage, index),
        )
        return [_answer(prompt, completion) for completion in await engine.sample(request)]

    problem_answer = interface_answer = _Answer("", 0)
    rating_answers: list[_Answer] = []
    scores: tuple[float, ...] = ()
    removed: tuple[str, ...] = ()

    def settle(outcome: Problem | Refusal) -> Attempt:
        refusal = outcome if isinstance(outcome, Refusal) else None
        return Attempt(
            index=index,
            seed=seed,
            area=topic.area,
            topic=topic.text,
            problem=None if isinstance(outcome, Refusal) else outcome,
            reason=refusal.reason if refusal else None,
            detail=refusal.detail if refusal else "",
            problem_text=problem_answer.text,
            rating_text="\n".join(answer.text for answer in rating_answers),
            interface_text=interface_answer.text,
            problem_tokens=problem_answer.n_tokens,
            rating_tokens=sum(answer.n_tokens for answer in rating_answers),
            interface_tokens=interface_answer.n_tokens,
            scores=scores,
            removed=removed,
        )

    (problem_answer,) = await ask(
        problems.problem_prompt(topic), config.problems.sampling, problems.STOP, "problems"
    )
    draft = problem_answer.lost or problems.parse_problem(
        problem_answer.text, config.problems.min_description_words
    )
    if isinstance(draft, Refusal):
        return settle(draft)
    removed = draft.removed
    rating_answers = await ask(
        ratings.rating_prompt(draft.statement),
        config.ratings.sampling,
        ratings.STOP,
        "ratings",
        config.ratings.n,
    )
    read = [answer.lost or ratings.parse_rating(answer.text) for answer in rating_answers]
    scores = tuple(rating.score for rating in read if isinstance(rating, Rating))
    rating = ratings.mean_rating(read)
    if isinstance(rating, Refusal):
        return settle(rating)
    if rating.score < config.ratings.threshold:
        return settle(
            Refusal(Reason.LOW_RATING, f"{rating.score:g} < {config.ratings.threshold:g}")
        )
    (interface_answer,) = await ask(
        interfaces.interface_prompt(draft),
        config.interfaces.sampling,
        interfaces.STOP,
        "interfaces",
    )
    skeleton = interface_answer.lost or interfaces.parse_interface(interface_answer.text, draft)
    if isinstance(skeleton, Refusal):
        return settle(skeleton)
    removed += skeleton.removed
    interface = skeleton.interface
    problem = Problem(
        id=digest(interface.source, normalised(draft.statement)),
        area=topic.area,
        topic=topic.text,
        title=draft.title,
        description=draft.description,
        statement=draft.statement,
        example=draft.example,
        rating=rating.score,
        rating_summary=rating.summary,
        interface=interface,
    )
    return settle(problem)


async def attempt_given(
    index: int, given: GivenProblem, engine: Engine, config: RunConfig
) -> Attempt:
    """A problem that came from outside: stage 3 alone, and only where it has no signature."""
    seed = derive_seed(config.seed, "interfaces", index)
    interface: Interface | Refusal | None = given.refusal or given.interface
    answer = _Answer("", 0)
    if interface is None:
        prompt = interfaces.whole_interface_prompt(given.statement)
        sampling = sampling_of(config.interfaces.sampling, interfaces.WHOLE_STOP)
        (completion,) = await engine.sample(Request(prompt, 1, sampling, seed))
        answer = _answer(prompt, completion)
        interface = answer.lost or interfaces.parse_whole_interface(answer.text, given.statement)
    refusal = interface if isinstance(interface, Refusal) else None
    return Attempt(
        index=index,
        seed=seed,
        area=given.area,
        topic=given.name,
        problem=None if isinstance(interface, Refusal) else given.problem(interface),
        reason=refusal.reason if refusal else None,
        detail=refusal.detail if refusal else "",
        problem_text="",
        rating_text="",
        interface_text=answer.text,
        problem_tokens=0,
        rating_tokens=0,
        interface_tokens=answer.n_tokens,
    )


class AcceptedProblems:
    """The problems accepted so far, which decide what is a duplicate.

    A duplicate has the same interface (name, parameters, types) as an accepted problem, or the
    same normalised description; of problems that came from outside, it has both. A near duplicate
    has a title and description that are as similar to an accepted problem's as
    `problems.max_similarity` or more (`ucoder.similarity`); problems from outside have none.

    Args:
        wanted: How many problems a run wants, and how many attempts it may make.
        attempts: Attempts to judge at once.
    """

    def __init__(self, wanted: ProblemsConfig, attempts: Iterable[Attempt] = ()) -> None:
        self.problems: list[Problem] = []
        self.n_judged = 0
        self._wanted = wanted
        self._keys: dict[str, str] = {}
        self._texts = TextIndex()
        for attempt in attempts:
            self.judge(attempt)

    @property
    def is_complete(self) -> bool:
        """Whether no further attempt is wanted: enough problems, or all attempts made."""
        wanted = self._wanted
        return len(self.problems) >= wanted.n or self.n_judged >= wanted.max_attempts

    @property
    def n_likely_needed(self) -> int:
        """Further attempts that the accepted share so far suggests, at least one.

        What is still being sampled when the last problem is accepted was sampled for nothing, so
        attempts are begun only as far ahead as they are likely to be needed.
        """
        share = (len(self.problems) + 8) / (self.n_judged + 10)
        likely = round((self._wanted.n - len(self.problems)) / share) + 1
        return max(1, min(likely, self._wanted.max_attempts - self.n_judged))

    def judge(self, attempt: Attempt) -> Attempt:
        """Accept the attempt's problem, or return the attempt as a duplicate or a near one."""
        self.n_judged += 1
        problem = attempt.problem
        if problem is None:
            return attempt
        keys = _keys(problem)
        for key in keys:
            if key in self._keys:
                return replace(
                    attempt,
                    problem=None,
                    reason=Reason.DUPLICATE,
                    detail=f"like {self._keys[key]!r}",
                )
        text = f"{problem.title}\n{problem.description}"
        nearest = None if problem.is_given else self._texts.nearest(text)
        if nearest is not None and nearest.similarity >= self._wanted.max_similarity:
            like = self.problems[nearest.position].title
            return replace(
                attempt,
                problem=None,
                reason=Reason.NEAR_DUPLICATE,
                detail=f"{nearest.similarity:.0%} like {like!r}",
            )
        self.problems.append(problem)
        self._texts.add(text)
        self._keys.update(dict.fromkeys(keys, problem.title))
        return attempt


async def judged_attempts(
    accepted: AcceptedProblems,
    stored: Container[int],
    read: Callable[[int], Attempt],
    make: Callable[[int], Awaitable[Attempt]],
    max_concurrency: int,
) -> AsyncGenerator[tuple[Attempt, bool]]:
    """Judge attempts in their order until enough problems are accepted.

    Args:
        accepted: What was accepted before; judging changes it.
        stored: The indices of the attempts that exist already.
        read: Gives such an attempt, as it was judged when it was made.
        make: Makes the attempt of an index.
        max_concurrency: Attempts that are worth making side by side.

    Yields:
        Each judged attempt, and whether it is new.
    """
    flying: dict[int, asyncio.Task[Attempt]] = {}

    async def made(index: int) -> Attempt:
        return await make(index)

    try:
        while not accepted.is_complete:
            index = accepted.n_judged
            for ahead in range(index, index + min(accepted.n_likely_needed, max_concurrency)):
                if ahead not in flying and ahead not in stored:
                    flying[ahead] = asyncio.create_task(made(ahead))
            if index in stored:
                yield accepted.judge(read(index)), False
            else:
                yield accepted.judge(await flying.pop(index)), True
    finally:
        await cancel(flying.values())


def _keys(problem: Problem) -> tuple[str, ...]:
    if problem.is_given:
        return (f"given {problem.id}",)
    interface = problem.interface
    name = interface.name.replace("_", "")
    types = ",".join(p.annotation for p in interface.parameters)
    return (
        f"interface {name}({types})->{interface.returns}".lower(),
        f"text {normalised(problem.description)}",
    )
