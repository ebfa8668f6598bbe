"""Engines sample text from a model; see `protocol` for what each promises."""
