"""Boundary inputs: every value fits its annotation, and no annotation makes them raise."""

from __future__ import annotations

import typing
from typing import Any, Literal, Union

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ucoder.execution.canonical import parse, write
from ucoder.inputs.boundaries import MAX_SHAPES, boundary_inputs, shapes
from ucoder.inputs.boundary_values import MAX_VALUES, boundary_values

NAMES = ["int", "float", "str", "bool", "bytes", "complex", "None"]
HASHABLE = st.sampled_from(["int", "str", "bool", "float", "Tuple[int, str]", "Literal[1, 'a']"])
ANNOTATIONS = st.recursive(
    st.sampled_from([*NAMES, "Any", "object", "list", "dict", "tuple", "set", "Tuple[()]"]),
    lambda inner: st.one_of(
        st.builds("{}[{}]".format, st.sampled_from(["list", "List", "typing.List"]), inner),
        st.builds("{}[{}]".format, st.sampled_from(["Sequence", "Iterable", "Collection"]), inner),
        st.builds("{}[{}, ...]".format, st.sampled_from(["tuple", "Tuple"]), inner),
        st.builds("tuple[{}, {}]".format, inner, inner),
        st.builds("{}[{}]".format, st.sampled_from(["set", "FrozenSet"]), HASHABLE),
        st.builds("{}[{}, {}]".format, st.sampled_from(["dict", "Mapping"]), HASHABLE, inner),
        st.builds("Optional[{}]".format, inner),
        st.builds("Union[{}, {}]".format, inner, inner),
        # Python itself cannot join None with None.
        st.builds("{} | {}".format, inner, inner).filter(lambda text: "None | None" not in text),
        st.builds("List['{}']".format, st.sampled_from(NAMES)),
        st.just("Literal['a', 'b', -1, True, None]"),
    ),
    max_leaves=3,
)
TYPES = {**vars(typing), "typing": typing, "NoneType": type(None)}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type: judged by `typing`, which the code under test does not use."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, object):
        return True
    if hint is None:
        return value is None
    if isinstance(hint, typing.ForwardRef):
        return fits(value, eval(hint.__forward_arg__, dict(TYPES)))
    if isinstance(hint, str):
        return fits(value, eval(hint, dict(TYPES)))
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in arguments)
    if origin is Union or type(hint).__name__ == "UnionType":
        return any(fits(value, each) for each in arguments)
    if origin is tuple:
        if arguments[1:] == (...,):
            return type(value) is tuple and all(fits(item, arguments[0]) for item in value)
        return (
            type(value) is tuple
            and len(value) == len(arguments)
            and all(map(fits, value, arguments))
        )
    if origin is None:
        return type(value) is hint
    if not isinstance(value, origin):
        return False
    if isinstance(value, dict):
        return all(fits(k, arguments[0]) and fits(v, arguments[1]) for k, v in value.items())
    return all(fits(item, arguments[0]) for item in value)


@settings(deadline=None)
@given(ANNOTATIONS)
@example("list[list[list[bool]]]")
@example("dict[str, list[tuple[int, str]]]")
@example("List[Optional[int]]")
@example("Set[int] | frozenset[str] | None")
def test_every_value_fits_its_annotation(annotation: str) -> None:
    hint = eval(annotation, dict(TYPES))
    values = boundary_values(annotation)
    assert 1 <= len(values) <= MAX_VALUES
    assert [value for value in values if not fits(value, hint)] == []
    texts = [write(value) for value in values]
    assert len(set(texts)) == len(texts)
    assert [write(parse(text)) for text in texts] == texts


@settings(deadline=None)
@given(st.one_of(st.text(max_size=80), st.text("[](),|'\".intLisOpdrUo ", max_size=60)))
@example("")
@example("[" * 50_000)
@example("List[" * 80 + "int" + "]" * 80)
@example("List[" * 6_000 + "int" + "]" * 6_000)
@example("int | " * 90 + "int")
@example("int | " * 9_000 + "int")
@example("Tuple[" + "int, " * 90 + "int]")
@example("Tuple[" + "Tuple[int, int, int, int, int, int, int], " * 11 + "int]")
@example("'" * 3_000)
@example("set[list[int]]")
@example("dict[list[int], int]")
@example("Dict[int]")
@example("List[()]")
@example("Literal")
@example("Literal[x, 1 + 1, ...]")
@example("Optional[Optional[Optional[None]]]")
@example("int = 3")
@example("__import__('os').system('false')")
@example("\x00\ud800")
def test_any_text_as_annotation_gives_values(annotation: str) -> None:
    values = boundary_values(annotation)
    assert 1 <= len(values) <= MAX_VALUES
    assert all(len(write(value)) <= 4_000 for value in values)


@pytest.mark.parametrize(
    "annotation", ["", "Any", "object", "Matrix", "5", "def", "Callable[[], int]"]
)
def test_an_unknown_annotation_gives_values_of_several_types(annotation: str) -> None:
    assert {type(value) for value in boundary_values(annotation)} >= {int, str, list, float}


@pytest.mark.parametrize(
    ("annotation", "wanted"),
    [
        ("int", [0, 1, -1]),
        ("str", ["", "a"]),
        ("bool", [False, True]),
        ("float", [0.0, 1.0, -1.0]),
        ("list[int]", [[], [1]]),
        ("List[str]", [[], ["a"]]),
        ("Sequence[float]", [[]]),
        ("list[list[int]]", [[], [[]]]),
        ("dict[str, int]", [{}]),
        ("set[str]", [set()]),
        ("Optional[int]", [0, None]),
        ("int | None", [0, None]),
        ("Literal['x', 'y']", ["x", "y"]),
    ],
)
def test_the_boundaries_come_first(annotation: str, wanted: list[Any]) -> None:
    assert list(boundary_values(annotation))[: len(wanted)] == wanted


@pytest.mark.parametrize("item", ["int", "bool", "tuple[int, str]", "list[bool]", "dict[str, int]"])
def test_lists_include_empty_single_repeated_and_reversed_ones(item: str) -> None:
    lists = boundary_values(f"list[{item}]")
    assert {0, 1} <= {len(items) for items in lists}
    longer = [items for items in lists if len(items) > 2]
    assert any(len({write(i) for i in items}) < len(items) for items in longer)
    assert any(items[::-1] != items for items in longer)


def test_values_are_new_objects_at_every_call() -> None:
    for annotation in ("list[list[int]]", "dict[str, list[int]]", "", "list"):
        before = [write(value) for value in boundary_values(annotation)]
        for value in boundary_values(annotation):
            if isinstance(value, list):
                for inner in value:
                    if isinstance(inner, list):
                        inner.append(99)
                value.append(99)
            elif isinstance(value, dict):
                value["new"] = 99
        assert [write(value) for value in boundary_values(annotation)] == before


@settings(deadline=None)
@given(
    st.lists(st.one_of(ANNOTATIONS, st.text(max_size=10)), max_size=4),
    st.integers(0, 60),
    st.integers(0, 2**31 - 1),
)
def test_inputs_are_distinct_canonical_tuples_that_a_seed_determines(
    annotations: list[str], n: int, seed: int
) -> None:
    inputs = boundary_inputs(annotations, n, seed)
    assert len(inputs) <= n
    assert len(set(inputs)) == len(inputs)
    for text in inputs:
        arguments = parse(text)
        assert type(arguments) is tuple
        assert len(arguments) == len(annotations)
        assert write(arguments) == text
    assert inputs == boundary_inputs(annotations, n, seed)
    assert boundary_inputs(annotations, n + 7, seed)[: len(inputs)] == inputs


def test_each_argument_is_at_its_boundaries_while_the_others_are_ordinary() -> None:
    pairs = [parse(text) for text in boundary_inputs(["int", "list[int]"], 12, seed=0)]
    assert [a for a, b in pairs[::2]] == list(boundary_values("int")[:6])
    assert [b for a, b in pairs[1::2]] == list(boundary_values("list[int]")[:6])
    assert all(len(b) > 2 for _, b in pairs[::2])
    assert all(abs(a) > 2 for a, _ in pairs[1::2])


def test_combinations_depend_on_the_seed() -> None:
    first, second = (boundary_inputs(["int", "str"], 40, seed) for seed in (0, 1))
    assert len(first) == len(second) == 40
    assert first[:12] == second[:12]
    assert first[12:] != second[12:]


def test_the_number_of_inputs_is_limited_by_the_types() -> None:
    assert boundary_inputs(["bool", "None"], 50, 0) == ["(False, None)", "(True, None)"]
    assert boundary_inputs(["int"], 100, 0) == [f"({value},)" for value in boundary_values("int")]
    assert boundary_inputs([], 5, 0) == ["()"]
    assert boundary_inputs(["int"], 0, 0) == []


@pytest.mark.parametrize("n_parameters", range(9))
def test_shapes_are_distinct_and_give_inputs_that_fit(n_parameters: int) -> None:
    found = shapes(n_parameters)
    assert 1 <= len(found) <= MAX_SHAPES
    assert len(set(found)) == len(found)
    assert {len(shape) for shape in found} == {n_parameters}
    for shape in found:
        hints = [eval(annotation, dict(TYPES)) for annotation in shape]
        for text in boundary_inputs(shape, 8, seed=0):
            assert all(map(fits, parse(text), hints))


@pytest.mark.parametrize(
    "shape",
    [
        ("int",), ("float",), ("str",), ("list[int]",), ("list[str]",), ("list[float]",),
        ("list[list[int]]",), ("dict[str, int]",), ("int", "int"), ("str", "str"),
        ("list[int]", "int"), ("list[int]", "list[int]"), ("list[str]", "str"), ("str", "int"),
        ("list[list[int]]", "int"), ("list[str]", "list[str]"), ("int", "int", "int"),
        ("str", "str", "str"), ("list[int]", "int", "int"), ("str", "int", "int"),
        ("int", "int", "int", "int"),
    ],
)  # fmt: skip
def test_common_shapes_of_functions_are_included(shape: tuple[str, ...]) -> None:
    assert shape in shapes(len(shape))
