"""Test inputs: read from a model's text, generated from an interface, mutated (stages 4 and 5).

text              extracting sections and Python from any text that a model wrote
literals          literal values in source text
signatures        function signatures as `Interface` records
calls             calls such as `f([1, 2])` and `assert f(1) == 2` as test inputs
examples          the examples in a statement
boundaries        inputs at the boundaries of the annotated types (values in `boundary_values`)
mutation          inputs that differ slightly from given ones
distinguishing    inputs on which programs differ that agreed so far
"""
