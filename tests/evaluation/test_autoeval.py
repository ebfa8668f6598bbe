"""Cutting programs out of answers and putting them together with tests, as AutoEval does."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.evaluation.benchmarks.autoeval import Test as PublishedTest
from ucoder.evaluation.benchmarks.autoeval import assemble, extract


@pytest.mark.parametrize(
    ("answer", "language", "program"),
    [
        ("```bash\npip\n```\n```python\nx\n```", "python", "x"),
        ("```\nfirst\n```\n```\nsecond\n```", "python", "first"),
        ("```py\nx\n   \n   ```", "python", "x"),
        ("```python\nx = '''\n```\n'''\ny\n```\nz", "python", "x = '''\n```\n'''\ny"),
        ('```py\n"""\n# Example usage\n"""\nx\n# Example usage\ny\n```', "python",
         '"""\n# Example usage\n"""\nx'),
        ("```python\nx = '''\nnot closed\n```\nz", "python", "x = '''\nnot closed"),
        ("<think>\n```python\nx\n```\n</think>\n```python\ny\n```", "python", "y"),
        ("```cpp\nx\n```\nNo.\n</think>\n```cpp\ny\n```", "cpp", "y"),
        ("```python\nnot closed", "python", "not closed"),
        ("```python\na\n```\n```python\nnot closed", "python", "a"),
        ("Sure.\nimport os\n\ndef f():\n    pass\n\ndef g():\n    pass\n", "python",
         "import os\ndef f():\n    pass\n"),
        ("SELECT 1; SELECT 2", "sql", "SELECT 1"),
        ("no code at all", "cpp", ""),
        ('```python\nx\nif __name__ == "__main__":\n    f()\n```', "python", "x"),
        ("```cpp\nint f();\nint main() { }\n```", "cpp", "int f();"),
        ("```go\npackage main\nfunc f() {}\n```", "go", "\nfunc f() {}"),
        ("```ruby\nx\n# Example usage\ny\n```", "ruby", "x"),
    ],
)  # fmt: skip
def test_programs_are_cut_as_the_harness_cuts_them(
    answer: str, language: str, program: str
) -> None:
    assert extract(answer, language) == program


def test_a_test_says_where_the_program_goes() -> None:
    marked = PublishedTest("python", "python", "import a\n#<INSERT>\ntest\n")
    script = assemble("x\ny", marked)
    assert (script.code, script.program_lines) == ("import a\nx\ny\ntest\n", (2, 3))
    below = PublishedTest("python", "python", "test\n")
    assert assemble("x\nif __name__ == 'a': y", below).code == "x\n\ntest\n"


def test_go_gets_one_head() -> None:
    test = PublishedTest("go", "go_test", 'package main\nimport (\n "fmt"\n "testing"\n)\ntest')
    code = assemble('import "fmt"\nfunc f() {}', test).code
    assert code.startswith('package main\n\nimport "fmt"\nimport "testing"\n\n')
    assert code.count("import") == 2 and code.count("package") == 1


def test_html_becomes_a_file_where_the_test_has_no_place_for_it() -> None:
    script = assemble("<p>é</p>", PublishedTest("html", "jest", "test"))
    assert script.code == "test"
    assert base64.b64decode(script.files["index.html"]).decode() == "<p>é</p>"


def test_java_becomes_a_file_for_each_type() -> None:
    answer = (
        "```java\nimport java.util.List;\n\npublic class A {\n    int x;\n}\n```\n"
        "```java\ninterface B {\n    void f();\n}\n```"
    )
    test = PublishedTest("java", "junit", "class T {\n    int y;\n}\n")
    script = assemble(extract(answer, "java"), test)
    files = {name: base64.b64decode(data).decode() for name, data in script.files.items()}
    assert (script.language, script.code) == ("junit", "")
    assert files.keys() == {"A.java", "B.java", "T.java"}
    assert "import java.util.List;" in files["A.java"]
    assert "import java.util.List;" not in files["B.java"]


def test_a_program_names_no_file_outside_its_folder() -> None:
    program = "class ../../x {\n    int y;\n}\n"
    test = PublishedTest("java", "junit", "")
    assert assemble(program, test).files == {}


_PIECES = st.sampled_from(
    ["```", "```python", "```java", "\n", "\n}\n", "class A {", "@", ";", "import (", ")", "[Java]",
     "#<INSERT>", "package a", "def f():", "    x", "}}", "\r", "\ud800", "int main()", "select "]
)  # fmt: skip


@given(st.lists(_PIECES).map("".join), st.sampled_from(["python", "java", "go", "sql", "html"]))
def test_any_text_is_cut_and_put_together(text: str, language: str) -> None:
    script = assemble(extract(text, language), PublishedTest(language, language, text))
    contents = [base64.b64decode(data, validate=True) for data in script.files.values()]
    assert len(contents) <= 1 or language == "java"


@pytest.mark.parametrize(
    "piece", ["```\n", "\n", "@\n", "class a", "import (", "```java\n", "# \n"]
)
def test_long_nonsense_is_read(piece: str) -> None:
    for language in ("python", "java", "go"):
        text = piece * 20_000
        assemble(extract(text, language), PublishedTest(language, language, text))
