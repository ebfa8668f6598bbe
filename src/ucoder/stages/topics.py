"""What problems are about: topics that the model invents, or a list.

The paper says that the model invents everything and names five areas (figure 2). Invented topics
are the leaves of a tree: area -> subject -> twist. The model is asked for subjects of an area, then
for twists of each subject: what may be given and wanted. Each topic is used for one
attempt. When all are used, the tree grows by a generation: new subjects in every area, and twists
of these; where the model names no new subject of an area, further twists of its known ones. A
generation that brings fewer topics than it took questions ends the growth, and all topics are used
again in new orders.

What a generation asks depends on the seed and on earlier generations alone, not on attempts. So the
topic of an attempt is a function of the seed and of the stored answers, whatever ran when.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final, Protocol

from ucoder.config import TopicTreeConfig
from ucoder.engines.protocol import Engine, Prompt, Request
from ucoder.errors import ConfigError, NothingToDo
from ucoder.inputs.text import COLONS, MAX_CHARS, PromptWording
from ucoder.records import TopicNode
from ucoder.seeds import derive_seed
from ucoder.stages.prompts import fill, sampling_of
from ucoder.texts import words

AREAS: Final = {
    "basic algorithms": "operations on lists, numbers, texts or grids for exercises in programming",
    "natural instructions": "kinds of texts, lists and notes that people keep in everyday life",
    "multi-domain algorithmic tasks": "professions, sciences, sports and hobbies",
    "tool usage": "formats of short texts, such as dates and prices",
    "competitive programming": "kinds of puzzles and board games",
}
"""The paper's areas (figure 2), and what the model is asked to list for each; that is ours."""

SUBJECT_PREFILL: Final = "1."
TWIST_PREFILL: Final = "1. Given"
MAX_NAME_CHARS: Final = 240
"""A longer line is an explanation and not a name."""
MIN_TWIST_WORDS: Final = 4
_MAX_KNOWN: Final = 30
"""Names that a question lists as known already, the latest ones."""

_NUMBER = re.compile(r"[ ]{0,3}[*_#]{0,3}\d{1,3}[.):](?!\d)[*_]{0,3}\s*")


@dataclass(frozen=True, slots=True)
class Topic:
    """What a problem is to be about: an area and a topic within it."""

    area: str
    text: str


class Topics(Protocol):
    """Where the topics of attempts come from."""

    async def topic(self, index: int) -> Topic:
        """The topic of one attempt, the same whenever it is asked for."""
        ...


def load_topics(path: Path | None) -> tuple[Topic, ...]:
    """The user's topics, or the list that comes with ucoder, in the paper's five areas.

    Raises:
        ConfigError: The file cannot be read or holds no topic.
    """
    if path is None:
        text = (resources.files("ucoder.stages") / "topics.txt").read_text("utf-8")
    else:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"problems.topics={path}: {error}; give a text file, one topic a line"
            ) from None
    topics = []
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            area, *rest = re.split(f"[{COLONS}]", line, maxsplit=1)
            topics.append(Topic(area.strip(), rest[0].strip()) if rest else Topic("user", line))
    if not topics:
        raise ConfigError(f"problems.topics={path} holds no topic; write one topic per line")
    return tuple(topics)


def listed_topics(topics: str | Path) -> tuple[Topic, ...] | None:
    """The topics that `problems.topics` names; None where the model is to invent them.

    Raises:
        ConfigError: The file cannot be read or holds no topic.
    """
    if topics == "invented":
        return None
    return load_topics(topics if isinstance(topics, Path) else None)


def topic_of(index: int, topics: Sequence[Topic], run_seed: int) -> Topic:
    """The topic of one attempt; each pass over the list is a new shuffle of it."""
    n_passes, at = divmod(index, len(topics))
    order = random.Random(derive_seed(run_seed, "topics", n_passes)).sample(topics, len(topics))
    return order[at]


class ListedTopics:
    """A list's topics; see `topic_of`."""

    def __init__(self, topics: Sequence[Topic], run_seed: int) -> None:
        self._topics = topics
        self._run_seed = run_seed

    async def topic(self, index: int) -> Topic:
        """See `Topics.topic`."""
        return topic_of(index, self._topics, self._run_seed)


class TopicTree:
    """The topics that the model has named so far, in the order in which attempts use them.

    Args:
        run_seed: Orders the topics of a generation.
        nodes: What is known already, in the order in which it was asked.
    """

    def __init__(self, run_seed: int, nodes: Iterable[TopicNode] = ()) -> None:
        self.topics: list[Topic] = []
        self.subjects: dict[str, list[str]] = {area: [] for area in AREAS}
        self.twists: dict[str, list[str]] = {}
        self.n_generations = 0
        self.is_exhausted = False
        self._run_seed = run_seed
        generations: dict[int, list[TopicNode]] = {}
        for node in nodes:
            generations.setdefault(node.generation, []).append(node)
        for generation in sorted(generations):
            self.add(generations[generation])

    def add(self, nodes: Sequence[TopicNode]) -> None:
        """Take up a generation. Its first topics are one of each subject, then a second, ..."""
        by_subject = []
        for node in nodes:
            if node.subject:
                self.twists.setdefault(node.subject, []).extend(node.named)
                by_subject.append(
                    [Topic(node.area, f"{node.subject}: {twist}") for twist in node.named]
                )
            else:
                self.subjects[node.area].extend(node.named)
        shuffle = random.Random(derive_seed(self._run_seed, "topics", self.n_generations)).shuffle
        for each in zip_longest(*by_subject):
            round_of_topics = [topic for topic in each if topic is not None]
            shuffle(round_of_topics)
            self.topics += round_of_topics
        self.n_generations += 1
        self.is_exhausted = sum(map(len, by_subject)) < len(nodes)

    def topic(self, index: int) -> Topic | None:
        """The topic of one attempt; None where the tree has to grow first, or has no topic."""
        if index < len(self.topics):
            return self.topics[index]
        if not self.is_exhausted or not self.topics:
            return None
        return topic_of(index - len(self.topics), self.topics, self._run_seed)


class InventedTopics:
    """Topics that the model invents when they are needed; see the module.

    Args:
        config: How much is asked for at once.
        run_seed: Of the run.
        engine: Entered already.
        nodes: The generations that are stored, in order.
        store: Keeps a generation's nodes.
    """

    def __init__(
        self,
        config: TopicTreeConfig,
        run_seed: int,
        engine: Engine,
        nodes: Iterable[TopicNode],
        store: Callable[[list[TopicNode]], Awaitable[None]],
    ) -> None:
        self._tree = TopicTree(run_seed, nodes)
        self._config = config
        self._run_seed = run_seed
        self._engine = engine
        self._store = store
        self._growing = asyncio.Lock()

    async def topic(self, index: int) -> Topic:
        """See `Topics.topic`.

        Raises:
            NothingToDo: The model names no topics.
            EngineError: The engine broke, or cannot serve a request.
        """
        async with self._growing:
            while (topic := self._tree.topic(index)) is None:
                if self._tree.is_exhausted:
                    raise NothingToDo(
                        "the model named no topic that could be read; give it some with "
                        "problems.topics=listed or problems.topics=FILE"
                    )
                nodes = await self._next_generation()
                await self._store(nodes)
                self._tree.add(nodes)
        return topic

    async def _next_generation(self) -> list[TopicNode]:
        """Ask for subjects of every area, then for twists of the new ones or of known ones."""
        tree, n = self._tree, self._config.n_subjects
        answers = await asyncio.gather(*(self._ask(area) for area in AREAS))
        taken = set(map(_key, chain(*tree.subjects.values())))
        of_areas = [_without(node, taken, n) for node in answers]
        due = []
        for node in of_areas:
            # Those with the fewest twists come first; `sorted` keeps the order of the others.
            known = sorted(tree.subjects[node.area], key=lambda one: len(tree.twists.get(one, ())))
            due += [(node.area, subject) for subject in node.named or known[:n]]
        answers = await asyncio.gather(*(self._ask(*each) for each in due))
        of_subjects = [
            _without(node, set(map(_key, tree.twists.get(node.subject, ()))), self._config.n_twists)
            for node in answers
        ]
        return of_areas + of_subjects

    async def _ask(self, area: str, subject: str = "") -> TopicNode:
        """One question; `named` still holds what is known already."""
        tree, config = self._tree, self._config
        if subject:
            prompt = twists_prompt(subject, config.n_twists, tree.twists.get(subject, ()))
            instructions = twists_prompt("", config.n_twists)
        else:
            prompt = subjects_prompt(area, config.n_subjects, tree.subjects[area])
            instructions = subjects_prompt(area, config.n_subjects)
        seed = derive_seed(self._run_seed, "topic tree", tree.n_generations, area, subject)
        request = Request(prompt, 1, sampling_of(config.sampling, ()), seed)
        (answer,) = await self._engine.sample(request)
        lost = answer.finish_reason.lost
        text = prompt.prefill + answer.text
        least = MIN_TWIST_WORDS if subject else 1
        named, n_refused = ((), 0) if lost else parse_names(text, instructions.user, least)
        return TopicNode(
            tree.n_generations, area, subject, named, n_refused, text, answer.n_tokens, lost
        )


def subjects_prompt(area: str, n: int, known: Sequence[str] = ()) -> Prompt:
    """Ask for subjects of an area that are not known yet."""
    user = fill("subjects", n=n, meaning=AREAS[area], known=_listed(known))
    return Prompt(user, SUBJECT_PREFILL)


def twists_prompt(subject: str, n: int, known: Sequence[str] = ()) -> Prompt:
    """Ask for twists of a subject that are not known yet."""
    return Prompt(fill("twists", n=n, subject=subject, known=_listed(known)), TWIST_PREFILL)


def _listed(known: Sequence[str]) -> str:
    if not known:
        return ""
    return "\n\nNot these, which exist already:\n" + "\n".join(known[-_MAX_KNOWN:])


def parse_names(text: str, prompt: str = "", min_words: int = 1) -> tuple[tuple[str, ...], int]:
    """The names in a numbered list, and how many lines of the text are none.

    Where the first line alone has a number, the others are taken for names as well. Emphasis, and
    what explains a name after a dash or a colon, are left out. Names that repeat the prompt's own
    wording are refused. Accepts any text and never raises.
    """
    lines = [line for line in text[:MAX_CHARS].splitlines() if line.strip()]
    numbered = [line for line in lines if _NUMBER.match(line)]
    wording = PromptWording(prompt)
    named = []
    for line in numbered if len(numbered) > 1 else lines:
        name = _NUMBER.sub("", line, count=1).replace("*", "").replace("`", "")
        if min_words == 1:  # a sentence may have a colon
            name = re.split(rf"\s[-\u2013\u2014]\s|[{COLONS}](?:\s|$)", name, maxsplit=1)[0]
        name = " ".join(name.strip(" \t._-\"'\u2022").split())
        is_name = len(name) <= MAX_NAME_CHARS and len(words(name)) >= min_words
        if is_name and not wording.has(name):
            named.append(name)
    return tuple(named), len(lines) - len(named)


def _without(node: TopicNode, taken: set[str], n: int) -> TopicNode:
    """The node with the first n names that are not taken, which then are."""
    new: list[str] = []
    for name in node.named:
        if len(new) < n and (key := _key(name)) not in taken:
            taken.add(key)
            new.append(name)
    n_refused = node.n_refused + len(node.named) - len(new)
    return TopicNode(
        node.generation, node.area, node.subject, tuple(new), n_refused,
        node.text, node.n_tokens, node.reason,
    )  # fmt: skip


def _key(name: str) -> str:
    """The same for names of the same words in any order."""
    return " ".join(sorted(set(words(name))))
