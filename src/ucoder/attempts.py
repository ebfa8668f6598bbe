"""Stages 1 to 3 as one journey: topic -> problem -> rating -> interface, or a reason why not.

Journeys run side by side, but are accepted in the fixed order of attempts. So a duplicate is
always the later one, and the accepted problems depend on the seed alone: not on which journey
was quicker, nor on restarts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ucoder.config import RunConfig, SamplingConfig
from ucoder.engines.protocol import Engine, Prompt, Request
from ucoder.inputs.text import Refusal, normalised
from ucoder.records import Attempt, Problem, Reason, digest
from ucoder.seeds import derive_seed
from ucoder.stages import interfaces, problems, ratings
from ucoder.stages.problems import Topic
from ucoder.stages.prompts import sampling_of


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    n_tokens: int


async def attempt_problem(index: int, topic: Topic, engine: Engine, config: RunConfig) -> Attempt:
    """One journey through stages 1 to 3. Duplicates are found later, by `Accepted`."""
    seed = derive_seed(config.seed, "problems", index)

    async def ask(
        prompt: Prompt, sampling: SamplingConfig, stop: tuple[str, ...], stage: str
    ) -> _Answer:
        request = Request(
            prompt,
            1,
            sampling_of(sampling, stop),
            derive_seed(config.seed, stage, index),
        )
        (completion,) = await engine.sample(request)
        return _Answer(prompt.prefill + completion.text, completion.n_tokens)

    none = _Answer("", 0)
    problem_answer = rating_answer = interface_answer = none

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
            rating_text=rating_answer.text,
            interface_text=interface_answer.text,
            problem_tokens=problem_answer.n_tokens,
            rating_tokens=rating_answer.n_tokens,
            interface_tokens=interface_answer.n_tokens,
        )

    problem_answer = await ask(
        problems.problem_prompt(topic), config.problems.sampling, problems.STOP, "problems"
    )
    draft = problems.parse_problem(problem_answer.text, config.problems.min_description_words)
    if isinstance(draft, Refusal):
        return settle(draft)
    rating_answer = await ask(
        ratings.rating_prompt(draft.statement), config.ratings.sampling, ratings.STOP, "ratings"
    )
    rating = ratings.parse_rating(rating_answer.text)
    if isinstance(rating, Refusal):
        return settle(rating)
    if rating.score < config.ratings.threshold:
        return settle(
            Refusal(Reason.LOW_RATING, f"{rating.score:g} < {config.ratings.threshold:g}")
        )
    interface_answer = await ask(
        interfaces.interface_prompt(draft),
        config.interfaces.sampling,
        interfaces.STOP,
        "interfaces",
    )
    interface = interfaces.parse_interface(interface_answer.text, draft)
    if isinstance(interface, Refusal):
        return settle(interface)
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


class Accepted:
    """The problems accepted so far, which decides what is a duplicate.

    A duplicate has the same interface (name, parameters, types) as an accepted problem, or the
    same normalised description.
    """

    def __init__(self, attempts: Iterable[Attempt] = ()) -> None:
        self.problems: list[Problem] = []
        self._keys: dict[str, str] = {}
        for attempt in attempts:
            self.judge(attempt)

    def judge(self, attempt: Attempt) -> Attempt:
        """Accept the attempt's problem, or return the attempt as a duplicate."""
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
        self.problems.append(problem)
        self._keys.update(dict.fromkeys(keys, problem.title))
        return attempt


def _keys(problem: Problem) -> tuple[str, str]:
    interface = problem.interface
    name = interface.name.replace("_", "")
    types = ",".join(p.annotation for p in interface.parameters)
    return (
        f"interface {name}({types})->{interface.returns}".lower(),
        f"text {normalised(problem.description)}",
    )
