"""ucoder: unsupervised code generation by internal probing (arXiv 2512.17385)."""

__version__ = "0.1.0"
