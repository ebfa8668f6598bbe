"""Errors cross process borders unchanged."""

from __future__ import annotations

import inspect
import pickle

import pytest

from ucoder import errors

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("cls", ALL)
def test_errors_survive_pickling(cls: type[Exception]) -> None:
    again = pickle.loads(pickle.dumps(cls("what was got; what is allowed")))
    assert type(again) is cls
    assert str(again) == "what was got; what is allowed"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    for cls in ALL:
        assert f" {cls.__name__}" in errors.__doc__, cls
        assert issubclass(cls, errors.UcoderError)
