"""Topics that the model invents: reading its lists, growing the tree, the same after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.config import TopicTreeConfig
from ucoder.engines.protocol import Completion, EngineInfo, Request
from ucoder.errors import NothingToDo
from ucoder.records import FinishReason, TopicNode
from ucoder.stages.topics import (
    AREAS,
    MAX_NAME_CHARS,
    InventedTopics,
    Topic,
    TopicTree,
    listed_topics,
    load_topics,
    parse_names,
)
from ucoder.texts import words

SEED = 7
CONFIG = TopicTreeConfig(n_subjects=3, n_twists=2)


class Namer:
    """An engine that names a few subjects of each area, and no more once it has named them all."""

    info = EngineInfo("namer", "1", "none", honours_seeds=True, is_chat=True)

    def __init__(self, n_subjects: int = 5, finish: FinishReason = FinishReason.STOP) -> None:
        self.requests: list[Request] = []
        self._n_subjects = n_subjects
        self._finish = finish

    async def sample(self, request: Request) -> list[Completion]:
        self.requests.append(request)
        await asyncio.sleep(0)
        user = request.prompt.user
        if "different exercises" not in user:
            area = next(area for area, meaning in AREAS.items() if meaning in user)
            names = [f"{area} subject {number}" for number in range(self._n_subjects)]
            names = [name for name in names if name not in user.partition("exist already")[2]][:3]
        else:
            names = ["Given a shop, return one", "Given a race, return one"]
        text = "\n".join(f"{number}. {name}" for number, name in enumerate(names, 1))
        text = text.removeprefix(request.prompt.prefill)
        return [Completion(text, 5, self._finish, -1.0)]


def invented(engine: Namer, stored: list[TopicNode], nodes: list[TopicNode]) -> InventedTopics:
    async def store(generation: list[TopicNode]) -> None:
        stored.extend(generation)

    return InventedTopics(CONFIG, SEED, engine, nodes, store)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1. Sorting cards\n2) Counting votes\n", ("Sorting cards", "Counting votes")),
        ("1. **Sorting cards**: by suit\n**2.** Votes - who won", ("Sorting cards", "Votes")),
        ("1. Cards\n   - by suit\nAnswer:\n2. Votes", ("Cards", "Votes")),
        ("1. Well-ordered rows\n\n\u2022 `lists`", ("Well-ordered rows", "lists")),
        ("1. 2.5 kg of flour\n2. 质数：判断", ("2.5 kg of flour", "质数：判断")),
        ("", ()),
        ("1.\n2.\n---", ()),
        ("1. " + "x" * (MAX_NAME_CHARS + 1), ()),
    ],
)
def test_names_are_read_from_lists_of_any_form(text: str, names: tuple[str, ...]) -> None:
    assert parse_names(text)[0] == names


def test_a_twist_is_a_sentence_and_not_the_prompts_own() -> None:
    text = "1. Given\n2. Given prices, return: the sum\n3. says in a sentence what is given"
    prompt = "Each one says in a sentence what is given."
    assert parse_names(text, prompt, 4) == (("Given prices, return: the sum",), 2)


@given(st.text(max_size=300))
def test_any_answer_is_read_and_every_name_is_short_and_has_words(text: str) -> None:
    for name in parse_names(text, text[:100])[0]:
        assert words(name) and len(name) <= MAX_NAME_CHARS
        assert name == " ".join(name.split())


async def test_every_topic_is_used_once_before_the_tree_grows() -> None:
    engine, stored = Namer(), []
    topics = invented(engine, stored, [])
    n_topics = len(AREAS) * CONFIG.n_subjects * CONFIG.n_twists
    first = [await topics.topic(index) for index in range(n_topics)]
    assert len(set(first)) == n_topics
    assert {node.generation for node in stored} == {0}
    further = await topics.topic(n_topics)
    assert further not in first
    assert {node.generation for node in stored} == {0, 1}


async def test_the_first_topics_are_each_of_another_subject() -> None:
    topics = invented(Namer(), [], [])
    n_subjects = len(AREAS) * CONFIG.n_subjects
    first = [await topics.topic(index) for index in range(n_subjects)]
    assert len({topic.text.partition(":")[0] for topic in first}) == n_subjects


async def test_a_question_names_what_exists_already() -> None:
    engine = Namer()
    topics = invented(engine, [], [])
    await topics.topic(len(AREAS) * CONFIG.n_subjects * CONFIG.n_twists)
    prompts = [request.prompt.user for request in engine.requests]
    asked = [prompt for prompt in prompts if "different exercises" not in prompt]
    assert all("exist already" not in prompt for prompt in asked[: len(AREAS)])
    assert all("subject 0\n" in prompt for prompt in asked[len(AREAS) :])


async def test_topics_repeat_in_new_orders_once_the_model_names_nothing_new() -> None:
    engine, stored = Namer(n_subjects=2), []
    topics = invented(engine, stored, [])
    n_topics = len(AREAS) * 2 * 2
    taken = [await topics.topic(index) for index in range(3 * n_topics)]
    passes = [taken[n : n + n_topics] for n in range(0, len(taken), n_topics)]
    assert set(passes[0]) == set(passes[1]) == set(passes[2])
    assert len({tuple(each) for each in passes}) == 3
    assert max(node.generation for node in stored) == 1


async def test_the_topic_of_an_attempt_does_not_depend_on_order_timing_or_restarts() -> None:
    stored: list[TopicNode] = []
    topics = invented(Namer(), stored, [])
    wanted = range(40)
    in_order = [await topics.topic(index) for index in wanted]
    at_once = await asyncio.gather(*map(invented(Namer(), [], []).topic, reversed(wanted)))
    assert at_once[::-1] == in_order
    engine = Namer()
    first_generation = [node for node in stored if node.generation == 0]
    resumed = invented(engine, [], first_generation)
    assert [await resumed.topic(index) for index in wanted] == in_order
    assert len(engine.requests) == len(stored) - len(first_generation)
    tree = TopicTree(SEED, stored)
    assert [tree.topic(index) for index in wanted] == in_order


async def test_a_model_that_names_no_topic_ends_the_run_with_what_to_do() -> None:
    for engine in (Namer(n_subjects=0), Namer(finish=FinishReason.REQUEST_REFUSED)):
        stored: list[TopicNode] = []
        with pytest.raises(NothingToDo, match=r"problems\.topics=listed"):
            await invented(engine, stored, []).topic(0)
        assert len(stored) == len(AREAS)
        with pytest.raises(NothingToDo, match=r"problems\.topics=listed"):
            await invented(engine, [], stored).topic(0)


def test_lost_answers_are_recorded_with_their_reason(tmp_path: Path) -> None:
    stored: list[TopicNode] = []
    with pytest.raises(NothingToDo):
        asyncio.run(invented(Namer(finish=FinishReason.CONTENT_FILTER), stored, []).topic(0))
    assert {node.reason and node.reason.value for node in stored} == {"content_filter"}


def test_topics_are_listed_invented_or_a_files(tmp_path: Path) -> None:
    assert listed_topics("invented") is None
    assert listed_topics("listed") == load_topics(None)
    (tmp_path / "own.txt").write_text("law: tenancy periods\n")
    assert listed_topics(tmp_path / "own.txt") == (Topic("law", "tenancy periods"),)
