"""Test inputs: read from a model's text, generated from an interface, mutated (stages 4 and 5).

text              cutting sections and Python out of what a model wrote, whatever it wrote
literals          literal values in source text
signatures        a function's signature as an `Interface`
calls             calls such as `f([1, 2])` and `assert f(1) == 2` as test inputs
examples          the examples in a statement
boundaries        inputs at the edges of the annotated types (values in `boundary_values`)
mutation          inputs that differ a little from given ones
distinguishing    inputs on which programs differ that agreed before
"""
